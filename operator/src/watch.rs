//! The controllers of the main job: what each watches, and which of its objects a change concerns.

use std::sync::Arc;

use cooperator_api::api_key::ApiKey;
use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_api::deployment::Deployment;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_api::settlement::Settlement;
use cooperator_kit::{Runner, watch_config};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::glimpse::Glimpse;
use crate::pipeline::{Error, Pipeline};
use crate::rent::Rent;
use crate::settlement::periods::Costs;
use crate::{
    api_key, base_model, collective, contribution, dataset, deployment, fine_tune, node_claim, node_pool,
    provider, settlement,
};

/// The one list. Each runs until `runner` is stopped.
pub fn controllers(context: &Arc<Context>, runner: &Runner) -> Vec<BoxFuture<'static, ()>> {
    let pipeline = &context.pipeline;
    let rented = context.rent.iter().flat_map(|rent| rented(rent, runner));
    let all = vec![
        api_keys(pipeline, runner),
        base_models(pipeline, runner),
        collectives(context, runner),
        contributions(pipeline, runner),
        datasets(pipeline, runner),
        deployments(pipeline, runner),
        fine_tunes(pipeline, runner, context.rent.is_some()),
        settlements(pipeline, runner),
        periods(pipeline, runner),
    ];
    all.into_iter().chain(rented).collect()
}

/// Those of rented machines, where the installation is to rent any.
fn rented(rent: &Arc<Rent>, runner: &Runner) -> Vec<BoxFuture<'static, ()>> {
    vec![providers(rent, runner), node_pools(rent, runner), node_claims(rent, runner), requests(rent, runner)]
}

fn providers(rent: &Arc<Rent>, runner: &Runner) -> BoxFuture<'static, ()> {
    let pipeline = &rent.pipeline;
    drive("provider", of::<Provider>(pipeline), runner, provider::reconcile, rent, pipeline)
}

fn node_pools(rent: &Arc<Rent>, runner: &Runner) -> BoxFuture<'static, ()> {
    let pipeline = &rent.pipeline;
    let controller = of::<NodePool>(pipeline);
    let (by_claim, by_provider, by_tune) = (controller.store(), controller.store(), controller.store());
    let controller = controller
        .watches(seen::<NodeClaim>(pipeline), watch_config(), move |claim| {
            select(&by_claim, &claim, |_, _| true)
        })
        .watches(seen::<Provider>(pipeline), watch_config(), move |provider| {
            select(&by_provider, &provider, |_, _| true)
        })
        .watches(all::<Glimpse<FineTune, Costs>>(pipeline), watch_config(), move |tune| {
            let told = tune.status.as_ref().is_some_and(Costs::has_rented);
            if told { select(&by_tune, &tune, |_, _| true) } else { Vec::new() }
        });
    drive("nodepool", controller, runner, node_pool::reconcile, pipeline, pipeline)
}

fn node_claims(rent: &Arc<Rent>, runner: &Runner) -> BoxFuture<'static, ()> {
    let pipeline = &rent.pipeline;
    let controller = of::<NodeClaim>(pipeline);
    let (by_pool, by_tune) = (controller.store(), controller.store());
    let nodes = watch_config().labels(names::LABEL_NODE_CLAIM);
    let controller = controller
        .watches(all::<Node>(pipeline), nodes, |node| {
            let label = |name: &str| node.labels().get(name).cloned();
            let claim = label(names::LABEL_NODE_CLAIM)?;
            Some(ObjectRef::new(&claim).within(&label(names::LABEL_NODE_CLAIM_NAMESPACE)?))
        })
        // A pod on a virtual node is the operator's to run.
        .watches(all::<Pod>(pipeline), watch_config().labels(names::LABEL_NODE_CLAIM), |pod| {
            let claim = pod.labels().get(names::LABEL_NODE_CLAIM)?;
            Some(ObjectRef::new(claim).within(&pod.namespace()?))
        })
        .watches(seen::<NodePool>(pipeline), watch_config(), move |pool| select(&by_pool, &pool, |_, _| true))
        .watches(seen::<FineTune>(pipeline), watch_config(), move |tune| {
            select(&by_tune, &tune, |claim, name| claim.serves(name))
        });
    drive("nodeclaim", controller, runner, node_claim::reconcile, rent, pipeline)
}

fn collectives(context: &Arc<Context>, runner: &Runner) -> BoxFuture<'static, ()> {
    let pipeline = &context.pipeline;
    let controller = of::<Collective>(pipeline).owns(all::<v1::Deployment>(pipeline), ours("collective"));
    drive("collective", controller, runner, collective::reconcile, context, pipeline)
}

fn api_keys(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    drive("apikey", of::<ApiKey>(pipeline), runner, api_key::reconcile, pipeline, pipeline)
}

fn base_models(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    let controller = of::<BaseModel>(pipeline);
    let store = controller.store();
    let controller = controller
        .owns(all::<Job>(pipeline), ours("basemodel"))
        .watches(all::<Pod>(pipeline), ours("basemodel"), of_pod)
        .watches(seen::<Collective>(pipeline), watch_config(), move |collective| {
            select(&store, &collective, |model, name| model.is_of(name))
        });
    drive("basemodel", controller, runner, base_model::reconcile, pipeline, pipeline)
}

fn contributions(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    let controller = of::<Contribution>(pipeline);
    let store = controller.store();
    let controller = controller
        .watches(seen::<Collective>(pipeline), watch_config(), move |collective| {
            select(&store, &collective, |work, name| work.is_of(name))
        })
        .watches(all::<Dataset>(pipeline), watch_config(), |dataset| {
            let namespace = dataset.namespace().unwrap_or_default();
            let rows = dataset.status.unwrap_or_default().contributions;
            rows.into_iter().map(move |row| ObjectRef::new(&row.name).within(&namespace))
        });
    drive("contribution", controller, runner, contribution::reconcile, pipeline, pipeline)
}

fn datasets(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    let controller = of::<Dataset>(pipeline);
    let (by_collective, by_model, by_work) = (controller.store(), controller.store(), controller.store());
    let controller = controller
        .owns(all::<Job>(pipeline), ours("dataset"))
        .watches(all::<Pod>(pipeline), ours("dataset"), of_pod)
        .watches(seen::<Collective>(pipeline), watch_config(), move |collective| {
            select(&by_collective, &collective, |dataset, name| dataset.is_of(name))
        })
        .watches(seen::<BaseModel>(pipeline), watch_config(), move |model| {
            select(&by_model, &model, |dataset, name| dataset.starts_from(name))
        })
        .watches(seen::<Contribution>(pipeline), watch_config(), move |work| {
            select(&by_work, &work, |dataset, _| dataset.is_of(work.collective()))
        });
    drive("dataset", controller, runner, dataset::reconcile, pipeline, pipeline)
}

fn deployments(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    let controller = of::<Deployment>(pipeline);
    let (by_tune, by_collective) = (controller.store(), controller.store());
    let controller = controller
        .owns(all::<v1::Deployment>(pipeline), ours("deployment"))
        .watches(all::<Pod>(pipeline), ours("deployment"), of_pod)
        .watches(seen::<FineTune>(pipeline), watch_config(), move |tune| {
            select(&by_tune, &tune, |deployment, name| deployment.serves(name))
        })
        .watches(seen::<Collective>(pipeline), watch_config(), move |collective| {
            select(&by_collective, &collective, |_, _| true)
        })
        .watches(all::<Settlement>(pipeline), watch_config(), |settlement| {
            let namespace = settlement.namespace().unwrap_or_default();
            let earners = settlement.spec.revenue.into_iter().chain(settlement.spec.corrections);
            earners.map(move |line| ObjectRef::new(&line.deployment).within(&namespace))
        });
    drive("deployment", controller, runner, deployment::reconcile, pipeline, pipeline)
}

/// `rents`: whether this installation rents machines; where it does not, it may not even look at claims of them.
fn fine_tunes(pipeline: &Arc<Pipeline>, runner: &Runner, rents: bool) -> BoxFuture<'static, ()> {
    let controller = of::<FineTune>(pipeline);
    let (by_dataset, by_model) = (controller.store(), controller.store());
    let (by_collective, by_work) = (controller.store(), controller.store());
    let controller = controller
        .owns(all::<Job>(pipeline), ours("finetune"))
        .watches(all::<Pod>(pipeline), ours("finetune"), of_pod)
        .watches(seen::<Dataset>(pipeline), watch_config(), move |dataset| {
            select(&by_dataset, &dataset, |tune, name| tune.trains_on(name))
        })
        .watches(seen::<BaseModel>(pipeline), watch_config(), move |model| {
            select(&by_model, &model, |tune, name| tune.starts_from(name))
        })
        .watches(seen::<Collective>(pipeline), watch_config(), move |collective| {
            select(&by_collective, &collective, |tune, _| waits(tune))
        })
        .watches(seen::<Contribution>(pipeline), watch_config(), move |work| {
            select(&by_work, &work, |tune, _| waits(tune))
        });
    let controller =
        if rents { controller.owns(seen::<NodeClaim>(pipeline), watch_config()) } else { controller };
    drive("finetune", controller, runner, fine_tune::reconcile, pipeline, pipeline)
}

fn settlements(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    drive("settlement", of::<Settlement>(pipeline), runner, settlement::reconcile, pipeline, pipeline)
}

fn periods(pipeline: &Arc<Pipeline>, runner: &Runner) -> BoxFuture<'static, ()> {
    let controller = of::<Collective>(pipeline);
    let by_tune = controller.store();
    let controller = controller
        .owns(all::<Job>(pipeline), ours("collective"))
        .watches(all::<Pod>(pipeline), ours("collective"), of_pod)
        .watches(seen::<Settlement>(pipeline), watch_config(), |settlement| {
            let namespace = settlement.namespace().unwrap_or_default();
            Some(ObjectRef::new(settlement.collective()).within(&namespace))
        })
        .watches(all::<Glimpse<FineTune, Costs>>(pipeline), watch_config(), move |tune| {
            let told = tune.status.as_ref().is_some_and(Costs::may_have_changed);
            if told { select(&by_tune, &tune, |_, _| true) } else { Vec::new() }
        });
    drive("periods", controller, runner, settlement::periods::reconcile, pipeline, pipeline)
}

/// Requests for certificates belong to no namespace, and are small.
fn requests(rent: &Arc<Rent>, runner: &Runner) -> BoxFuture<'static, ()> {
    let controller = Controller::new(all::<CertificateSigningRequest>(&rent.pipeline), watch_config());
    let (runner, rent) = (runner.clone(), rent.clone());
    async move { runner.run("csr", controller, node_claim::answer, rent).await }.boxed()
}

/// Whether a FineTune may be waiting for a gate.
fn waits(tune: &Glimpse<FineTune>) -> bool {
    tune.status.as_ref().is_none_or(|status| status.adapter.is_none())
}

/// A controller of a kind of ours.
fn of<K>(pipeline: &Pipeline) -> Controller<Glimpse<K>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    Controller::new(seen(pipeline), watch_config())
}

/// Objects of a kind of ours as far as others need to know them.
fn seen<K: Resource<DynamicType = ()>>(pipeline: &Pipeline) -> Api<Glimpse<K>> {
    all(pipeline)
}

fn all<K: Resource<DynamicType = ()>>(pipeline: &Pipeline) -> Api<K> {
    Api::all(pipeline.client.clone())
}

/// What was made for runs of one kind.
fn ours(kind: &str) -> watcher::Config {
    let labels = format!("{}={},{}={kind}", names::LABEL_MANAGED_BY, names::MANAGED_BY, names::LABEL_KIND);
    watch_config().labels(&labels)
}

/// The object a pod was made for.
fn of_pod<K: Resource<DynamicType = ()>>(pod: Pod) -> Option<ObjectRef<K>> {
    let namespace = pod.namespace()?;
    let name = pod.labels().get(names::LABEL_NAME)?;
    Some(ObjectRef::new(name).within(&namespace))
}

/// The objects of the changed one's namespace that it concerns; `concerns` is given its name.
fn select<K, Other>(
    store: &Store<Glimpse<K>>,
    changed: &Other,
    concerns: impl Fn(&Glimpse<K>, &str) -> bool,
) -> Vec<ObjectRef<Glimpse<K>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    Other: Resource,
{
    let (namespace, name) = (changed.namespace(), changed.name_any());
    let here = store.state().into_iter().filter(|object| object.namespace() == namespace);
    here.filter(|object| concerns(object, &name)).map(|object| ObjectRef::from_obj(&*object)).collect()
}

/// A controller on the kit's runner. An object is read anew before it is worked on; one that is gone needs nothing more.
fn drive<K, C, E, F, Fut>(
    name: &'static str,
    controller: Controller<Glimpse<K>>,
    runner: &Runner,
    reconcile: F,
    context: &Arc<C>,
    pipeline: &Arc<Pipeline>,
) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
    K: DeserializeOwned + Send + Sync + 'static,
    C: Send + Sync + 'static,
    E: std::error::Error + From<Error> + Send + 'static,
    F: Fn(Arc<K>, Arc<C>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Action, E>> + Send + 'static,
{
    let (runner, context, pipeline) = (runner.clone(), context.clone(), pipeline.clone());
    let reconcile = Arc::new(reconcile);
    let read_anew = move |seen: Arc<Glimpse<K>>, context: Arc<C>| {
        let (reconcile, pipeline) = (reconcile.clone(), pipeline.clone());
        async move {
            let namespace = seen.namespace().unwrap_or_default();
            match pipeline.get::<K>(&namespace, &seen.name_any()).await? {
                Some(object) => reconcile(Arc::new(object), context).await,
                None => Ok(Action::await_change()),
            }
        }
    };
    async move { runner.run(name, controller, read_anew, context).await }.boxed()
}
