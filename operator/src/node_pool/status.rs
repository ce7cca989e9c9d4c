//! Pure: what status says of a pool.

use cooperator_api::collective::Collective;
use cooperator_api::common::{Money, condition};
use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::{NodePool, NodePoolStatus};
use cooperator_api::provider::Provider;
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use kube::ResourceExt as _;

use super::{bills, learn};
use crate::domain::Finding;

/// What a pool's status is made from.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Who pays.
    pub collective: Option<Collective>,
    /// Every Provider of the namespace.
    pub providers: Vec<Provider>,
    /// Every NodeClaim of the namespace.
    pub claims: Vec<NodeClaim>,
    /// Every FineTune of the namespace.
    pub tunes: Vec<FineTune>,
}

/// Everything of status but the conditions.
pub fn status(pool: &NodePool, world: &World, now: Timestamp) -> NodePoolStatus {
    let name = pool.name_any();
    let rented: Vec<&NodeClaim> = world
        .claims
        .iter()
        .filter(|claim| claim.spec.node_pool_ref.name == name && is_rented(claim))
        .collect();
    let prices =
        rented.iter().filter_map(|claim| claim.status.as_ref()?.offer.as_ref()?.price_per_hour.parse().ok());
    let price = prices.map(PricePerHour::micros).fold(0, u64::saturating_add);
    let currency = world.collective.as_ref().map_or("", |home| &home.spec.treasury.currency);
    let before = pool.status.as_ref().map(|status| status.throughput.clone()).unwrap_or_default();
    let bills = bills::bills(pool, world, now);
    NodePoolStatus {
        observed_generation: pool.metadata.generation,
        conditions: Vec::new(),
        machines: Some(i32::try_from(rented.len()).unwrap_or(i32::MAX)),
        price_per_hour: Some(PricePerHour::from_micros(price).to_string()),
        spent: Some(Money { amount: bills::sum(&bills).to_string(), currency: currency.to_owned() }),
        bills,
        throughput: learn::throughput(before, &name, &world.tunes),
    }
}

/// Whether something may be rented for it now.
fn is_rented(claim: &NodeClaim) -> bool {
    claim.status.iter().flat_map(|status| &status.launches).any(|launch| launch.confirmed_at.is_none())
}

/// What is found.
pub fn findings(pool: &NodePool, world: &World) -> Vec<Finding> {
    let no = |reason: &str, message: String| vec![Finding::no(condition::READY, reason, message)];
    let home = &pool.spec.collective_ref.name;
    if world.collective.is_none() {
        return no(
            "CollectiveNotFound",
            format!("Collective `{home}` does not exist in this namespace: create it"),
        );
    }
    let known = |name: &str| world.providers.iter().find(|provider| provider.name_any() == name);
    let (mut ready, mut waiting) = (0, Vec::new());
    for reference in &pool.spec.provider_refs {
        let is_ready = known(&reference.name).is_some_and(|provider| {
            let conditions = provider.status.iter().flat_map(|status| &status.conditions);
            provider.spec.collective_ref.name == *home
                && conditions
                    .into_iter()
                    .any(|found| found.type_ == condition::READY && found.status == "True")
        });
        if is_ready { ready += 1 } else { waiting.push(reference.name.clone()) }
    }
    match (ready, waiting.is_empty()) {
        (0, _) => no(
            "ProviderNotReady",
            format!("none of its Providers can be rented from: see {}", waiting.join(", ")),
        ),
        (_, true) => vec![Finding::yes(condition::READY, "Open", "all of its Providers can be rented from")],
        (_, false) => {
            let message = format!("{ready} of its Providers can be rented from; not {}", waiting.join(", "));
            vec![Finding::yes(condition::READY, "Open", message)]
        }
    }
}
