//! Pure: which machine an attempt runs on, where `spec.compute.nodePoolRef` rents one for it.

use cooperator_api::common::{Attempt, condition};
use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_api::node_claim::{NodeClaim, Shape};
use cooperator_api::preflight::PreflightFloors;
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::preflight::Floors;
use cooperator_core::money::PricePerHour;
use cooperator_rental::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::status::Training;
use crate::domain::{Hold, duration};
use crate::runs::{self, Failure, FailureKind, Machine, Phase};

/// What is to be done about machines before the run is moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// It rents none: it runs on nodes that are there.
    None,
    /// It runs, or may run, on this one.
    Use(Machine),
    /// A claim of this name has to be made.
    Claim(String),
    /// Its claim has no machine yet.
    Wait(Hold),
    /// The open attempt cannot go on where it is.
    Leave(Machine, Failure),
}

/// Decides. `claims`: those of this FineTune. `attempts`: as status holds them.
pub fn need(tune: &FineTune, claims: &[NodeClaim], attempts: &[Attempt]) -> Need {
    if tune.spec.compute.node_pool_ref.is_none() {
        return Need::None;
    }
    let open = attempts.last().filter(|newest| newest.ended_at.is_none());
    if let Some(name) = open.and_then(|attempt| attempt.node_claim.as_ref()) {
        return under_way(name, claims);
    }
    let Some(claim) = newest(claims, attempts) else { return Need::Claim(next_name(tune, claims)) };
    match (ready(claim), claim.uid()) {
        (Some(found), Some(uid)) if found.status == "True" => Need::Use(machine(claim, uid)),
        (found, _) => Need::Wait(wait(claim, found)),
    }
}

/// Of an attempt that is open: its machine is there, or is lost.
fn under_way(name: &str, claims: &[NodeClaim]) -> Need {
    let found = claims.iter().find(|claim| claim.name_any() == name);
    let Some(claim) = found else {
        let machine =
            Machine { claim: name.to_owned(), uid: String::new(), is_container: false, floors: None };
        let message = format!(
            "NodeClaim `{name}`, which it ran on, is gone: it goes on from its checkpoint on another machine"
        );
        return Need::Leave(machine, Failure::new(FailureKind::Preempted, message));
    };
    let uid = claim.uid().unwrap_or_default();
    let machine = machine(claim, uid);
    match ending(claim) {
        Some(why) => {
            let message = format!(
                "its machine is to end ({}: {}): it goes on from its checkpoint on another",
                why.reason, why.message
            );
            let kind = match why.reason.as_str() {
                // One to which its pod never came says something of the run: that is not tried for ever.
                reason if reason == Reason::Idle.label() => FailureKind::Stalled,
                // Its pod has said so, and its Job not yet.
                reason if reason == Reason::PreflightFailed.label() => {
                    FailureKind::Run(FailureReason::PreflightFailed)
                }
                _ => FailureKind::Preempted,
            };
            Need::Leave(machine, Failure::new(kind, message))
        }
        None => Need::Use(machine),
    }
}

fn machine(claim: &NodeClaim, uid: String) -> Machine {
    Machine { claim: claim.name_any(), uid, is_container: is_container(claim), floors: floors(claim) }
}

/// What the run is to ask of its machine. The API bounds each from below at zero.
fn floors(claim: &NodeClaim) -> Option<Floors> {
    let PreflightFloors {
        min_gflops,
        min_disk_mib_per_second,
        min_download_mbit_per_second,
        min_upload_mbit_per_second,
        max_model_download,
    } = claim.spec.preflight.as_ref()?;
    let floor = |least: i32| u64::try_from(least).unwrap_or_default();
    Some(Floors {
        gflops: floor(*min_gflops),
        disk_mib_per_second: floor(*min_disk_mib_per_second),
        download_mbit_per_second: floor(*min_download_mbit_per_second),
        upload_mbit_per_second: floor(*min_upload_mbit_per_second),
        model_download_seconds: u64::try_from(duration(max_model_download).as_secs()).unwrap_or_default(),
    })
}

/// Whether what is rented for it is a container: that has one pod, and so one attempt.
fn is_container(claim: &NodeClaim) -> bool {
    let offer = claim.status.as_ref().and_then(|status| status.offer.as_ref());
    offer.is_some_and(|offer| offer.shape == Shape::Container)
}

/// Whether its container has had its attempt, or an attempt found its machine unfit.
fn is_spent(claim: &NodeClaim, attempts: &[Attempt]) -> bool {
    let name = Some(claim.name_any());
    let had = |attempt: &Attempt| attempt.node_claim == name && attempt.ended_at.is_some();
    (is_container(claim) && attempts.iter().any(had)) || is_unfit(claim, attempts)
}

fn is_unfit(claim: &NodeClaim, attempts: &[Attempt]) -> bool {
    let name = Some(claim.name_any());
    attempts.iter().any(|attempt| attempt.node_claim == name && runs::is_unfit(attempt))
}

/// The newest claim whose machine is not to end, and can do with another attempt.
pub fn newest<'a>(claims: &'a [NodeClaim], attempts: &[Attempt]) -> Option<&'a NodeClaim> {
    let kept = claims.iter().filter(|claim| {
        claim.metadata.deletion_timestamp.is_none() && ending(claim).is_none() && !is_spent(claim, attempts)
    });
    kept.max_by_key(|claim| number(&claim.name_any()))
}

fn conditions(claim: &NodeClaim) -> &[Condition] {
    claim.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

fn ready(claim: &NodeClaim) -> Option<&Condition> {
    conditions(claim).iter().find(|found| found.type_ == condition::READY)
}

/// Why its machine is to end.
pub fn ending(claim: &NodeClaim) -> Option<Condition> {
    let told = conditions(claim)
        .iter()
        .find(|found| found.type_ == condition::INSTANCE_TERMINATING && found.status == "True");
    let deleted = || {
        let reason = "Released".to_owned();
        claim.metadata.deletion_timestamp.as_ref().map(|at| Condition {
            last_transition_time: at.clone(),
            message: "the NodeClaim was deleted".into(),
            observed_generation: None,
            reason,
            status: "True".into(),
            type_: condition::INSTANCE_TERMINATING.into(),
        })
    };
    told.cloned().or_else(deleted)
}

fn wait(claim: &NodeClaim, ready: Option<&Condition>) -> Hold {
    let name = claim.name_any();
    match ready {
        // What somebody has to see to is said by its own reason; all else is a machine on its way.
        Some(found) if is_stuck(&found.reason) => {
            Hold::new(found.reason.clone(), format!("NodeClaim `{name}`: {}", found.message))
        }
        Some(found) => Hold::new("WaitingForMachine", format!("NodeClaim `{name}`: {}", found.message)),
        None => Hold::new("WaitingForMachine", format!("NodeClaim `{name}` has just been made")),
    }
}

fn is_stuck(reason: &str) -> bool {
    !cooperator_api::common::reason::UNDER_WAY.contains(&reason)
}

/// `<FineTune>-m<n>`, a number that none of its machines has had.
fn next_name(tune: &FineTune, claims: &[NodeClaim]) -> String {
    let status = tune.status.clone().unwrap_or_default();
    let had = status.machines.iter().map(|machine| machine.claim.clone());
    let all = claims.iter().map(NodeClaim::name_any).chain(had);
    let most = all.map(|name| number(&name)).max().unwrap_or(0);
    format!("{}-m{}", tune.name_any(), most + 1)
}

fn number(name: &str) -> u32 {
    name.rsplit_once("-m").and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Claims that are to go: their machine has ended, nothing runs on them any more, or another one has taken their place.
pub fn idle<'a>(
    tune: &FineTune,
    status: &FineTuneStatus,
    training: &Training,
    claims: &'a [NodeClaim],
) -> Vec<&'a NodeClaim> {
    let open = status.attempts.last().filter(|newest| newest.ended_at.is_none());
    let over = match training {
        Training::Done | Training::GivenUp(_) => true,
        Training::Running(running) => matches!(running.phase, Phase::GivenUp(_) | Phase::Produced(_)),
        Training::Held(_) => false,
    };
    let is_done =
        status.adapter.is_some() || (over && open.is_none()) || (tune.spec.suspend && open.is_none());
    let kept = newest(claims, &status.attempts).map(NodeClaim::name_any).filter(|_| !is_done);
    let used = open.and_then(|attempt| attempt.node_claim.clone());
    let is_idle = |claim: &&NodeClaim| {
        let name = Some(claim.name_any());
        // One that is unfit says so itself before it goes, so that its host is not rented again.
        let has_to_say = is_unfit(claim, &status.attempts) && ending(claim).is_none();
        name != used && name != kept && !has_to_say
    };
    claims.iter().filter(is_idle).collect()
}

/// What an hour of the machine in use costs.
pub fn price(need: &Need, claims: &[NodeClaim]) -> Option<PricePerHour> {
    let (Need::Use(machine) | Need::Leave(machine, _)) = need else { return None };
    let claim = claims.iter().find(|claim| claim.name_any() == machine.claim)?;
    claim.status.as_ref()?.offer.as_ref()?.price_per_hour.parse().ok()
}

/// Claims of this FineTune among those of its namespace.
pub fn own(tune: &FineTune, claims: Vec<NodeClaim>) -> Vec<NodeClaim> {
    let uid = tune.uid();
    let is_own =
        |claim: &NodeClaim| claim.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref());
    claims.into_iter().filter(is_own).collect()
}
