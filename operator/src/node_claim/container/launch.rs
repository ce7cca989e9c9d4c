//! Client: rents the container of a pod that is bound to the claim's node.

use std::time::Duration;

use cooperator_api::common::Attempt;
use cooperator_api::node_claim::NodeClaim;
use cooperator_contract::hosted;
use cooperator_core::time::Timestamp;
use cooperator_providers::{Container, InstanceName};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::payload::{Access, payload};
use super::work;
use crate::domain::{Hold, has_ended};
use crate::node_claim::dereference::World;
use crate::node_claim::join::{self, Joining};
use crate::node_claim::machine::Moved;
use crate::node_claim::offers::Chosen;
use crate::node_claim::place::{self, MARKET, Sought};
use crate::node_claim::reconcile;
use crate::node_claim::status::Choosing;
use crate::pipeline::Error;
use crate::rent::Rent;
use crate::runs;

/// Reason of a claim whose pod cannot leave the cluster.
pub const REFUSED: &str = "PodRefused";

/// Writes down what was chosen: the virtual node stands for it until its pod is bound. Nothing costs anything yet.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn reserve(
    rent: &Rent,
    world: &World,
    moved: &Moved,
    chosen: Chosen,
    now: Timestamp,
) -> Result<Moved, Error> {
    join::forget_token(&rent.pipeline, &moved.claim).await?;
    let number = moved.record.launches.last().map_or(0, |launch| launch.number) + 1;
    let node_name = join::node_name(&moved.claim, number);
    let choosing = Choosing { chosen, joining: Joining { node_name, bootstrap: None } };
    let claim = reconcile::persist(rent, &moved.claim, world, &moved.record, &choosing, now).await?;
    let record = moved.record.clone();
    let again = Some(Duration::ZERO);
    Ok(Moved { claim, record, choosing: Some(choosing), hold: None, again, forgot_token: false })
}

/// Rents a container for the pod, once there is one. The market is asked anew: what was chosen when the node was made may
/// be gone, and the node of a pod that does not run yet can be any host's.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn place(
    rent: &Rent,
    world: &World,
    moved: Moved,
    name: &InstanceName,
    now: Timestamp,
) -> Result<Moved, Error> {
    let Some(work) = due(&moved, world) else { return Ok(moved) };
    let container = match container(rent, &moved.claim, world, work).await? {
        Ok(container) => container,
        Err(hold) => return Ok(Moved { hold: Some(hold), again: Some(MARKET), ..moved }),
    };
    place::place(rent, world, moved, name, Sought::Container(container), now).await
}

/// The pod that waits for its container, and the attempt it is of.
fn due<'a>(moved: &Moved, world: &'a World) -> Option<(&'a Attempt, &'a Pod)> {
    let attempt = work::attempt(&moved.claim, world).filter(|attempt| attempt.ended_at.is_none())?;
    let pod = work::pod(&moved.claim, world)?;
    let waits = !has_ended(pod) && work::leaves_at(pod).is_none();
    (waits && attempt.reason.is_none() && work::ran(&moved.record).is_none()).then_some((attempt, pod))
}

/// What is rented for the pod.
async fn container(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    (attempt, pod): (&Attempt, &Pod),
) -> Result<Result<Container, Hold>, Error> {
    let namespace = claim.namespace().unwrap_or_default();
    let Some(base) = rent.pipeline.site.outside_url() else {
        let message = "runs on a container reach this installation nowhere: set rentedNodes.progressUrl";
        return Ok(Err(Hold::new("NoProgressUrl", message)));
    };
    let Some(token) = runs::token_of(&rent.pipeline.client, &namespace, &attempt.job).await? else {
        let message = format!("Secret `{}` with the run's token is not there yet", attempt.job);
        return Ok(Err(Hold::new("WaitingForToken", message)));
    };
    // One that was lost and made anew is in status first.
    if token.sha256() != attempt.token_sha256 {
        return Ok(Err(Hold::new("WaitingForToken", "the run's token is not the one that status knows")));
    }
    let uid = world.tune.as_ref().and_then(|tune| tune.uid()).unwrap_or_default();
    let tune = claim.spec.fine_tune_ref.as_ref().map_or("", |tune| &tune.name);
    let run = hosted::Run {
        namespace: &namespace,
        name: tune,
        uid: &uid,
        attempt: u32::try_from(attempt.number).unwrap_or_default(),
    };
    let run_file = run.url(base, hosted::FILE);
    let access = Access { job: &attempt.job, token: token.reveal(), run_file: &run_file };
    Ok(payload(pod, &access).map_err(|refusal| Hold::new(REFUSED, refusal.to_string())))
}
