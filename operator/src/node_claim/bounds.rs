//! Pure: within which bounds a machine is looked for, and whether there is room for one more.

use std::collections::BTreeMap;

use cooperator_api::collective::Collective;
use cooperator_api::common::Spot;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::requirement::{Requirement, RequirementOperator};
use cooperator_core::basis_points::BasisPoints;
use cooperator_core::market::requirement::Operator;
use cooperator_core::market::{self, Bounds, HostId, NoOffer, OfferId, Requirements, Seller, Shape};
use cooperator_core::money::{Amount, PricePerHour};
use cooperator_core::time::Timestamp;
use cooperator_rental::Record;
use kube::ResourceExt as _;

use super::container;
use super::dereference::World;
use super::purse::Left;
use super::{limits, purse, unfit};
use crate::domain::{Hold, duration};
use crate::rent;

/// A claim whose references may be used.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// The pool.
    pub pool: &'a NodePool,
    /// Who pays.
    pub collective: &'a Collective,
}

/// The gates over references.
///
/// # Errors
/// [`Hold`] of the first that does not pass.
pub fn home<'a>(claim: &NodeClaim, world: &'a World) -> Result<Home<'a>, Hold> {
    let name = &claim.spec.node_pool_ref.name;
    let Some(pool) = &world.pool else {
        let message = format!("NodePool `{name}` does not exist in this namespace: create it");
        return Err(Hold::new("NodePoolNotFound", message));
    };
    let Some(collective) = &world.collective else {
        let message = format!(
            "Collective `{}` does not exist in this namespace: create it",
            pool.spec.collective_ref.name
        );
        return Err(Hold::new("CollectiveNotFound", message));
    };
    Ok(Home { pool, collective })
}

/// Within which bounds a machine is looked for, and which of them come from where.
#[derive(Debug)]
pub struct Within {
    /// The bounds.
    pub bounds: Bounds,
    /// Where bounds of the price of an hour come from that others use up, in words.
    prices: Vec<String>,
    /// The bound of money, and where it comes from.
    pub budget: Option<Left>,
}

impl Within {
    /// Why no offer will do, with the bound that is in the way.
    pub fn explain(&self, none: &NoOffer) -> String {
        let more: Vec<&str> = match none {
            NoOffer::Price { .. } => self.prices.iter().map(String::as_str).collect(),
            NoOffer::Budget { .. } => self.budget.iter().map(|left| left.words.as_str()).collect(),
            _ => Vec::new(),
        };
        std::iter::once(none.to_string())
            .chain(more.into_iter().map(str::to_owned))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Within which bounds this claim's machine is looked for; `shape`: the only one that will do.
///
/// # Errors
/// [`Hold`] where a bound cannot be read or leaves no room, or no Provider of the pool can be reckoned with.
pub fn bounds(
    claim: &NodeClaim,
    home: Home<'_>,
    world: &World,
    record: &Record,
    shape: Option<Shape>,
    now: Timestamp,
) -> Result<Within, Hold> {
    let Home { pool, collective } = home;
    let prices = [&claim.spec.max_price_per_hour, &pool.spec.max_price_per_hour];
    let prices = prices.into_iter().flatten().map(|text| price(text)).collect::<Result<Vec<_>, _>>()?;
    let room = limits::of_pool(claim, pool, world)?;
    let purses = purse::purses(claim, world, record, now)?;
    let budget = purse::least(&purses, &collective.spec.treasury.currency)?;
    let all = pool.spec.template.spec.requirements.iter().chain(&claim.spec.requirements);
    let written: Vec<market::Requirement> = all.map(requirement).collect();
    let requirements =
        Requirements::parse(&written).map_err(|error| Hold::new("RequirementInvalid", error.to_string()))?;
    let headroom =
        u16::try_from(pool.spec.price_headroom).ok().and_then(|points| BasisPoints::new(points).ok());
    let (sellers, mut words) = sellers(claim, home, world, now)?;
    words.extend(room.iter().map(|most| most.words.clone()));
    let bounds = Bounds {
        most_per_hour: prices.into_iter().chain(room.map(|most| most.price)).min(),
        budget_left: budget.as_ref().map(|left| left.amount),
        deadline_seconds: u64::try_from(duration(&claim.spec.expire_after).as_secs()).ok(),
        spot: match claim.spec.spot {
            Spot::Never => market::Spot::Never,
            Spot::Prefer => market::Spot::Prefer,
            Spot::Only => market::Spot::Only,
        },
        bid_headroom: headroom.unwrap_or_default(),
        requirements,
        shape,
        sellers,
    };
    Ok(Within { bounds, prices: words, budget })
}

/// The Providers of the pool, and where bounds of their prices come from.
fn sellers(
    claim: &NodeClaim,
    home: Home<'_>,
    world: &World,
    now: Timestamp,
) -> Result<(BTreeMap<String, Seller>, Vec<String>), Hold> {
    let (mut sellers, mut words) = (BTreeMap::new(), Vec::new());
    let mut refused = None;
    let collective = home.collective;
    for reference in &home.pool.spec.provider_refs {
        let Some(provider) = world.providers.get(&reference.name) else { continue };
        if provider.spec.collective_ref.name != collective.name_any() {
            let message = format!(
                "Provider `{}` belongs to another Collective: use one of `{}`",
                reference.name,
                collective.name_any()
            );
            refused = Some(Hold::new("CollectiveMismatch", message));
            continue;
        }
        let room = limits::of_provider(claim, provider, world)?;
        match rent::seller(provider, reference, collective, now) {
            Ok(seller) => {
                let seller = without_unfit(seller, claim, world, &reference.name);
                let closed = seller.closed.clone().or(room.full);
                let most_per_hour = room.most.as_ref().map(|most| most.price);
                words.extend(room.most.map(|most| most.words));
                sellers.insert(reference.name.clone(), Seller { closed, most_per_hour, ..seller });
            }
            Err(hold) => refused = Some(hold),
        }
    }
    match refused {
        Some(hold) if sellers.is_empty() => Err(hold),
        _ if sellers.is_empty() => {
            let names: Vec<&str> = home.pool.spec.provider_refs.iter().map(|one| one.name.as_str()).collect();
            let message = format!(
                "none of the pool's Providers exists in this namespace ({}): create one",
                names.join(", ")
            );
            Err(Hold::new("ProviderNotFound", message))
        }
        _ => Ok((sellers, words)),
    }
}

/// Where an attempt of the same FineTune found a machine unfit, the next is not looked for.
fn without_unfit(mut seller: Seller, claim: &NodeClaim, world: &World, provider: &str) -> Seller {
    for offer in unfit::offers(claim, world, provider) {
        match &offer.host {
            Some(host) => seller.blocked_hosts.insert(HostId::from(host.as_str())),
            None => seller.blocked_offers.insert(OfferId::from(offer.id.as_str())),
        };
    }
    seller
}

/// Whether something may be rented for it now.
pub fn is_rented(claim: &NodeClaim) -> bool {
    let launches = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
    launches.iter().any(|launch| launch.confirmed_at.is_none()) || container::is_reserved(claim)
}

/// How many claims of the same pool wait that are older.
pub fn ahead(claim: &NodeClaim, world: &World) -> usize {
    let age =
        |claim: &NodeClaim| (claim.metadata.creation_timestamp.clone().map(|time| time.0), claim.name_any());
    let waits = |other: &&NodeClaim| {
        other.spec.node_pool_ref == claim.spec.node_pool_ref
            && other.metadata.deletion_timestamp.is_none()
            && !is_rented(other)
            && !super::wish::is_ending(other)
            && age(other) < age(claim)
    };
    world.claims.iter().filter(waits).count()
}

fn requirement(requirement: &Requirement) -> market::Requirement {
    let Requirement { key, operator, values } = requirement.clone();
    let operator = match operator {
        RequirementOperator::In => Operator::In,
        RequirementOperator::NotIn => Operator::NotIn,
        RequirementOperator::Exists => Operator::Exists,
        RequirementOperator::DoesNotExist => Operator::DoesNotExist,
        RequirementOperator::Gt => Operator::Gt,
        RequirementOperator::Lt => Operator::Lt,
        RequirementOperator::Gte => Operator::Gte,
        RequirementOperator::Lte => Operator::Lte,
    };
    market::Requirement { key, operator, values }
}

/// A price that a spec names.
///
/// # Errors
/// [`Hold`] with reason PriceInvalid.
pub fn price(text: &str) -> Result<PricePerHour, Hold> {
    text.parse()
        .map_err(|error: cooperator_core::money::MoneyError| Hold::new("PriceInvalid", error.to_string()))
}

/// An amount that a spec names.
///
/// # Errors
/// [`Hold`] with reason PriceInvalid.
pub fn amount(text: &str) -> Result<Amount, Hold> {
    text.parse()
        .map_err(|error: cooperator_core::money::MoneyError| Hold::new("PriceInvalid", error.to_string()))
}
