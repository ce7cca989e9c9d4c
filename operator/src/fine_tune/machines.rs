//! Client: the NodeClaims of a FineTune: read, made when an attempt needs one, deleted when none does.

use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_kit::answer::{is_absent, is_there};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};

use super::claim;
use super::gates::{Admitted, World};
use super::machine::{self, Need};
use crate::domain::Hold;
use crate::pipeline::{Error, Pipeline};

/// The claims of this FineTune. One that rents nothing, and never did, costs no call.
pub async fn of(pipeline: &Pipeline, tune: &FineTune) -> Result<Vec<NodeClaim>, Error> {
    let had = tune.status.as_ref().is_some_and(|status| !status.machines.is_empty());
    let rents = tune.spec.compute.node_pool_ref.is_some() && pipeline.site.rents;
    if !rents && !had {
        return Ok(Vec::new());
    }
    let namespace = tune.namespace().unwrap_or_default();
    Ok(machine::own(tune, pipeline.list(&namespace).await?))
}

/// Makes the claim that is needed. What remains is what the run has to wait for.
pub async fn provide(
    pipeline: &Pipeline,
    tune: &FineTune,
    world: &World,
    admitted: &Admitted,
    need: Need,
) -> Result<Need, Error> {
    let Need::Claim(name) = need else { return Ok(need) };
    if !pipeline.site.rents {
        let message = "this installation rents no machines: install the chart with rentedNodes.enabled, or leave spec.compute.nodePoolRef out";
        return Ok(Need::Wait(Hold::new("RentingDisabled", message)));
    }
    let namespace = tune.namespace().unwrap_or_default();
    let pool_name = tune.spec.compute.node_pool_ref.as_ref().map_or("", |pool| &pool.name);
    let Some(pool) = pipeline.get::<NodePool>(&namespace, pool_name).await? else {
        let message = format!("NodePool `{pool_name}` does not exist in this namespace: create it");
        return Ok(Need::Wait(Hold::new("NodePoolNotFound", message)));
    };
    if pool.spec.collective_ref.name != admitted.collective {
        let message = format!(
            "NodePool `{pool_name}` belongs to another Collective: use one of `{}`",
            admitted.collective
        );
        return Ok(Need::Wait(Hold::new("CollectiveMismatch", message)));
    }
    let wanted = match claim::build(tune, world, &pool, admitted, &name) {
        Ok(wanted) => wanted,
        Err(hold) => return Ok(Need::Wait(hold)),
    };
    let api: Api<NodeClaim> = Api::namespaced(pipeline.client.clone(), &namespace);
    match api.create(&PostParams::default(), &wanted).await {
        Ok(_) => {}
        // Another pass has made it.
        Err(error) if is_there(&error) => {}
        Err(error) => return Err(Error::write(format!("NodeClaim `{name}`"))(error)),
    }
    let message = format!("NodeClaim `{name}` has just been made");
    Ok(Need::Wait(Hold::new("WaitingForMachine", message)))
}

/// Deletes claims that are not being deleted: their machines are given back.
pub async fn release(pipeline: &Pipeline, claims: &[&NodeClaim]) -> Result<(), Error> {
    for claim in claims.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
        let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
        let api: Api<NodeClaim> = Api::namespaced(pipeline.client.clone(), &namespace);
        match api.delete(&name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(Error::write(format!("NodeClaim `{name}`"))(error)),
        }
    }
    Ok(())
}
