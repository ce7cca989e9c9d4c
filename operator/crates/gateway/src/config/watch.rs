//! Watches, and publishes a snapshot whenever something has changed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cooperator_api::api_key::ApiKey;
use cooperator_api::collective::Collective;
use cooperator_api::deployment::Deployment;
use cooperator_kit::Pauses;
use futures::stream::{BoxStream, StreamExt, select_all};
use kube::api::Api;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch as channel;

use super::{PROBE, STALE, WATCH_SECONDS, snapshot};
use crate::live::Live;
use crate::snapshot::Snapshot;

/// A watch that has ended, which none does by itself.
#[derive(Debug, thiserror::Error)]
#[error("the watch on the cluster has ended; the gateway must start again")]
pub struct WatchError;

/// Between two snapshots: the first of several changes is in force at once, those close behind it make one.
const SETTLE: Duration = Duration::from_millis(50);

/// The caches that snapshots are made of.
struct Caches {
    collective: Store<Collective>,
    keys: Store<ApiKey>,
    deployments: Store<Deployment>,
}

/// Whether the watches work: those that fail do so again and again.
#[derive(Default)]
struct Failing {
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Failing {
    fn failed(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    fn worked(&mut self) {
        *self = Self::default();
    }

    /// Failing for longer than the bound, without a pause that says they have recovered.
    fn too_long(&self, now: Instant) -> bool {
        let longer =
            |since: Option<Instant>, bound| since.is_some_and(|at| now.saturating_duration_since(at) > bound);
        longer(self.since, STALE) && !longer(self.last, STALE * 3)
    }
}

/// Publishes snapshots of a Collective, and tells `live` while the cluster is heard of. Runs for ever.
///
/// # Errors
/// [`WatchError`]
pub async fn watch(
    client: Client,
    namespace: &str,
    name: &str,
    publish: channel::Sender<Arc<Snapshot>>,
    live: Arc<Live>,
) -> Result<(), WatchError> {
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (collective, of_collective) = follow(Api::namespaced(client.clone(), namespace), one);
    let (keys, of_keys) = follow(Api::namespaced(client.clone(), namespace), watcher::Config::default());
    let (deployments, of_deployments) =
        follow(Api::namespaced(client.clone(), namespace), watcher::Config::default());
    let caches = Caches { collective, keys, deployments };
    let mut events = select_all([of_collective, of_keys, of_deployments]);
    let probe: Api<Collective> = Api::namespaced(client, namespace);
    let mut probes = tokio::time::interval(PROBE);
    probes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = Failing::default();
    let mut changed: Option<tokio::time::Instant> = None;
    let mut settled = tokio::time::Instant::now();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(())) => {
                    failing.worked();
                    changed.get_or_insert(settled);
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "a watch failed; trying again");
                    failing.failed(Instant::now());
                }
                None => return Err(WatchError),
            },
            () = until(changed) => {
                changed = None;
                settled = tokio::time::Instant::now() + SETTLE;
                publish_one(&caches, &publish, &live);
            }
            _ = probes.tick() => {
                let asked = Instant::now();
                let answer = tokio::time::timeout(PROBE, probe.get_metadata(name)).await;
                let ready = !publish.borrow().is_initial();
                if matches!(answer, Ok(Ok(_))) && ready && !failing.too_long(asked) {
                    live.heard(asked);
                }
            }
        }
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Publishes once all three caches have been filled.
fn publish_one(caches: &Caches, publish: &channel::Sender<Arc<Snapshot>>, live: &Live) {
    let filled = [is_ready(&caches.collective), is_ready(&caches.keys), is_ready(&caches.deployments)];
    if filled.contains(&false) {
        return;
    }
    let (keys, deployments) = (caches.keys.state(), caches.deployments.state());
    let next = match caches.collective.state().first() {
        Some(collective) => {
            snapshot(collective, keys.iter().map(|key| &**key), deployments.iter().map(|object| &**object))
        }
        // A Collective that is gone has no keys and no routes.
        None => Snapshot::new([], []),
    };
    publish.send_replace(Arc::new(next));
    live.heard(Instant::now());
}

fn is_ready<K: Lookup + Clone + 'static>(store: &Store<K>) -> bool
where
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    futures::FutureExt::now_or_never(store.wait_until_ready()).is_some_and(|ready| ready.is_ok())
}

/// A cache and its changes.
fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
) -> (Store<K>, BoxStream<'static, Result<(), watcher::Error>>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let events = watcher(api, config.timeout(WATCH_SECONDS))
        .backoff(Pauses::default())
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .map(|event| event.map(|_| ()));
    (reader, events.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_fails_now_and_then_is_no_cause_to_stop_one_that_only_fails_is() {
        let start = Instant::now();
        let mut failing = Failing::default();
        failing.failed(start);
        assert!(!failing.too_long(start + Duration::from_secs(29)));
        failing.failed(start + Duration::from_secs(28));
        assert!(failing.too_long(start + Duration::from_secs(31)));
        assert!(!failing.too_long(start + Duration::from_secs(200)));
        failing.worked();
        assert!(!failing.too_long(start + Duration::from_secs(31)));
    }
}
