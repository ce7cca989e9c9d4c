//! Client: what a NodeClaim owes before it may go: that its machine has ended, and that what it cost stands where it is
//! recovered from.

use cooperator_api::collective::Departed;
use cooperator_api::names::FINALIZER;
use cooperator_api::node_claim::NodeClaim;
use cooperator_core::money::Amount;
use cooperator_core::time::Timestamp;
use cooperator_rental::Record;
use kube::ResourceExt as _;

use super::dereference::World;
use super::record;
use crate::finalizer;
use crate::pipeline::{Error, Pipeline};

/// Sets the finalizer, before anything is paid for. False: it was set just now.
pub async fn finalizer_is_set(pipeline: &Pipeline, claim: &NodeClaim) -> Result<bool, Error> {
    if claim.finalizers().iter().any(|name| name == FINALIZER) || claim.metadata.deletion_timestamp.is_some()
    {
        return Ok(true);
    }
    finalizer::set(pipeline, claim, true).await?;
    Ok(false)
}

/// Lets it go, if nothing is owed any more. Its FineTune writes down what it cost, and must have; where that is gone, the
/// Collective's books take it. False: it has to wait.
pub async fn let_go(
    pipeline: &Pipeline,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    now: Timestamp,
) -> Result<bool, Error> {
    if !record.is_accounted() {
        return Ok(false);
    }
    if !is_in_the_books(claim, world) {
        // A FineTune has a line for each machine. Where none was made, there is nothing to wait for.
        let is_awaited = record.launches.iter().any(|launch| launch.machine.is_some());
        if world.tune.is_some() && is_awaited {
            return Ok(false);
        }
        write_down(pipeline, claim, world, record, now).await?;
    }
    finalizer::set(pipeline, claim, false).await?;
    Ok(true)
}

/// Whether its FineTune has written down what it cost in the end.
fn is_in_the_books(claim: &NodeClaim, world: &World) -> bool {
    let machines =
        world.tune.iter().filter_map(|tune| tune.status.as_ref()).flat_map(|status| &status.machines);
    machines.filter(|machine| Some(&machine.uid) == claim.uid().as_ref()).any(|machine| machine.is_final)
}

/// Adds it to what the Collective has still to recover, once.
async fn write_down(
    pipeline: &Pipeline,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(collective) = &world.collective else { return Ok(()) };
    let launches = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
    let cost = record::cost(record, launches, now).map_err(|error| Error::Domain(error.to_string()))?;
    let uid = claim.uid().unwrap_or_default();
    let mut all = collective.status.clone().unwrap_or_default().departed;
    if cost == Amount::ZERO || all.iter().any(|known| known.uid == uid) {
        return Ok(());
    }
    let ended = record.launches.iter().filter_map(|launch| launch.confirmed_at).max().unwrap_or(now);
    let fine_tune =
        claim.spec.fine_tune_ref.as_ref().map_or_else(|| claim.name_any(), |tune| tune.name.clone());
    all.push(Departed {
        uid,
        fine_tune,
        cost: cost.to_string(),
        ended_at: cooperator_core::time::whole_second(ended).to_string(),
    });
    pipeline.set_departed(collective, &all).await
}
