//! Runs a controller.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cooperator_core::backoff::Backoff;
use cooperator_telemetry::metrics::{Metrics, names};
use futures::StreamExt as _;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt as _};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::health::Health;
use crate::watch::Pauses;

/// Between two reconciles of an object that keeps failing. It begins short: most often another wrote in between, and the
/// next try sees that.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(300));

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    controller: &'static str,
}

/// What all controllers of a process share. Clones are the same.
#[derive(Clone, Debug)]
pub struct Runner {
    concurrency: u16,
    health: Health,
    stop: CancellationToken,
    reconciles: Family<Labels, Counter>,
    seconds: Family<Name, Histogram>,
}

impl Runner {
    /// At most `concurrency` objects of a kind at once, 1 to 64.
    pub fn new(concurrency: u16, health: Health, metrics: &Metrics) -> Self {
        let seconds =
            Family::new_with_constructor((|| Histogram::new([0.01, 0.05, 0.2, 1.0, 5.0, 30.0])) as fn() -> _);
        Self {
            concurrency: concurrency.clamp(1, 64),
            health,
            stop: CancellationToken::new(),
            reconciles: metrics.register(names::RECONCILES, "Reconciles", Family::default()),
            seconds: metrics.register(names::RECONCILE_SECONDS, "Duration of reconciles", seconds),
        }
    }

    /// The same runner, whose controllers end when `stop` is cancelled.
    #[must_use]
    pub fn until(&self, stop: CancellationToken) -> Self {
        Self { stop, ..self.clone() }
    }

    /// Runs `controller` until told to stop; reconciles under way come to their end first.
    pub async fn run<K, C, E, F>(
        &self,
        name: &'static str,
        controller: Controller<K>,
        reconcile: impl Fn(Arc<K>, Arc<C>) -> F + Send + Sync + 'static,
        context: Arc<C>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        C: Send + Sync + 'static,
        E: std::error::Error + Send + 'static,
        F: Future<Output = Result<Action, E>> + Send + 'static,
    {
        let failures = Arc::new(Failures::<K>::default());
        let (counted, runner) = (failures.clone(), self.clone());
        let observed = move |object: Arc<K>, context: Arc<C>| {
            let span = tracing::info_span!(
                "reconcile",
                controller = name,
                namespace = object.namespace(),
                name = object.name_any()
            );
            let reference = ObjectRef::from_obj(&*object);
            let (work, runner, counted) = (reconcile(object, context), runner.clone(), counted.clone());
            async move {
                let begun = Instant::now();
                let result = work.await;
                runner.observe(name, result.is_ok(), begun.elapsed());
                if result.is_ok() {
                    counted.forget(&reference);
                }
                result
            }
            .instrument(span)
        };
        let policy = move |object: Arc<K>, _: &E, _: Arc<C>| {
            let failed = failures.count(ObjectRef::from_obj(&*object));
            Action::requeue(BACKOFF.jittered(failed, rand::random()))
        };
        let stop = self.stop.clone();
        controller
            .with_config(Config::default().concurrency(self.concurrency).debounce(Duration::from_millis(100)))
            .trigger_backoff(Pauses::default())
            .reconcile_all_on(self.health.heart(name))
            .graceful_shutdown_on(async move { stop.cancelled().await })
            .run(observed, policy, context)
            .for_each(|result| {
                self.health.heard(name);
                match result {
                    Ok((object, _)) => tracing::debug!(controller = name, %object, "reconciled"),
                    Err(error) => report(name, &error),
                }
                std::future::ready(())
            })
            .await;
    }

    fn observe(&self, controller: &'static str, good: bool, took: Duration) {
        let result = if good { "success" } else { "error" };
        self.reconciles.get_or_create(&Labels { controller, result }).inc();
        self.seconds.get_or_create(&Name { controller }).observe(took.as_secs_f64());
    }
}

fn report<E: std::error::Error>(
    name: &'static str,
    error: &kube::runtime::controller::Error<E, watcher::Error>,
) {
    use kube::runtime::controller::Error;
    match error {
        Error::ReconcilerFailed(error, object) => {
            tracing::warn!(controller = name, %object, %error, "reconcile failed and is tried again");
        }
        // An object that is gone needs nothing more: what was made of it goes with it.
        Error::ObjectNotFound(object) => tracing::debug!(controller = name, %object, "gone"),
        Error::QueueError(error) => {
            tracing::warn!(controller = name, %error, "a watch broke off and is taken up again")
        }
        error => tracing::warn!(controller = name, %error, "the controller stumbled"),
    }
}

/// Failures in a row, by object.
struct Failures<K: Resource<DynamicType = ()>>(Mutex<HashMap<ObjectRef<K>, u32>>);

impl<K: Resource<DynamicType = ()>> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource<DynamicType = ()>> Failures<K>
where
    ObjectRef<K>: Hash + Eq,
{
    fn count(&self, object: ObjectRef<K>) -> u32 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    fn forget(&self, object: &ObjectRef<K>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use kube::{Api, Client};
    use serde_json::json;

    use super::*;
    use crate::health::SILENCE;
    use crate::watch::watch_config;

    /// An API server with one ConfigMap, whose watches say nothing.
    fn one_object() -> Client {
        let service = tower::service_fn(|request: Request<Body>| async move {
            if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                std::future::pending::<()>().await;
            }
            let list = json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": { "resourceVersion": "1" },
                "items": [{ "metadata": { "name": "run", "namespace": "works", "uid": "1" } }] });
            Ok::<_, Infallible>(Response::new(Body::from(list.to_string().into_bytes())))
        });
        Client::new(service, "works")
    }

    #[tokio::test]
    async fn what_fails_a_few_times_is_done_before_anybody_waits_for_it() {
        const TRIES: usize = 4;
        let (stop, tries) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let (end, seen) = (stop.clone(), tries.clone());
        let reconcile = move |_: Arc<ConfigMap>, _: Arc<()>| {
            let count = {
                let mut seen = seen.lock().unwrap();
                seen.push(Instant::now());
                seen.len()
            };
            if count == TRIES {
                end.cancel();
            }
            // Another wrote in between: the next try sees it.
            let done = if count == TRIES { Ok(Action::await_change()) } else { Err(std::fmt::Error) };
            std::future::ready(done)
        };
        let runner = Runner::new(1, Health::new(), &Metrics::new()).until(stop);
        let controller = Controller::new(Api::namespaced(one_object(), "works"), watch_config());
        runner.run("test", controller, reconcile, Arc::new(())).await;
        let tries = tries.lock().unwrap();
        assert!(tries[TRIES - 1] - tries[0] < Duration::from_secs(2), "{tries:?}");
    }

    #[test]
    fn watches_that_break_off_one_after_the_other_are_all_taken_up_again_within_fifteen_seconds() {
        let mut pauses = Pauses::default();
        let eight: Duration = pauses.by_ref().take(8).sum();
        assert!(eight < Duration::from_secs(15), "{eight:?}");
        kube::runtime::utils::Backoff::reset(&mut pauses);
        assert!(pauses.next().unwrap() <= Duration::from_millis(200), "a watch that speaks is the end of it");
    }

    #[tokio::test]
    async fn a_controller_whose_kind_does_not_exist_is_not_wedged() {
        let service = tower::service_fn(|_: Request<Body>| {
            let page = Response::builder().status(404).body(Body::from(b"404 page not found".to_vec()));
            std::future::ready(Ok::<_, Infallible>(page.unwrap()))
        });
        let (health, began) = (Health::new(), Instant::now());
        let runner = Runner::new(1, health.clone(), &Metrics::new());
        let api: Api<ConfigMap> = Api::namespaced(Client::new(service, "works"), "works");
        let reconcile =
            |_: Arc<ConfigMap>, _: Arc<()>| std::future::ready(Ok::<_, Infallible>(Action::await_change()));
        let running = runner.run("test", Controller::new(api, watch_config()), reconcile, Arc::new(()));
        // Its watch fails again and again, long before the heart beats again.
        let both = async {
            while !health.silent(began + SILENCE + Duration::from_millis(300)).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = running => panic!("it ended"),
            () = both => {}
            () = tokio::time::sleep(Duration::from_secs(4)) => panic!("its errors are not heard"),
        }
    }

    #[test]
    fn failures_are_counted_by_object_and_forgotten_by_a_success() {
        let failures = Failures::<ConfigMap>::default();
        let (one, other) = (ObjectRef::new("one").within("a"), ObjectRef::new("one").within("b"));
        assert_eq!((failures.count(one.clone()), failures.count(one.clone())), (1, 2));
        assert_eq!(failures.count(other), 1);
        failures.forget(&one);
        assert_eq!(failures.count(one), 1);
    }
}
