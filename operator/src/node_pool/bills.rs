//! Pure: what machines of a pool cost in the present period of its budget. What is known of one stays when its claim and its
//! FineTune are gone: nobody gets money back by deleting what has spent it.

use std::collections::BTreeMap;

use cooperator_api::collective::Collective;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::{Bill, NodePool};
use cooperator_core::money::Amount;
use cooperator_core::period::Period;
use cooperator_core::time::Timestamp;
use kube::ResourceExt as _;

use super::status::World;
use crate::domain::{self, amount, falls_in};
use crate::settlement::periods::length;

/// Bills that a status holds.
const MOST: usize = 256;

/// The period of a pool's budget that it is now; of one without a budget, its Collective's period of settlement.
pub fn period(pool: &NodePool, home: Option<&Collective>, now: Timestamp) -> Option<Period> {
    let own = pool.spec.limits.budget.as_ref().map(|budget| budget.period);
    let home = home.map(|home| home.spec.treasury.settlement_period);
    own.or(home).and_then(|period| length(period).containing(now).ok())
}

/// Every machine that was rented in the present period.
pub fn bills(pool: &NodePool, world: &World, now: Timestamp) -> Vec<Bill> {
    let present = period(pool, world.collective.as_ref(), now);
    let name = pool.name_any();
    let before = pool.status.iter().flat_map(|status| status.bills.clone());
    let machines =
        world.tunes.iter().filter_map(|tune| tune.status.as_ref()).flat_map(|status| &status.machines);
    let told = machines.filter(|machine| machine.node_pool == name).map(|machine| Bill {
        uid: machine.uid.clone(),
        started_at: machine.started_at.clone(),
        cost: machine.cost.clone(),
    });
    let claims = world.claims.iter().filter(|claim| claim.spec.node_pool_ref.name == name).filter_map(of);
    // A claim knows best what it costs, then the FineTune it works for, then what was known before.
    let all: BTreeMap<String, Bill> =
        before.chain(told).chain(claims).map(|bill| (bill.uid.clone(), bill)).collect();
    let counts = |bill: &Bill| falls_in(present.as_ref(), &bill.started_at);
    let mut all: Vec<Bill> = all.into_values().filter(counts).collect();
    all.sort_by(|one, other| (&one.started_at, &one.uid).cmp(&(&other.started_at, &other.uid)));
    let excess = all.len().saturating_sub(MOST);
    let gone: Vec<Bill> = all.drain(..excess).collect();
    if let Some(oldest) = all.first_mut().filter(|_| !gone.is_empty()) {
        oldest.cost = sum(&gone).plus(amount(&oldest.cost)).unwrap_or(Amount::ZERO).to_string();
    }
    all
}

/// What a claim tells. None: nothing was rented for it yet.
fn of(claim: &NodeClaim) -> Option<Bill> {
    let status = claim.status.as_ref()?;
    let started_at = status.launches.first()?.intended_at.clone();
    Some(Bill { uid: claim.uid()?, started_at, cost: status.cost.as_ref()?.amount.clone() })
}

/// What they come to.
pub fn sum(bills: &[Bill]) -> Amount {
    domain::sum(bills.iter().map(|bill| amount(&bill.cost)))
}
