//! Client: what a NodeClaim refers to.

use std::collections::BTreeMap;

use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::{Provider, ProviderType};
use cooperator_core::money::Amount;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::{books, container, node};
use crate::domain::has_ended;
use crate::pipeline::{Error, Pipeline};

/// How long a kubelet may take to say that a pod which has ended is gone.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// What a NodeClaim refers to, as read.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its pool.
    pub pool: Option<NodePool>,
    /// The Collective that pays.
    pub collective: Option<Collective>,
    /// The Providers of the pool, and those that its machines are at.
    pub providers: BTreeMap<String, Provider>,
    /// The FineTune it works for.
    pub tune: Option<FineTune>,
    /// Every NodeClaim of the namespace.
    pub claims: Vec<NodeClaim>,
    /// What of the Collective's budget is spent by all but those; nothing where it has none.
    pub spent_elsewhere: Amount,
    /// Its node.
    pub node: Option<Node>,
    /// Pods on its node that have not ended.
    pub pods: Vec<Pod>,
    /// Those that have.
    pub ended: Vec<Pod>,
}

/// Everything a NodeClaim refers to.
pub async fn world(pipeline: &Pipeline, claim: &NodeClaim) -> Result<World, Error> {
    let namespace = claim.namespace().unwrap_or_default();
    let pool: Option<NodePool> = pipeline.get(&namespace, &claim.spec.node_pool_ref.name).await?;
    let home = pool.as_ref().map(|pool| pool.spec.collective_ref.name.clone());
    let collective = match &home {
        Some(home) => pipeline.get(&namespace, home).await?,
        None => None,
    };
    let tune = match &claim.spec.fine_tune_ref {
        Some(tune) => pipeline.get(&namespace, &tune.name).await?,
        None => None,
    };
    let status = claim.status.clone().unwrap_or_default();
    let launched = status.launches.iter().map(|launch| launch.provider.clone());
    let offered = pool.iter().flat_map(|pool| pool.spec.provider_refs.iter().map(|one| one.name.clone()));
    let mut names: Vec<String> = launched.chain(offered).collect();
    names.sort_unstable();
    names.dedup();
    let read = names.iter().map(|name| pipeline.get::<Provider>(&namespace, name));
    let found = try_join_all(read).await?.into_iter().flatten();
    let providers = found.map(|provider| (provider.name_any(), provider)).collect();
    let claims = pipeline.list(&namespace).await?;
    let spent_elsewhere = match collective.as_ref().filter(|home: &&Collective| home.spec.budget.is_some()) {
        Some(home) => {
            let tunes = pipeline.list(&namespace).await?;
            books::spent_elsewhere(home, &tunes, &claims, pipeline.clock.now())
        }
        None => Amount::ZERO,
    };
    let (node, (pods, ended)) = match &status.node_name {
        Some(node) => (self::node(pipeline, node).await?, pods(pipeline, &namespace, node).await?),
        None => Default::default(),
    };
    let world = World { pool, collective, providers, tune, claims, spent_elsewhere, node, pods, ended };
    Ok(if world.is_lent(claim) { world.with_what_is_lent(claim) } else { world })
}

impl World {
    /// Whether the machine of a claim is a node that was there before, and will be.
    pub fn is_lent(&self, claim: &NodeClaim) -> bool {
        if container::has_node(claim) {
            return false;
        }
        let newest = claim.status.as_ref().and_then(|status| status.launches.last());
        let provider = newest.and_then(|launch| self.providers.get(&launch.provider));
        provider.is_some_and(|provider| provider.spec.type_ == ProviderType::Static)
    }

    /// Of such a node: only while the claim has it, and only what was made for the claim.
    fn with_what_is_lent(mut self, claim: &NodeClaim) -> Self {
        self.node = self.node.filter(|node| node::is_lent_to(node, claim));
        self.pods.retain(|pod| node::is_for(pod, claim));
        self.ended.retain(|pod| node::is_for(pod, claim));
        self
    }
}

async fn node(pipeline: &Pipeline, name: &str) -> Result<Option<Node>, Error> {
    let api: Api<Node> = Api::all(pipeline.client.clone());
    let read = |source| Error::Read { what: format!("Node `{name}`"), source: Box::new(source) };
    api.get_opt(name).await.map_err(read)
}

/// The pods of the namespace that were put on a node: those that have not ended, or not gone, and those that have.
async fn pods(pipeline: &Pipeline, namespace: &str, node: &str) -> Result<(Vec<Pod>, Vec<Pod>), Error> {
    let api: Api<Pod> = Api::namespaced(pipeline.client.clone(), namespace);
    let there = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let read = |source| Error::Read { what: format!("the Pods on Node `{node}`"), source: Box::new(source) };
    let found = api.list(&there).await.map_err(read)?.items;
    let now = pipeline.clock.now();
    let lives = |pod: &Pod| !has_ended(pod) || is_being_told(pod, now);
    // What is on every node is nobody's work.
    let is_everywhere = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet");
    Ok(found.into_iter().filter(|pod| !is_everywhere(pod)).partition(lives))
}

/// Whether a pod that has ended is deleted, and its kubelet may yet say that it is gone, which it cannot once its machine is
/// off: Kubernetes would take 40 s to notice.
fn is_being_told(pod: &Pod, now: Timestamp) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ended = containers
        .filter_map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
    let last = ended.max();
    pod.metadata.deletion_timestamp.is_some() && last.is_some_and(|last| now < later(last, TOLD_WITHIN))
}
