//! Pure: whether a claim's machine is to be kept, and if not, whether it may still write a checkpoint.

use cooperator_api::common::condition;
use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use cooperator_rental::{Reason, Record, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::dereference::World;
use super::node::{self, Stage, Verdict};
use super::{container, purse, unfit};
use crate::domain::{duration, parse_time};

/// How long the pods of a machine that is to end have to write a checkpoint and go: the grace of a run, and a little.
const DRAIN: SignedDuration = SignedDuration::from_secs(140);

/// What a claim wants of its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intention {
    /// What the rental engine is told.
    pub wish: Wish,
    /// The claim has had its machine: it is not to have another.
    pub is_over: bool,
}

/// Whether a claim was once found to be over: that is never taken back.
pub fn is_ending(claim: &NodeClaim) -> bool {
    claim.metadata.deletion_timestamp.is_some() || ending(claim).is_some()
}

/// Whether status says so.
pub fn is_told(claim: &NodeClaim) -> bool {
    ending(claim).is_some()
}

fn ending(claim: &NodeClaim) -> Option<&Condition> {
    let conditions = &claim.status.as_ref()?.conditions;
    conditions.iter().find(|found| found.type_ == condition::INSTANCE_TERMINATING && found.status == "True")
}

/// Decides.
pub fn intention(
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    verdict: &Verdict,
    now: Timestamp,
) -> Intention {
    let over = |reason, message: String| Intention { wish: Wish::End { reason, message }, is_over: true };
    if let Some(said) = ending(claim) {
        return over(reason(&said.reason), said.message.clone());
    }
    if let Some(message) = unfit::why(claim, world) {
        return over(Reason::PreflightFailed, message);
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return over(Reason::Released, "the NodeClaim was deleted".into());
    }
    if world.tune.is_none() && claim.spec.fine_tune_ref.is_some() {
        return over(Reason::Released, "its FineTune does not exist any more".into());
    }
    if let Some(message) = spent(claim, world, record, now) {
        return over(Reason::BudgetSpent, message);
    }
    if let Some(message) = expired(claim, record, now) {
        return over(Reason::Expired, message);
    }
    if container::has_node(claim) {
        return container::intention(claim, world, record, now);
    }
    if let Some(message) = idle(claim, world, record, now) {
        return over(Reason::Idle, message);
    }
    // A machine that has worked is not replaced: its work goes on elsewhere, on a claim of its own.
    let lost = record
        .launches
        .last()
        .filter(|_| was_ready(claim))
        .and_then(|launch| Some((launch.reason?, &launch.message)));
    if let Some((reason, message)) = lost {
        return over(reason, message.clone());
    }
    let next = |reason, message| Intention { wish: Wish::End { reason, message }, is_over: false };
    if world.node.as_ref().is_some_and(node::is_powered_off) {
        let message = "its host powers it off".to_owned();
        return if was_ready(claim) {
            over(Reason::Preempted, message)
        } else {
            next(Reason::Preempted, message)
        };
    }
    if let Verdict::Lies(lie) = verdict {
        return next(Reason::PreflightFailed, lie.clone());
    }
    match late(claim, world, record, verdict.stage(), now) {
        Some(message) => next(Reason::RegistrationTimeout, message),
        None => Intention { wish: Wish::Keep, is_over: false },
    }
}

/// A reason as a condition has it; one of another version of this program is a release.
fn reason(label: &str) -> Reason {
    serde_json::from_value(label.into()).unwrap_or(Reason::Released)
}

fn was_ready(claim: &NodeClaim) -> bool {
    let conditions = claim.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|found| found.type_ == condition::INITIALIZED && found.status == "True")
}

/// Whether a budget that pays for the machine is about to be spent.
fn spent(claim: &NodeClaim, world: &World, record: &Record, now: Timestamp) -> Option<String> {
    record.kept()?;
    let currency = world.collective.as_ref().map_or("", |home| &home.spec.treasury.currency);
    purse::is_empty_soon(&purse::purses(claim, world, record, now).ok()?, currency)
}

fn expired(claim: &NodeClaim, record: &Record, now: Timestamp) -> Option<String> {
    let since = record.kept()?.from();
    let end = later(since, duration(&claim.spec.expire_after));
    (now >= end).then(|| format!("it was kept for spec.expireAfter {}", claim.spec.expire_after))
}

/// Whether a machine that can work has had none for longer than its Provider or its pool has patience.
fn idle(claim: &NodeClaim, world: &World, record: &Record, now: Timestamp) -> Option<String> {
    record.kept()?;
    let launch = record.open().filter(|_| world.pods.is_empty())?;
    let conditions = &claim.status.as_ref()?.conditions;
    let empty = conditions.iter().find(|found| found.type_ == condition::EMPTY && found.status == "True")?;
    let since = parse_time(&empty.last_transition_time.0.to_string())?;
    let own = world.providers.get(&launch.provider).map(|provider| provider.spec.timeouts.idle.as_str());
    let pool = world.pool.as_ref().map(|pool| pool.spec.disruption.consolidate_after.as_str());
    let fields =
        [(own, "timeouts.idle of its Provider"), (pool, "disruption.consolidateAfter of its NodePool")];
    let longest = fields.into_iter().filter_map(|(most, field)| Some((duration(most?), field)));
    let (most, field) = longest.max_by_key(|(most, _)| *most)?;
    let message = || format!("no pod has been on its node since {since}, for longer than {field} ({most:#})");
    (now >= later(since, most)).then(message)
}

/// Whether a machine that runs has not become a node in time.
fn late(claim: &NodeClaim, world: &World, record: &Record, stage: Stage, now: Timestamp) -> Option<String> {
    if stage == Stage::Initialized || was_ready(claim) {
        return None;
    }
    let launch = record.open()?;
    let running = record.kept()?.running_at?;
    let most = &world.providers.get(&launch.provider)?.spec.timeouts.registration;
    let message = || {
        format!(
            "it runs since {running} and is no node that can work after {most} (spec.timeouts.registration of its Provider)"
        )
    };
    (now >= later(running, duration(most))).then(message)
}

/// Whether the machine's pods may still write a checkpoint: until when. None: nothing is waited for.
pub fn drains_until(claim: &NodeClaim, world: &World, record: &Record, now: Timestamp) -> Option<Timestamp> {
    let launch = record.open()?;
    launch.machine.as_ref()?;
    let is_gone = matches!(launch.reason, Some(Reason::Vanished | Reason::Stopped | Reason::Failed));
    if world.pods.is_empty() || is_gone {
        return None;
    }
    let said = ending(claim)?;
    let since = parse_time(&said.last_transition_time.0.to_string())?;
    let until = later(since, DRAIN);
    (now < until).then_some(until)
}
