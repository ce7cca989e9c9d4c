//! Machines that nobody rents out: one of a member's own, reached by OpenSSH's server, and a node of the cluster that is lent.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cooperator_api::fine_tune::{FineTune, RentedMachine};
use cooperator_api::names::TAINT_RENTED;
use cooperator_cli::kind::Kind;
use cooperator_cluster::command::{command, output};
use cooperator_cluster::sshd::{self, Settings, Sshd};
use cooperator_cluster::{Machine, Progress, files, paths};
use cooperator_core::money::{Amount, PricePerHour};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::{connect, eventually};
use crate::deletion::collective;
use crate::tiny::Tiny;

/// Namespace and name of the Collective, which has no other machines.
const NEIGHBOURS: &str = "neighbours";
/// The member's machine.
const CELLAR: &str = "cellar";
/// Where its SSH server listens.
const PORT: u16 = 22;
/// The node of the local cluster.
const NODE: &str = "node0";
/// A machine in a member's cellar, which runs an SSH server and is nobody's node. It goes with the test.
struct Cellar {
    machine: Machine,
    /// What it shows, as a Provider pins it.
    host_key: String,
    /// What it lets in, as a Secret has it.
    private_key: String,
    /// What was on its disk before anybody used it.
    files: BTreeSet<String>,
}

impl Cellar {
    fn start() -> Self {
        let cluster = paths::cluster_state();
        if let Some(left) = Machine::find(&cluster, CELLAR) {
            left.stop().unwrap();
        }
        let [(host_secret, host_key), (private_key, authorized)] = pairs_of_keys();
        // The disk is there once the machine is: it waits for what is put on it.
        let script = format!(
            "#!/bin/bash\nset -e\nuntil [ -d /opt/openssh ]; do sleep 0.1; done\n{}setsid {} 2> /var/log/sshd.log &\n",
            sshd::INSTALL,
            sshd::RUN
        );
        let machine = Machine::start(&cluster, CELLAR, &script).unwrap();
        let mut cellar = Self { machine, host_key, private_key, files: BTreeSet::new() };
        let listen = cellar.address().to_string();
        let settings =
            Settings { listen: &listen, host_key: &host_secret, authorized_keys: &authorized, more: "" };
        Sshd::fetch(&Progress::new()).unwrap().put(&cellar.machine.disk(), &settings).unwrap();
        let began = Instant::now();
        while !cellar.answers() {
            assert!(began.elapsed() < Duration::from_secs(30), "{}", cellar.console());
            std::thread::sleep(Duration::from_millis(100));
        }
        cellar.files = cellar.files();
        cellar
    }

    /// Files of its disk, and those that are there until it is off.
    fn files(&self) -> BTreeSet<String> {
        self.says("find /etc /opt /root /run /tmp /var -xdev ! -type d").lines().map(str::to_owned).collect()
    }

    fn address(&self) -> SocketAddr {
        (IpAddr::from(self.machine.address), PORT).into()
    }

    /// Whether its SSH server takes calls.
    fn answers(&self) -> bool {
        TcpStream::connect_timeout(&self.address(), Duration::from_secs(5)).is_ok()
    }

    fn console(&self) -> String {
        files::read(&self.machine.console()).unwrap_or_default()
    }

    /// What a command says on it.
    fn says(&self, script: &str) -> String {
        output(script, self.machine.inside("bash").unwrap().args(["-c", script])).unwrap()
    }

    /// Nothing that was brought to it is left: no process, mount, file, cable or rule of a pod.
    fn is_as_it_was(&self) {
        let processes = self.says("ps -e -o comm=");
        let stays = |program: &&str| !["bash", "ps", "sleep", "sshd"].contains(program);
        let more: Vec<&str> = processes.lines().filter(stays).collect();
        assert!(more.is_empty() && processes.contains("sshd"), "{processes}");
        assert_eq!(
            self.says("grep -E ' /(run|var/lib)/cooperator/|/run/netns/cni-' /proc/self/mounts || true"),
            ""
        );
        assert_eq!(self.says("ip -brief link show type veth | cut -d@ -f1"), "eth0\n");
        assert_eq!(self.says("iptables-save | grep -i -E 'cooperator|CNI-' || true"), "");
        let (before, after) = (&self.files, self.files());
        let changed: Vec<&String> = before.symmetric_difference(&after).collect();
        assert!(changed.is_empty(), "{changed:?}");
        assert!(self.answers());
    }
}

impl Drop for Cellar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the console of {CELLAR}:\n{}", self.console());
        }
        if let Err(error) = self.machine.stop() {
            eprintln!("{CELLAR} stays: {error}");
        }
    }
}

/// Two pairs of keys, private and public, as the real tool makes them.
fn pairs_of_keys() -> [(String, String); 2] {
    let folder = paths::cache().join("tmp").join(CELLAR);
    files::remove(&folder).unwrap();
    files::create_dir(&folder).unwrap();
    let pairs = ["host", "member"].map(|name| {
        let key = folder.join(name);
        let mut keygen = command("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]);
        output("ssh-keygen", keygen.arg(&key)).unwrap();
        let public = files::read(&key.with_extension("pub")).unwrap();
        (files::read(&key).unwrap(), public.trim().to_owned())
    });
    files::remove(&folder).unwrap();
    pairs
}

/// A Provider, and a NodePool of the same name that has no other.
async fn offer(tiny: &Tiny, name: &str, provider: Value) {
    tiny.apply("Provider", name, provider).await;
    tiny.apply(
        "NodePool",
        name,
        json!({
            "collectiveRef": {"name": NEIGHBOURS}, "providerRefs": [{"name": name}], "limits": {"machines": 1}, "diskGi": 8,
        }),
    )
    .await;
    tiny.reason(Kind::NodePool, name, "Open").await;
}

/// Trains on a machine of this pool, and returns the machine once nothing of it is owed any more.
async fn trained(tiny: &Tiny, pool: &str, name: &str, seed: u64) -> RentedMachine {
    let mut spec = tiny.fine_tune(50, seed);
    spec["compute"]["nodePoolRef"] = json!({"name": pool});
    tiny.apply("FineTune", name, spec).await;
    tiny.reason(Kind::FineTune, name, "Trained").await;
    let mut status = Default::default();
    eventually(&format!("the machine of {name} is given back"), async || {
        let tune: FineTune = tiny.access.get(name).await.unwrap();
        status = tune.status.unwrap_or_default();
        !status.machines.is_empty() && status.machines.iter().all(|machine| machine.is_final)
    })
    .await;
    let [machine] = status.machines.try_into().unwrap();
    let reasons: Vec<_> = status.attempts.iter().map(|attempt| attempt.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("Succeeded")]);
    let hourly: PricePerHour = machine.price_per_hour.parse().unwrap();
    let seconds = machine.seconds.try_into().unwrap();
    assert!(seconds > 0, "{machine:?}");
    let cost = hourly.amount(seconds).unwrap();
    assert_eq!(machine.cost.parse::<Amount>().unwrap(), cost, "{machine:?}");
    assert_eq!(status.cost.unwrap().amount.parse::<Amount>().unwrap(), cost, "{name}");
    eprintln!("{name}: {} for {seconds} s at {hourly} an hour", machine.cost);
    machine
}

/// Deletes FineTunes, also those of a run of this test that failed.
async fn forget(tiny: &Tiny, names: &[&str]) {
    for name in names {
        if tiny.access.dynamic(Kind::FineTune.name()).get_opt(name).await.unwrap().is_some() {
            tiny.delete(Kind::FineTune, name).await;
        }
    }
}

fn nodes(client: &Client) -> Api<Node> {
    Api::all(client.clone())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_members_machine_trains_is_given_back_as_it_was_and_trains_again() {
    let cluster = connect().await;
    let tiny = collective(&cluster, NEIGHBOURS).await;
    tiny.reason(Kind::Dataset, "tiny", "Built").await;
    let cellar = tokio::task::block_in_place(Cellar::start);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": CELLAR}, "stringData": {"privateKey": cellar.private_key},
    });
    let secrets: Api<Secret> = tiny.access.api();
    secrets.patch(CELLAR, &PatchParams::apply("a-test").force(), &Patch::Apply(&secret)).await.unwrap();
    let machine = json!({
        "name": CELLAR, "address": cellar.machine.address, "port": PORT, "user": "root", "hostKey": cellar.host_key,
        "pricePerHour": "0.36", "cpu": 2, "memory": "4Gi",
    });
    let home = json!({"name": NEIGHBOURS});
    let provider = json!({
        "collectiveRef": home, "type": "SSH", "secretRef": {"name": CELLAR}, "machines": [machine],
    });
    offer(&tiny, CELLAR, provider).await;
    forget(&tiny, &["first", "second"]).await;
    for (name, seed) in [("first", 7), ("second", 8)] {
        let machine = trained(&tiny, CELLAR, name, seed).await;
        assert_eq!(machine.provider, CELLAR);
        assert!(machine.instance.contains(&format!("{CELLAR}/")), "{machine:?}");
        let node = machine.node.unwrap();
        eventually(&format!("Node {node} is gone"), async || {
            nodes(&cluster.client).get_opt(&node).await.unwrap().is_none()
        })
        .await;
        cellar.is_as_it_was();
    }
    forget(&tiny, &["first", "second"]).await;
    tiny.delete(Kind::NodePool, CELLAR).await;
    tiny.delete(Kind::Provider, CELLAR).await;
}

/// What somebody who lends a node wants to find as it was: its labels, annotations, taints, and that it is the same.
fn marks(node: &Node) -> Value {
    let spec = node.spec.clone().unwrap_or_default();
    json!({
        "uid": node.uid(), "labels": node.labels(), "annotations": node.annotations(), "taints": spec.taints,
        "unschedulable": spec.unschedulable,
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_node_that_is_lent_is_taken_for_a_training_and_given_back_as_it_was() {
    let cluster = connect().await;
    let tiny = collective(&cluster, NEIGHBOURS).await;
    tiny.reason(Kind::Dataset, "tiny", "Built").await;
    let before = marks(&nodes(&cluster.client).get(NODE).await.unwrap());
    let machine = json!({"name": "lent", "node": NODE, "pricePerHour": "0.18", "cpu": 2, "memory": "4Gi"});
    let provider = json!({"collectiveRef": {"name": NEIGHBOURS}, "type": "Static", "machines": [machine]});
    offer(&tiny, "lent", provider).await;
    forget(&tiny, &["lent-first", "lent-second", "lent-endless"]).await;
    for (name, seed) in [("lent-first", 7), ("lent-second", 8)] {
        let what = format!("{NODE} is taken for {name}");
        let taken = eventually(&what, async || {
            let node = nodes(&cluster.client).get(NODE).await.unwrap();
            let taints = node.spec.unwrap_or_default().taints.unwrap_or_default();
            taints.iter().any(|taint| taint.key == TAINT_RENTED && taint.effect == "NoSchedule")
        });
        let (machine, ()) = tokio::join!(trained(&tiny, "lent", name, seed), taken);
        assert_eq!((machine.provider.as_str(), machine.node.as_deref()), ("lent", Some(NODE)));
        let after = marks(&nodes(&cluster.client).get(NODE).await.unwrap());
        assert_eq!(after, before);
    }
    forget(&tiny, &["lent-first", "lent-second"]).await;
    // One that is given up in the midst gives it back as well.
    let mut endless = tiny.fine_tune(1_000_000, 9);
    endless["compute"]["nodePoolRef"] = json!({"name": "lent"});
    tiny.apply("FineTune", "lent-endless", endless).await;
    tiny.until(Kind::FineTune, "lent-endless", |item| {
        item.progress.as_ref().is_some_and(|progress| progress.phase == "training")
    })
    .await;
    tiny.delete(Kind::FineTune, "lent-endless").await;
    let after = marks(&nodes(&cluster.client).get(NODE).await.unwrap());
    assert_eq!(after, before);
    tiny.delete(Kind::NodePool, "lent").await;
    tiny.delete(Kind::Provider, "lent").await;
}
