//! Pure: what status says of a claim, and which events are told.

use std::collections::BTreeMap;

use cooperator_api::common::{LocalRef, Money, condition};
use cooperator_api::node_claim::{ClaimedOffer, Estimate, NodeClaim, NodeClaimStatus, OfferedGpus};
use cooperator_core::market::ExchangeRate;
use cooperator_core::time::{SignedDuration, Timestamp, later, whole_second};
use cooperator_rental::{Launch, News, Record, Wish};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::dereference::World;
use super::join::Joining;
use super::node::{Stage, Verdict};
use super::offers::Chosen;
use super::wish::Intention;
use super::{bounds, container, record};
use crate::domain::{Finding, Hold, count};
use crate::pipeline::Error;
use crate::rent;

/// What was chosen, and how it joins.
#[derive(Clone, Debug)]
pub struct Choosing {
    /// The offer.
    pub chosen: Chosen,
    /// How its machine joins.
    pub joining: Joining,
}

/// Status with this record. `choosing`: what has just been chosen.
///
/// # Errors
/// [`Error::Domain`] where something of it cannot be written down.
pub fn status(
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    choosing: Option<&Choosing>,
    now: Timestamp,
) -> Result<NodeClaimStatus, Error> {
    let before = claim.status.clone().unwrap_or_default();
    let rate = choosing.map(|choosing| rate(world, &choosing.chosen.offer.provider));
    let launches = record::launches(record, &before.launches, rate)?;
    // A machine whose price runs is told of once a minute: more often would be a write without news.
    let until = if record.kept().is_some() { minute(now) } else { now };
    let cost = record::cost(record, &launches, until).map_err(|error| Error::Domain(error.to_string()))?;
    let currency = world.collective.as_ref().map_or("", |home| &home.spec.treasury.currency).to_owned();
    let newest = record.launches.last();
    let (capacity, allocatable) = resources(world);
    Ok(NodeClaimStatus {
        observed_generation: claim.metadata.generation,
        conditions: Vec::new(),
        provider_ref: newest.map(|launch| LocalRef { name: launch.provider.clone() }),
        provider_id: newest.and_then(|launch| provider_id(launch, world)),
        node_name: choosing.map(|choosing| choosing.joining.node_name.clone()).or(before.node_name),
        position: (record.is_closed() && choosing.is_none() && !container::is_reserved(claim))
            .then(|| i32::try_from(bounds::ahead(claim, world) + 1).unwrap_or(i32::MAX)),
        offer: choosing.map(|choosing| offer(&choosing.chosen)).or(before.offer),
        estimate: choosing.map(|choosing| estimate(&choosing.chosen, now)).or(before.estimate),
        cost: (!record.launches.is_empty()).then(|| Money { amount: cost.to_string(), currency }),
        capacity,
        allocatable,
        launches,
        bootstrap: match choosing {
            Some(choosing) => choosing.joining.bootstrap.clone(),
            None => before.bootstrap,
        },
    })
}

fn rate(world: &World, provider: &str) -> ExchangeRate {
    let known = world.providers.get(provider).zip(world.collective.as_ref());
    known.and_then(|(provider, home)| rent::exchange(provider, home).ok()).unwrap_or(ExchangeRate::ONE)
}

fn minute(now: Timestamp) -> Timestamp {
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(now)
}

/// `vast://123`.
fn provider_id(launch: &Launch, world: &World) -> Option<String> {
    let kind = world.providers.get(&launch.provider)?.spec.type_.name().to_lowercase();
    Some(format!("{kind}://{}", launch.machine.as_ref()?.instance))
}

fn resources(world: &World) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
    let status = world.node.as_ref().and_then(|node| node.status.clone()).unwrap_or_default();
    (status.capacity.unwrap_or_default(), status.allocatable.unwrap_or_default())
}

fn offer(chosen: &Chosen) -> ClaimedOffer {
    let offer = &chosen.offer;
    ClaimedOffer {
        id: offer.id.to_string(),
        host: offer.host.as_ref().map(ToString::to_string),
        region: offer.region.clone(),
        shape: offer.shape.into(),
        capacity_type: offer.capacity_type.into(),
        cpu_millis: count(offer.cpu_millis),
        memory_mib: count(offer.memory_mib),
        disk_gib: count(offer.disk_gib),
        gpus: offer.gpus.as_ref().map(|gpus| OfferedGpus {
            model: gpus.model.clone(),
            count: i32::try_from(gpus.count).unwrap_or(i32::MAX),
            memory_mib: count(gpus.memory_mib),
        }),
        price_per_hour: chosen.choice.hourly.to_string(),
        machine: chosen.class.to_string(),
    }
}

fn estimate(chosen: &Chosen, now: Timestamp) -> Estimate {
    let seconds = count(chosen.choice.seconds);
    Estimate {
        cost: chosen.choice.expected.to_string(),
        seconds,
        end: whole_second(later(now, SignedDuration::from_secs(seconds))).to_string(),
        basis: chosen.choice.rate.basis.into(),
    }
}

/// What is found, `Ready` first. `intention` is that of this reconcile, `hold` what stands in the way.
pub fn findings(
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    intention: &Intention,
    verdict: &Verdict,
    hold: Option<&Hold>,
) -> Vec<Finding> {
    let ending = ending(intention);
    // The node of a container is there before what is rented for it.
    let is_container = container::has_node(claim);
    let stage = if is_container || record.kept().is_some() { verdict.stage() } else { Stage::Absent };
    let ready = match (&ending, hold) {
        (Some(why), _) if record.is_closed() => Finding::no(condition::READY, "Ended", why.message.clone()),
        (Some(why), _) => Finding::no(condition::READY, "Terminating", why.message.clone()),
        (None, Some(hold)) => Finding::held(condition::READY, hold),
        (None, None) if is_container => standing(claim, verdict),
        (None, None) => ready(claim, record, verdict),
    };
    let launched = record.kept().is_some_and(|machine| machine.running_at.is_some());
    vec![
        ready,
        found(
            condition::LAUNCHED,
            launched,
            ("Running", "the vendor says that it runs"),
            waiting(record, hold),
        ),
        found(
            condition::REGISTERED,
            stage >= Stage::Registered,
            ("Joined", "it has joined as a node"),
            ("Registering", "it is no node yet".to_owned()),
        ),
        initialized(claim, stage, verdict),
        empty(world, stage),
        match &ending {
            Some(why) => {
                Finding::yes(condition::INSTANCE_TERMINATING, why.reason.clone(), why.message.clone())
            }
            None => Finding::no(condition::INSTANCE_TERMINATING, "Wanted", "it is to be kept"),
        },
        accounted(world, record, ending.is_some()),
    ]
}

/// Once it was, that is not taken back: a machine that has worked is not replaced.
fn initialized(claim: &NodeClaim, stage: Stage, verdict: &Verdict) -> Finding {
    let conditions = claim.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let was = conditions.iter().any(|found| found.type_ == condition::INITIALIZED && found.status == "True");
    let message = match verdict {
        Verdict::NotReady(said) => said.clone(),
        Verdict::Lies(lie) => lie.clone(),
        Verdict::Absent => "it is no node yet".to_owned(),
        Verdict::Fit | Verdict::Verified => "it is looked at".to_owned(),
    };
    found(
        condition::INITIALIZED,
        was || stage == Stage::Initialized,
        ("Verified", "it is what was rented"),
        ("Initializing", message),
    )
}

/// Whether nothing runs there: since when is how long it may be idle.
fn empty(world: &World, stage: Stage) -> Finding {
    match stage {
        Stage::Initialized if world.pods.is_empty() => {
            Finding::yes(condition::EMPTY, "NoWork", "no pod is on its node")
        }
        Stage::Initialized => Finding::no(condition::EMPTY, "Working", "pods are on its node"),
        Stage::Absent | Stage::Registered => {
            Finding::no(condition::EMPTY, "NoNode", "it is no node that can work")
        }
    }
}

fn found(type_: &'static str, holds: bool, yes: (&str, &str), no: (&str, String)) -> Finding {
    if holds { Finding::yes(type_, yes.0, yes.1) } else { Finding::no(type_, no.0, no.1) }
}

fn ready(claim: &NodeClaim, record: &Record, verdict: &Verdict) -> Finding {
    let no = |reason: &str, message: String| Finding::no(condition::READY, reason, message);
    let Some(machine) = record.kept() else {
        let message = if record.is_doubtful() {
            "the vendor's answer was lost: the machine is looked for"
        } else {
            "a machine is being rented"
        };
        return no("Launching", message.into());
    };
    if machine.running_at.is_none() {
        return no("Launching", format!("machine {} is being started", machine.instance));
    }
    standing(claim, verdict)
}

/// How far its node is.
fn standing(claim: &NodeClaim, verdict: &Verdict) -> Finding {
    let no = |reason: &str, message: String| Finding::no(condition::READY, reason, message);
    match verdict {
        Verdict::Absent => no("Registering", "the machine runs and has not joined yet".into()),
        Verdict::NotReady(said) => no("Initializing", said.clone()),
        Verdict::Lies(lie) => no("NotAsRented", lie.clone()),
        Verdict::Fit => no("Initializing", "it is looked at".into()),
        Verdict::Verified => {
            let node = claim.status.as_ref().and_then(|status| status.node_name.clone()).unwrap_or_default();
            Finding::yes(condition::READY, "Ready", format!("node {node} can work"))
        }
    }
}

fn waiting<'a>(record: &Record, hold: Option<&'a Hold>) -> (&'a str, String) {
    match hold {
        Some(hold) if record.is_closed() => (&hold.reason, hold.message.clone()),
        _ => ("Launching", "no machine runs".to_owned()),
    }
}

fn accounted(world: &World, record: &Record, is_over: bool) -> Finding {
    if is_over && record.is_accounted() {
        let currency = world.collective.as_ref().map_or("", |home| &home.spec.treasury.currency);
        return Finding::yes(condition::ACCOUNTED, "Final", format!("what it cost is final, in {currency}"));
    }
    let Some((launch, machine)) = record.unaccounted().next().filter(|_| is_over) else {
        return Finding::no(condition::ACCOUNTED, "Open", "it may still cost something");
    };
    let billing = world.providers.get(&launch.provider).map_or("?", |one| &one.spec.timeouts.billing);
    let message = format!(
        "what {} bills for {} may still change; it is taken for final {billing} after the machine's end \
         (spec.timeouts.billing of its Provider)",
        launch.provider, machine.instance
    );
    Finding::no(condition::ACCOUNTED, "Billing", message)
}

fn ending(intention: &Intention) -> Option<Hold> {
    match &intention.wish {
        Wish::End { reason, message } if intention.is_over => {
            Some(Hold::new(reason.label(), message.clone()))
        }
        Wish::End { .. } | Wish::Keep => None,
    }
}

/// An event: whether it warns, its reason, one line. None: conditions tell it, or it is nobody's business.
pub fn event(at: &str, news: &News) -> Option<(bool, &'static str, String)> {
    Some(match news {
        News::Made { instance } => (false, "MachineRented", format!("machine {instance} at Provider `{at}`")),
        News::Doubtful { error } => (true, "AnswerLost", error.to_string()),
        News::Adopted { instance } => {
            (false, "MachineFound", format!("machine {instance} had been made: it is used"))
        }
        News::Running { instance } => (false, "MachineRunning", format!("machine {instance} runs")),
        News::Double { instance } => {
            (true, "MachineDouble", format!("machine {instance} is a second one: it is ended"))
        }
        News::NotMade { reason, error } => {
            let said = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            (true, "MachineNotMade", format!("{reason}{said}"))
        }
        News::Ending { instance, reason } => {
            (!is_wanted(*reason), "MachineEnding", format!("machine {instance}: {reason}"))
        }
        News::Lingers { instance, asked, error } if asked.is_multiple_of(5) && *asked > 0 => {
            let said = error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
            (
                true,
                "MachineLingers",
                format!("machine {instance} still costs after {asked} requests to end it{said}"),
            )
        }
        News::Revived { instance } => {
            (true, "MachineLingers", format!("machine {instance} was said to be gone, and lives"))
        }
        News::Ended { instance, amount } => {
            (false, "MachineEnded", format!("machine {instance} cost {amount}"))
        }
        News::Drift { instance, computed, charged, unit } => (
            computed.pico().abs_diff(charged.pico()) > unit.pico().unsigned_abs(),
            "BillDiffers",
            format!("machine {instance}: the vendor charged {charged}, its terms come to {computed}"),
        ),
        News::Block { .. } | News::Lingers { .. } | News::Accounted { .. } | News::Unanswered { .. } => {
            return None;
        }
    })
}

fn is_wanted(reason: cooperator_rental::Reason) -> bool {
    !reason.is_failure()
}

#[cfg(test)]
mod tests {
    use cooperator_providers::InstanceId;

    use super::*;

    #[test]
    fn a_bill_that_differs_by_more_than_the_least_that_is_paid_for_is_warned_of() {
        let amount = |text: &str| text.parse().unwrap();
        let warns = |charged: &str| {
            let news = News::Drift {
                instance: InstanceId("1".into()),
                computed: amount("0.007495"),
                charged: amount(charged),
                unit: amount("0.000016"),
            };
            let (warns, reason, note) = event("vast", &news).unwrap();
            assert_eq!(reason, "BillDiffers");
            assert_eq!(note, format!("machine 1: the vendor charged {charged}, its terms come to 0.007495"));
            warns
        };
        assert!(!warns("0.007479"), "a second less");
        assert!(!warns("0.007511"), "a second more");
        assert!(warns("0.007478") && warns("0.007512"));
    }
}
