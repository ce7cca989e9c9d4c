//! The steps, in order.

use std::sync::Arc;

use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::status::{self, World};
use crate::pipeline::{Error, Pipeline, again};
use crate::report::Fields;

/// Field manager of this controller.
const MANAGER: &str = "cooperator-nodepool";

/// Sums up what is rented from one pool, and what its runs have taught.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(pool: Arc<NodePool>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if pool.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let world = world(&pipeline, &pool).await?; // client
    let now = pipeline.clock.now();
    let status = status::status(&pool, &world, now); // pure
    let findings = status::findings(&pool, &world); // pure
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&[]));
    reporter.report(&*pool, &status, &findings, now).await?; // client
    Ok(again(None))
}

async fn world(pipeline: &Pipeline, pool: &NodePool) -> Result<World, Error> {
    let namespace = pool.namespace().unwrap_or_default();
    let (collective, providers, claims, tunes) = futures::try_join!(
        pipeline.get::<Collective>(&namespace, &pool.spec.collective_ref.name),
        pipeline.list::<Provider>(&namespace),
        pipeline.list::<NodeClaim>(&namespace),
        pipeline.list::<FineTune>(&namespace),
    )?;
    Ok(World { collective, providers, claims, tunes })
}
