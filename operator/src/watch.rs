//! The controllers of the main job: what each watches, and which of its objects a change concerns.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cooperator_api::api_key::ApiKey;
use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_api::deployment::Deployment;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names;
use cooperator_api::settlement::Settlement;
use cooperator_core::backoff::Backoff;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::pipeline::{Error, Pipeline};
use crate::{api_key, base_model, contribution, dataset, deployment, fine_tune, settlement};

/// The pause after failures of one object in a row.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// A controller: its name, and what runs until it is dropped.
pub type Running = (&'static str, BoxFuture<'static, ()>);

/// The one list. Each works on at most `concurrency` objects at once.
pub fn controllers(pipeline: &Arc<Pipeline>, concurrency: u16) -> Vec<Running> {
    vec![
        ("apikey", api_keys(pipeline, concurrency)),
        ("basemodel", base_models(pipeline, concurrency)),
        ("contribution", contributions(pipeline, concurrency)),
        ("dataset", datasets(pipeline, concurrency)),
        ("deployment", deployments(pipeline, concurrency)),
        ("finetune", fine_tunes(pipeline, concurrency)),
        ("settlement", settlements(pipeline, concurrency)),
        ("periods", periods(pipeline, concurrency)),
    ]
}

fn api_keys(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<ApiKey>(pipeline), watcher::Config::default());
    drive("apikey", controller, pipeline, concurrency, api_key::reconcile)
}

fn base_models(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<BaseModel>(pipeline), watcher::Config::default());
    let store = controller.store();
    let controller = controller
        .owns(all::<Job>(pipeline), ours("basemodel"))
        .watches(all::<Pod>(pipeline), ours("basemodel"), of_run)
        .watches(all::<Collective>(pipeline), watcher::Config::default(), move |collective| {
            select(&store, &collective, |model, name| model.spec.collective_ref.name == name)
        });
    drive("basemodel", controller, pipeline, concurrency, base_model::reconcile)
}

fn contributions(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<Contribution>(pipeline), watcher::Config::default());
    let store = controller.store();
    let controller = controller
        .watches(all::<Collective>(pipeline), watcher::Config::default(), move |collective| {
            select(&store, &collective, |work, name| work.spec.collective_ref.name == name)
        })
        .watches(all::<Dataset>(pipeline), watcher::Config::default(), |dataset| {
            let namespace = dataset.namespace().unwrap_or_default();
            let rows = dataset.status.unwrap_or_default().contributions;
            rows.into_iter().map(move |row| ObjectRef::new(&row.name).within(&namespace))
        });
    drive("contribution", controller, pipeline, concurrency, contribution::reconcile)
}

fn datasets(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<Dataset>(pipeline), watcher::Config::default());
    let (by_collective, by_model, by_work) = (controller.store(), controller.store(), controller.store());
    let controller = controller
        .owns(all::<Job>(pipeline), ours("dataset"))
        .watches(all::<Pod>(pipeline), ours("dataset"), of_run)
        .watches(all::<Collective>(pipeline), watcher::Config::default(), move |collective| {
            select(&by_collective, &collective, |dataset, name| dataset.spec.collective_ref.name == name)
        })
        .watches(all::<BaseModel>(pipeline), watcher::Config::default(), move |model| {
            select(&by_model, &model, |dataset, name| dataset.spec.base_model_ref.name == name)
        })
        .watches(all::<Contribution>(pipeline), watcher::Config::default(), move |work| {
            let home = work.spec.collective_ref.name.clone();
            select(&by_work, &work, |dataset, _| dataset.spec.collective_ref.name == home)
        });
    drive("dataset", controller, pipeline, concurrency, dataset::reconcile)
}

fn deployments(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<Deployment>(pipeline), watcher::Config::default());
    let (by_tune, by_collective) = (controller.store(), controller.store());
    let controller = controller
        .owns(all::<v1::Deployment>(pipeline), ours("deployment"))
        .watches(all::<FineTune>(pipeline), watcher::Config::default(), move |tune| {
            select(&by_tune, &tune, |deployment, name| deployment.spec.fine_tune_ref.name == name)
        })
        .watches(all::<Collective>(pipeline), watcher::Config::default(), move |collective| {
            select(&by_collective, &collective, |_, _| true)
        });
    drive("deployment", controller, pipeline, concurrency, deployment::reconcile)
}

fn fine_tunes(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<FineTune>(pipeline), watcher::Config::default());
    let (by_dataset, by_model) = (controller.store(), controller.store());
    let (by_collective, by_work) = (controller.store(), controller.store());
    let controller = controller
        .owns(all::<Job>(pipeline), ours("finetune"))
        .watches(all::<Pod>(pipeline), ours("finetune"), of_run)
        .watches(all::<Dataset>(pipeline), watcher::Config::default(), move |dataset| {
            select(&by_dataset, &dataset, |tune, name| tune.spec.dataset_ref.name == name)
        })
        .watches(all::<BaseModel>(pipeline), watcher::Config::default(), move |model| {
            select(&by_model, &model, |tune, name| tune.spec.base_model_ref.name == name)
        })
        .watches(all::<Collective>(pipeline), watcher::Config::default(), move |collective| {
            select(&by_collective, &collective, |tune, _| waits(tune))
        })
        .watches(all::<Contribution>(pipeline), watcher::Config::default(), move |work| {
            select(&by_work, &work, |tune, _| waits(tune))
        });
    drive("finetune", controller, pipeline, concurrency, fine_tune::reconcile)
}

fn settlements(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<Settlement>(pipeline), watcher::Config::default());
    drive("settlement", controller, pipeline, concurrency, settlement::reconcile)
}

fn periods(pipeline: &Arc<Pipeline>, concurrency: u16) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<Collective>(pipeline), watcher::Config::default());
    let by_tune = controller.store();
    let controller = controller
        .owns(all::<Job>(pipeline), ours("collective"))
        .watches(all::<Pod>(pipeline), ours("collective"), of_run)
        .watches(all::<Settlement>(pipeline), watcher::Config::default(), |settlement| {
            let namespace = settlement.namespace().unwrap_or_default();
            Some(ObjectRef::new(&settlement.spec.collective_ref.name).within(&namespace))
        })
        .watches(all::<FineTune>(pipeline), watcher::Config::default(), move |tune| {
            select(&by_tune, &tune, |_, _| true)
        });
    drive("periods", controller, pipeline, concurrency, settlement::periods::reconcile)
}

/// Whether a FineTune may be waiting for a gate.
fn waits(tune: &FineTune) -> bool {
    tune.status.as_ref().is_none_or(|status| status.adapter.is_none())
}

fn all<K: Resource<DynamicType = ()>>(pipeline: &Pipeline) -> Api<K> {
    Api::all(pipeline.client.clone())
}

/// What was made for runs of one kind.
fn ours(kind: &str) -> watcher::Config {
    let labels = format!("{}={},{}={kind}", names::LABEL_MANAGED_BY, names::MANAGED_BY, names::LABEL_KIND);
    watcher::Config::default().labels(&labels)
}

/// The object a run's pod was made for.
fn of_run<K: Resource<DynamicType = ()>>(pod: Pod) -> Option<ObjectRef<K>> {
    let namespace = pod.namespace()?;
    let name = pod.labels().get(names::LABEL_NAME)?;
    Some(ObjectRef::new(name).within(&namespace))
}

/// The objects of the changed one's namespace that it concerns; `concerns` is given its name.
fn select<K, Other>(
    store: &Store<K>,
    changed: &Other,
    concerns: impl Fn(&K, &str) -> bool,
) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    Other: Resource,
{
    let (namespace, name) = (changed.namespace(), changed.name_any());
    let here = store.state().into_iter().filter(|object| object.namespace() == namespace);
    here.filter(|object| concerns(object, &name)).map(|object| ObjectRef::from_obj(&*object)).collect()
}

/// Runs a controller: bounded, one backoff an object, one span a reconcile.
fn drive<K, F, Fut>(
    name: &'static str,
    controller: Controller<K>,
    pipeline: &Arc<Pipeline>,
    concurrency: u16,
    reconcile: F,
) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Pipeline>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let failures = Arc::new(Failures::default());
    let forgiven = failures.clone();
    let run = move |object: Arc<K>, pipeline: Arc<Pipeline>| {
        let reference = ObjectRef::from_obj(&*object);
        let namespace = object.namespace().unwrap_or_default();
        let span = tracing::info_span!("reconcile", controller = name, namespace, name = object.name_any());
        let forgiven = forgiven.clone();
        async move {
            let done = reconcile(object, pipeline).await?;
            forgiven.forget(&reference);
            Ok(done)
        }
        .instrument(span)
    };
    let policy = move |object: Arc<K>, error: &Error, _: Arc<Pipeline>| {
        let delay = failures.next(ObjectRef::from_obj(&*object));
        tracing::warn!(controller = name, object = object.name_any(), %error, ?delay, "a reconcile failed");
        Action::requeue(delay)
    };
    controller
        .with_config(Config::default().concurrency(concurrency))
        .run(run, policy, pipeline.clone())
        .for_each(move |result| async move {
            if let Err(error) = result {
                tracing::debug!(controller = name, %error, "an object is looked at again");
            }
        })
        .boxed()
}

/// Failures in a row, by object.
struct Failures<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash> Failures<K> {
    fn next(&self, key: K) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
        RETRY.delay(*count)
    }

    fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_object_slow_only_that_object_until_it_succeeds() {
        let failures = Failures::default();
        assert_eq!([failures.next("a"), failures.next("a")].map(|delay| delay.as_secs()), [1, 2]);
        assert_eq!(failures.next("b").as_secs(), 1);
        failures.forget(&"a");
        assert_eq!(failures.next("a").as_secs(), 1);
    }
}
