//! Client: what a FineTune owes before it may go: what it cost is written down in its Collective, and what
//! `deletionPolicy: Delete` promises is done. One that costs nothing and retains its adapter has no finalizer.

use cooperator_api::collective::Collective;
use cooperator_api::common::DeletionPolicy;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names::FINALIZER;
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use cooperator_core::money::Amount;
use kube::ResourceExt as _;

use super::cost;
use super::gates::World;
use crate::domain;
use crate::finalizer;
use crate::pipeline::{Error, Pipeline};
use crate::runs::Bucket;

/// Whether the finalizer is as it should be; if not, it is brought there. False: it was changed just now.
pub async fn finalizer_is_right(pipeline: &Pipeline, tune: &FineTune, world: &World) -> Result<bool, Error> {
    let has = tune.finalizers().iter().any(|name| name == FINALIZER);
    // Without its Collective nobody knows what an attempt costs: what was so stays so.
    let costs = world.collective.as_ref().map_or(has, |collective| !is_free(collective));
    let rents = tune.spec.compute.node_pool_ref.is_some();
    let wanted = tune.spec.deletion_policy == DeletionPolicy::Delete || costs || rents;
    if wanted == has {
        return Ok(true);
    }
    finalizer::set(pipeline, tune, wanted).await?;
    Ok(false)
}

/// Whether an hour of a machine costs nothing.
fn is_free(collective: &Collective) -> bool {
    cost::price(Some(collective)).is_ok_and(|price| price.amount(3600) == Ok(Amount::ZERO))
}

/// What becomes of an adapter and its checkpoints, for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Whether something stays that was to go.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: &'static str,
    /// One line.
    pub note: String,
}

/// Writes down what it cost. With policy Delete, removes the adapter, unless another FineTune of the namespace has the
/// same one, and the checkpoints. Where the Collective or its key is gone, its bucket is out of
/// our hands and nothing is left to do. Returns what became of the data.
pub async fn remove(pipeline: &Pipeline, tune: &FineTune, world: &World) -> Result<Farewell, Error> {
    if let Some(collective) = &world.collective {
        write_cost(pipeline, tune, collective).await?;
    }
    data(pipeline, tune, world).await
}

/// Lets it go: nothing is owed any more.
pub async fn release(pipeline: &Pipeline, tune: &FineTune) -> Result<(), Error> {
    finalizer::set(pipeline, tune, false).await
}

async fn data(pipeline: &Pipeline, tune: &FineTune, world: &World) -> Result<Farewell, Error> {
    let kept = |warning, why: String| {
        Ok(Farewell { warning, reason: "DataKept", note: format!("adapter and checkpoints stay: {why}") })
    };
    if tune.spec.deletion_policy == DeletionPolicy::Retain {
        return kept(false, "deletionPolicy is Retain".into());
    }
    let Some(bucket) = located(world) else {
        return kept(true, "the Collective that knows their bucket is gone".into());
    };
    match contents(pipeline, tune, &bucket).await {
        Ok(true) => {
            let note = "adapter and checkpoints are deleted: deletionPolicy is Delete".into();
            Ok(Farewell { warning: false, reason: "DataDeleted", note })
        }
        Ok(false) => kept(false, "another FineTune has the same adapter; the checkpoints are deleted".into()),
        Err(Error::NoCredentials { name }) => {
            kept(true, format!("Secret `{name}` holds no key to the bucket"))
        }
        Err(error) => Err(error),
    }
}

/// Adds it to what the Collective has still to recover, once.
async fn write_cost(pipeline: &Pipeline, tune: &FineTune, collective: &Collective) -> Result<(), Error> {
    let price = cost::price(Some(collective))?;
    let Some(cost) = cost::departed(tune, price, pipeline.clock.now()) else { return Ok(()) };
    let mut all = collective.status.clone().unwrap_or_default().departed;
    if all.iter().any(|known| known.uid == cost.uid) {
        return Ok(());
    }
    all.push(cost);
    pipeline.set_departed(collective, &all).await
}

fn located(world: &World) -> Option<Bucket> {
    let storage = world.collective.as_ref()?.status.as_ref()?.storage.as_ref()?;
    Some(domain::located(storage))
}

/// False: the adapter stays, because another FineTune has it too.
async fn contents(pipeline: &Pipeline, tune: &FineTune, bucket: &Bucket) -> Result<bool, Error> {
    let namespace = tune.namespace().unwrap_or_default();
    let store = pipeline.store(&namespace, bucket).await?;
    let mut shared = false;
    if let Some(digest) = adapter(tune) {
        let others = pipeline.list::<FineTune>(&namespace).await?;
        shared = others.iter().any(|other| other.uid() != tune.uid() && adapter(other) == Some(digest));
        if !shared {
            store.delete_all(&layout::adapter(&digest, "")).await?;
        }
    }
    store.delete_all(&layout::checkpoints(&tune.uid().unwrap_or_default())).await?;
    Ok(!shared)
}

fn adapter(tune: &FineTune) -> Option<Digest> {
    tune.status.as_ref()?.adapter.as_ref()?.digest.parse().ok()
}
