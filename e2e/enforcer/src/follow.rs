//! Watches policies, namespaces and pods, and keeps the kernel's table as they say.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::runtime::reflector::{Store, reflector, store};
use kube::runtime::watcher::Config;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::cni::{DONE, PATIENCE};
use crate::endpoints::{Claim, endpoints};
use crate::rules::World;
use crate::ruleset::ruleset;

/// Pods that may be about to start at once.
const CLAIMS: usize = 256;

/// A pod that waits for its rules.
struct Newcomer {
    claim: Claim,
    /// The policies of its namespace when it came: all of them have to be known here before it starts.
    policies: BTreeSet<String>,
    started: oneshot::Sender<()>,
}

/// What is known of the cluster.
struct Known {
    pods: Store<Pod>,
    namespaces: Store<Namespace>,
    policies: Store<NetworkPolicy>,
}

/// Keeps the rules until it is killed. The socket is there once they are for the first time.
///
/// # Errors
/// When the cluster does not answer, nft refuses the first rules, or the socket cannot be made.
pub async fn follow(client: &Client, socket: &Path) -> Result<Infallible> {
    let changed = Arc::new(Notify::new());
    let known = Known {
        pods: keep(client, &changed),
        namespaces: keep(client, &changed),
        policies: keep(client, &changed),
    };
    known.pods.wait_until_ready().await?;
    known.namespaces.wait_until_ready().await?;
    known.policies.wait_until_ready().await?;

    let mut claims = BTreeMap::new();
    let mut applied = known.ruleset(&claims);
    nft(&applied).await?;
    let listener = listen(socket)?;
    let (send, mut newcomers) = mpsc::channel(CLAIMS);
    tokio::spawn(hear(listener, client.clone(), send));

    let mut waiting: Vec<Newcomer> = Vec::new();
    loop {
        let first = tokio::select! {
            () = changed.notified() => None,
            newcomer = newcomers.recv() => newcomer,
        };
        for newcomer in first.into_iter().chain(std::iter::from_fn(|| newcomers.try_recv().ok())) {
            claims.insert(newcomer.claim.address, newcomer.claim.clone());
            waiting.push(newcomer);
        }
        // One that has waited too long was told to the kubelet as failed: it comes again.
        waiting.retain(|newcomer| !newcomer.started.is_closed());
        // Looked at before the rules are made: what is known now is in them.
        let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|one| known.has(one));
        waiting = later;
        let wanted = known.ruleset(&claims);
        if wanted != applied {
            match nft(&wanted).await {
                Ok(()) => applied = wanted,
                // The old rules stay, and whoever waits goes on waiting: nothing is opened by a failure.
                Err(error) => {
                    eprintln!("error: {error:#}");
                    waiting.extend(ready);
                    continue;
                }
            }
        }
        for newcomer in ready {
            // It may have given up by now.
            let _ = newcomer.started.send(());
        }
    }
}

impl Known {
    fn ruleset(&self, claims: &BTreeMap<Ipv4Addr, Claim>) -> String {
        let pods = self.pods.state();
        let namespaces = self.namespaces.state();
        ruleset(&World {
            endpoints: endpoints(pods.iter().map(|pod| &**pod), claims),
            namespaces: namespaces.iter().map(|one| (one.name_any(), one.labels().clone())).collect(),
            policies: self.policies.state().iter().map(|policy| (**policy).clone()).collect(),
        })
    }

    /// Whether the rules speak of this pod already, and of every policy that was there when it came.
    fn has(&self, newcomer: &Newcomer) -> bool {
        let pod = |pod: &Pod| pod.uid().as_ref() == Some(&newcomer.claim.uid);
        let policies: BTreeSet<String> =
            self.policies.state().iter().filter_map(|policy| policy.uid()).collect();
        self.pods.find(pod).is_some() && newcomer.policies.is_subset(&policies)
    }
}

/// All objects of a kind, kept up to date; says when one has changed.
fn keep<K>(client: &Client, changed: &Arc<Notify>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = store();
    let objects = watcher(Api::<K>::all(client.clone()), Config::default()).default_backoff();
    let (mut events, changed) = (Box::pin(reflector(writer, objects)), changed.clone());
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                // It tries again by itself, ever more seldom.
                Err(error) => eprintln!("watch of {}: {error}", K::plural(&())),
            }
        }
    });
    reader
}

/// Hands nft a script; the kernel takes all of it or nothing.
async fn nft(script: &str) -> Result<()> {
    let mut nft = Command::new("nft");
    nft.args(["--file", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = nft.spawn().context("cannot start nft; is the package nftables installed?")?;
    let mut stdin = child.stdin.take().context("nft has no stdin")?;
    // One that does not read to the end says why on stderr.
    drop(stdin.write_all(script.as_bytes()).await);
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!(
            "nft refuses the rules ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// A socket of a killed predecessor is no one's.
fn listen(socket: &Path) -> Result<UnixListener> {
    if socket.exists() {
        std::fs::remove_file(socket).with_context(|| format!("cannot remove {}", socket.display()))?;
    }
    UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))
}

/// Takes what the plugin tells, each in a connection of its own.
async fn hear(listener: UnixListener, client: Client, newcomers: mpsc::Sender<Newcomer>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (client, newcomers) = (client.clone(), newcomers.clone());
        tokio::spawn(async move {
            if let Err(error) = admit(stream, &client, &newcomers).await {
                eprintln!("error: a pod cannot start: {error:#}");
            }
        });
    }
}

async fn admit(mut stream: UnixStream, client: &Client, newcomers: &mpsc::Sender<Newcomer>) -> Result<()> {
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await?;
    let claim: Claim = serde_json::from_str(&line)?;
    let policies = Api::<NetworkPolicy>::namespaced(client.clone(), &claim.namespace);
    let policies = policies.list(&ListParams::default()).await?;
    let policies = policies.iter().filter_map(ResourceExt::uid).collect();
    let (started, ready) = oneshot::channel();
    newcomers.send(Newcomer { claim, policies, started }).await?;
    tokio::time::timeout(PATIENCE, ready).await??;
    stream.write_all(DONE).await?;
    Ok(())
}
