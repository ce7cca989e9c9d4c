//! What was written down, held against what is true.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
pub use cooperator_cloud::fault::Fault;
use cooperator_cloud::world::Machine;
use cooperator_cloud::{Cloud, Vendor};
use cooperator_core::money::Amount;
use cooperator_core::time::Timestamp;

use crate::store::Store;

/// Seconds for which a machine may live on after it lost its claim, and for which a claim may have two, while there is an
/// operator: a dead one ends nothing.
pub const GRACE: i64 = 90;
/// Pico-units in a micro-unit.
const MICRO: i128 = 1_000_000;

/// What a world came to.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Machines that were rented.
    pub machines: u64,
    /// Machines that live on.
    pub leaked: Vec<String>,
    /// Machines of one claim that lived side by side for longer than the grace.
    pub doubled: Vec<String>,
    /// Machines that lived on for longer than the grace after they lost their claim.
    pub late: Vec<String>,
    /// Machines whose cost is not what was billed, or is nowhere, or twice.
    pub drift: Vec<String>,
    /// Machines that had no claim and were ended.
    pub strays: u64,
    /// Machines that nobody can account for: their claim's record was removed by hand, and they had ended, or began at a
    /// vendor that tells neither when nor what it charged.
    pub unknowable: u64,
    /// Longest that a machine lived on without a claim, in seconds.
    pub longest_stray: i64,
    /// Longest that a claim had two, in seconds.
    pub longest_double: i64,
    /// What all machines cost, by vendor.
    pub billed: BTreeMap<String, Amount>,
}

/// What is known of the claims besides the store.
#[derive(Debug, Default)]
pub struct Known {
    /// Numbers of claims, by the names of their machines.
    pub claims: BTreeMap<String, usize>,
    /// When records were removed by hand.
    pub robbed: BTreeMap<usize, Timestamp>,
    /// From when until when there was no operator, one time after the other.
    pub dead: Vec<(Timestamp, Timestamp)>,
}

/// Holds all of a world against the truth.
///
/// # Errors
/// Amounts that no number holds.
pub fn audit(cloud: &Cloud, store: &Store, known: &Known, now: Timestamp) -> Result<Audit> {
    let machines = cloud.machines()?;
    let mut audit = Audit { machines: machines.len().try_into()?, ..Audit::default() };
    let mut booked = booked(store, now, &mut audit)?;
    let mut by_claim: BTreeMap<usize, Vec<&Machine>> = BTreeMap::new();
    for machine in &machines {
        let what = format!("{} {} of {}", machine.vendor, machine.id, machine.name);
        if machine.alive {
            audit.leaked.push(what.clone());
        }
        let claim = known.claims.get(&machine.name).copied();
        let Some(claim) = claim else {
            audit.drift.push(format!("{what} is of no claim"));
            continue;
        };
        by_claim.entry(claim).or_default().push(machine);
        orphaned(machine, lost(claim, machine, store, known), now, &known.dead, &mut audit, &what);
        let amount = booked.remove(&(machine.vendor.to_string(), machine.id.clone()));
        hold(machine, amount, known.robbed.get(&claim).copied(), &mut audit, &what)?;
    }
    let unknown =
        booked.into_keys().map(|(vendor, id)| format!("{vendor} {id} was written down, and never was"));
    audit.drift.extend(unknown);
    for machines in by_claim.values() {
        side_by_side(machines, now, &known.dead, &mut audit);
    }
    Ok(audit)
}

/// What was written down, by vendor and machine.
fn booked(store: &Store, now: Timestamp, audit: &mut Audit) -> Result<BTreeMap<(String, String), Amount>> {
    let mut all = BTreeMap::new();
    let mut twice = BTreeSet::new();
    let mut book = |key: (String, String), amount| {
        if all.insert(key.clone(), amount).is_some() {
            twice.insert(key);
        }
    };
    for line in &store.ledger {
        book((line.provider.clone(), line.instance.0.clone()), line.amount);
    }
    for (provider, strays) in &store.strays {
        for stray in &strays.value.machines {
            audit.strays += 1;
            let amount = stray.cost(strays.value.granularity, now)?;
            book((provider.clone(), stray.machine.instance.0.clone()), amount);
        }
        if strays.value.earlier != Amount::ZERO {
            audit.drift.push(format!("{provider} has forgotten strays: make fewer claims a world"));
        }
    }
    audit.drift.extend(twice.into_iter().map(|(vendor, id)| format!("{vendor} {id} was written down twice")));
    Ok(all)
}

/// When a machine lost its claim. One that a claim has forgotten and found again, as its own, has not.
fn lost(claim: usize, machine: &Machine, store: &Store, known: &Known) -> Option<Timestamp> {
    let again = store.ledger.iter().any(|line| {
        !line.spare && line.instance.0 == machine.id && line.provider == machine.vendor.to_string()
    });
    let robbed = known.robbed.get(&claim).copied().filter(|at| machine.created < *at && !again);
    let lost = robbed.into_iter().chain(store.gone.get(&claim).copied()).min();
    lost.map(|at| at.max(machine.created))
}

/// Seconds between two moments, and how many of them there was an operator.
fn seconds(from: Timestamp, to: Timestamp, dead: &[(Timestamp, Timestamp)]) -> (i64, i64) {
    let all = to.duration_since(from).as_secs();
    let without =
        dead.iter().map(|(died, begun)| (*begun).min(to).duration_since((*died).max(from)).as_secs().max(0));
    (all, all - without.sum::<i64>())
}

fn orphaned(
    machine: &Machine,
    lost: Option<Timestamp>,
    now: Timestamp,
    dead: &[(Timestamp, Timestamp)],
    audit: &mut Audit,
    what: &str,
) {
    let Some(lost) = lost else { return };
    let (alive, watched) = seconds(lost, machine.ended.unwrap_or(now), dead);
    audit.longest_stray = audit.longest_stray.max(alive);
    if watched > GRACE {
        audit.late.push(format!("{what} lived for {alive} s after it lost its claim at {lost}"));
    }
}

/// One machine's cost as it was written down, and as it was.
fn hold(
    machine: &Machine,
    booked: Option<Amount>,
    robbed: Option<Timestamp>,
    audit: &mut Audit,
    what: &str,
) -> Result<()> {
    let truth = machine.bill.total()?;
    let sum = audit.billed.entry(machine.vendor.to_string()).or_default();
    *sum = sum.plus(truth)?;
    let differs = booked.is_none_or(|booked| booked.minus(truth).is_ok_and(|by| by.pico().abs() >= MICRO));
    // What came to an end as its record was removed is nowhere; what Lambda made before is known from first sight only.
    let robbed = robbed.filter(|at| machine.created < *at);
    let excused = robbed.is_some_and(|at| {
        machine.vendor == Vendor::Lambda
            || (booked.is_none() && machine.ended.is_some_and(|ended| ended <= at))
    });
    if differs && excused {
        audit.unknowable += 1;
    } else if differs {
        let booked = booked.map_or_else(|| "nowhere".to_owned(), |booked| booked.to_string());
        let (from, to) = (machine.created, machine.ended);
        audit.drift.push(format!("{what} cost {truth} and is written down as {booked} ({from} to {to:?})"));
    }
    Ok(())
}

/// How long any two machines of one claim lived side by side.
fn side_by_side(machines: &[&Machine], now: Timestamp, dead: &[(Timestamp, Timestamp)], audit: &mut Audit) {
    for (index, one) in machines.iter().enumerate() {
        for other in &machines[index + 1..] {
            let from = one.created.max(other.created);
            let to = one.ended.unwrap_or(now).min(other.ended.unwrap_or(now));
            let (both, watched) = seconds(from, to, dead);
            audit.longest_double = audit.longest_double.max(both);
            if watched > GRACE {
                audit.doubled.push(format!("{} and {} of {} for {both} s", one.id, other.id, one.name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_796_083_200 + second).unwrap()
    }

    #[test]
    fn what_an_operator_is_held_to_is_the_time_in_which_there_was_one() {
        let dead =
            [(at(0), at(10)), (at(95), at(107)), (at(107), at(116)), (at(116), at(127)), (at(140), at(150))];
        assert_eq!(seconds(at(32), at(136), &dead), (104, 72));
        assert_eq!(seconds(at(5), at(100), &dead), (95, 85));
        assert_eq!(seconds(at(40), at(60), &dead), (20, 20));
    }
}
