//! Pure: what a run says of its machine before the first step. One that is not fit is ended, and its host is left alone.

use cooperator_api::node_claim::{ClaimedOffer, NodeClaim};
use cooperator_contract::outcome::{FailureReason, Outcome};

use super::container::work;
use super::dereference::World;
use crate::runs;

/// Why the machine of a claim is not fit, as the run on it says. The pod says so first; the attempt still does when that is
/// gone.
pub fn why(claim: &NodeClaim, world: &World) -> Option<String> {
    let attempt = work::attempt(claim, world)?;
    if runs::is_unfit(attempt) {
        return Some(attempt.message.clone().unwrap_or_default());
    }
    match runs::outcome(work::pod(claim, world)?)? {
        Outcome::Failed { reason: FailureReason::PreflightFailed, message } => Some(message),
        Outcome::Failed { .. } | Outcome::Succeeded { .. } => None,
    }
}

/// What attempts of the same FineTune found unfit at a Provider. Its own list of blocked hosts may be a moment behind.
pub fn offers<'a>(
    claim: &NodeClaim,
    world: &'a World,
    provider: &'a str,
) -> impl Iterator<Item = &'a ClaimedOffer> {
    let tune = claim.spec.fine_tune_ref.clone();
    let status = world.tune.as_ref().and_then(|tune| tune.status.as_ref());
    let attempts = status.map(|status| status.attempts.as_slice()).unwrap_or_default();
    let unfit = attempts.iter().filter(|attempt| runs::is_unfit(attempt));
    let names: Vec<&str> = unfit.filter_map(|attempt| attempt.node_claim.as_deref()).collect();
    world.claims.iter().filter_map(move |other| {
        let name = other.metadata.name.as_deref()?;
        let status = other.status.as_ref()?;
        let is_there = status.provider_ref.as_ref().is_some_and(|at| at.name == provider);
        let is_unfit = tune.is_some() && other.spec.fine_tune_ref == tune && names.contains(&name);
        status.offer.as_ref().filter(|_| is_there && is_unfit)
    })
}
