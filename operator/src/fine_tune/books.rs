//! Pure: the machines that were rented for a FineTune, and what they add to its cost.

use cooperator_api::common::{Attempt, Money, condition};
use cooperator_api::fine_tune::{FineTune, FineTuneStatus, RentedMachine, TrainingEstimate, Waiting};
use cooperator_api::node_claim::{NodeClaim, OfferedGpus};
use cooperator_core::money::Amount;
use cooperator_core::time::{Timestamp, whole_second};
use kube::ResourceExt as _;

use super::machine;
use crate::domain::{Hold, amount, parse_time, sum};

/// Machines that status keeps.
const MACHINES: usize = 64;

/// Status with its machines as their claims tell them. What has ended for good stays as it was told last.
pub fn with_machines(
    status: FineTuneStatus,
    tune: &FineTune,
    claims: &[NodeClaim],
    now: Timestamp,
) -> FineTuneStatus {
    let before = tune.status.as_ref().map(|status| status.machines.clone()).unwrap_or_default();
    let machines = machines(before.clone(), tune, claims, now);
    if machines == before && machines.is_empty() {
        return status;
    }
    let so_far = status.cost.clone().unwrap_or_default();
    let attempts = amount(&so_far.amount).minus(cost(&before)).unwrap_or(Amount::ZERO);
    let total = attempts.plus(cost(&machines)).unwrap_or(attempts);
    let currency = match claims.iter().find_map(|claim| claim.status.as_ref()?.cost.clone()) {
        Some(cost) if so_far.currency.is_empty() => cost.currency,
        _ => so_far.currency,
    };
    FineTuneStatus { machines, cost: Some(Money { amount: total.to_string(), currency }), ..status }
}

fn cost(machines: &[RentedMachine]) -> Amount {
    sum(machines.iter().map(|machine| amount(&machine.cost)))
}

fn machines(
    before: Vec<RentedMachine>,
    tune: &FineTune,
    claims: &[NodeClaim],
    now: Timestamp,
) -> Vec<RentedMachine> {
    let mut all = before;
    for line in &mut all {
        let is_gone = !claims.iter().any(|claim| claim.uid().as_ref() == Some(&line.uid));
        if is_gone && !line.is_final {
            // Somebody has taken the claim's finalizer: what was known of its cost is all there is.
            line.is_final = true;
            line.ended_at.get_or_insert_with(|| whole_second(now).to_string());
        }
    }
    for line in claims.iter().filter_map(|claim| line(claim, tune, now)) {
        match all.iter_mut().find(|known| known.uid == line.uid) {
            Some(known) if known.is_final => {}
            Some(known) => {
                *known = RentedMachine {
                    tokens_per_second: line.tokens_per_second.or(known.tokens_per_second),
                    preflight: line.preflight.or_else(|| known.preflight.clone()),
                    ..line
                }
            }
            None => all.push(line),
        }
    }
    let excess = all.len().saturating_sub(MACHINES);
    // Money is never forgotten: what goes is added to what stays.
    let gone: Vec<RentedMachine> = all.drain(..excess).collect();
    if let Some(oldest) = all.first_mut().filter(|_| !gone.is_empty()) {
        oldest.cost = amount(&oldest.cost).plus(cost(&gone)).unwrap_or(Amount::ZERO).to_string();
    }
    all
}

/// What a claim tells of its machine. None: nothing was rented for it yet.
fn line(claim: &NodeClaim, tune: &FineTune, now: Timestamp) -> Option<RentedMachine> {
    let status = claim.status.as_ref()?;
    let newest = status.launches.iter().rfind(|launch| launch.machine.is_some())?;
    let machine = newest.machine.as_ref()?;
    let offer = status.offer.as_ref()?;
    let started = machine.since.clone().unwrap_or_else(|| machine.made_at.clone());
    let is_final =
        status.conditions.iter().any(|found| found.type_ == condition::ACCOUNTED && found.status == "True");
    let until = machine.ended_at.as_deref().and_then(parse_time).unwrap_or(now);
    let seconds = parse_time(&started).map_or(0, |from| cooperator_rental::seconds(from, until));
    let attempt = tune.status.as_ref().and_then(|status| status.attempts.last());
    let runs_here = attempt.is_some_and(|attempt| attempt.node_claim.as_ref() == Some(&claim.name_any()));
    let progress = tune.status.as_ref().and_then(|status| status.progress.as_ref()).filter(|_| runs_here);
    Some(RentedMachine {
        claim: claim.name_any(),
        uid: claim.uid()?,
        node_pool: claim.spec.node_pool_ref.name.clone(),
        provider: newest.provider.clone(),
        instance: status.provider_id.clone().unwrap_or_default(),
        node: status.node_name.clone(),
        offer: words(offer.gpus.as_ref(), offer.cpu_millis, offer.memory_mib, &offer.region),
        machine: offer.machine.clone(),
        price_per_hour: offer.price_per_hour.clone(),
        started_at: started,
        ended_at: machine.ended_at.clone(),
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        cost: status.cost.as_ref().map_or_else(|| "0".into(), |cost| cost.amount.clone()),
        is_final,
        tokens_per_second: progress.and_then(|progress| progress.tokens_per_second),
        preflight: progress
            .and_then(|progress| progress.preflight.clone())
            // What stands there until a newer attempt reports is of another machine.
            .filter(|measured| attempt.is_some_and(|attempt| attempt.number == measured.attempt)),
    })
}

/// `1x rtx-4090, 8 cpu, 32 GiB, US`.
fn words(gpus: Option<&OfferedGpus>, cpu_millis: i64, memory_mib: i64, region: &str) -> String {
    let gpus = gpus.map(|gpus| format!("{}x {}", gpus.count, gpus.model));
    let rest =
        [format!("{} cpu", cpu_millis / 1000), format!("{} GiB", memory_mib / 1024), region.to_owned()];
    gpus.into_iter().chain(rest).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Whether every machine has ended, and what it cost is final.
pub fn are_closed(status: &FineTuneStatus) -> bool {
    status.machines.iter().all(|machine| machine.is_final)
}

/// What it waits for; since when is kept as long as it is the same.
pub fn waiting(
    tune: &FineTune,
    hold: Option<&Hold>,
    position: Option<i32>,
    now: Timestamp,
) -> Option<Waiting> {
    let hold = hold?;
    let before = tune.status.as_ref().and_then(|status| status.waiting.clone());
    let since = before.map(|before| before.since).unwrap_or_else(|| whole_second(now).to_string());
    Some(Waiting { for_: format!("{}: {}", hold.reason, hold.message), position, since })
}

/// What the rest is likely to take, as the newest claim reckons.
pub fn estimate(claims: &[NodeClaim], attempts: &[Attempt]) -> Option<TrainingEstimate> {
    let status = machine::newest(claims, attempts)?.status.as_ref()?;
    let (estimate, offer) = (status.estimate.as_ref()?, status.offer.as_ref()?);
    Some(TrainingEstimate {
        cost: estimate.cost.clone(),
        seconds: estimate.seconds,
        end: estimate.end.clone(),
        price_per_hour: offer.price_per_hour.clone(),
        basis: estimate.basis,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_second_that_was_begun_is_paid_for_and_so_is_counted() {
        let claim: NodeClaim = serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "NodeClaim",
            "metadata": { "name": "first-m1", "uid": "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9" },
            "spec": { "nodePoolRef": { "name": "cellar" }, "diskGi": 8 },
            "status": {
                "cost": { "amount": "0.0015", "currency": "USD" },
                "offer": {
                    "id": "cellar", "shape": "Machine", "capacityType": "OnDemand", "cpuMillis": 2000, "memoryMib": 4096,
                    "diskGib": 8, "machine": "2 cpu", "pricePerHour": "0.36", "provider": "cellar",
                },
                "launches": [{
                    "number": 1, "provider": "cellar", "offer": {}, "diskGib": 8, "intendedAt": "2026-11-29T21:55:04.9Z",
                    "machine": {
                        "instance": "cellar/me", "madeAt": "2026-11-29T21:55:04.977Z", "knownAt": "2026-11-29T21:55:05Z",
                        "endedAt": "2026-11-29T21:55:19.003Z",
                    },
                }],
            },
        }))
        .unwrap();
        let tune: FineTune = serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "FineTune", "metadata": { "name": "first" },
            "spec": { "baseModelRef": { "name": "tiny" }, "datasetRef": { "name": "tiny" } },
        }))
        .unwrap();
        let line = line(&claim, &tune, Timestamp::now()).unwrap();
        let hourly: cooperator_core::money::PricePerHour = line.price_per_hour.parse().unwrap();
        assert_eq!((line.seconds, amount(&line.cost)), (15, hourly.amount(15).unwrap()));
    }
}
