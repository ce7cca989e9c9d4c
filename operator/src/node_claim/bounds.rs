//! Pure: within which bounds a machine is looked for, and whether there is room for one more.

use std::collections::BTreeMap;

use cooperator_api::collective::Collective;
use cooperator_api::common::Spot;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::requirement::{Requirement, RequirementOperator};
use cooperator_core::basis_points::BasisPoints;
use cooperator_core::market::requirement::Operator;
use cooperator_core::market::{self, Bounds, Requirements, Seller, Shape};
use cooperator_core::money::{Amount, PricePerHour};
use cooperator_core::time::Timestamp;
use kube::ResourceExt as _;

use super::dereference::World;
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

/// Within which bounds this claim's machine is looked for.
///
/// # Errors
/// [`Hold`] where a bound cannot be read, or no Provider of the pool can be reckoned with.
pub fn bounds(claim: &NodeClaim, home: Home<'_>, world: &World, now: Timestamp) -> Result<Bounds, Hold> {
    let Home { pool, collective } = home;
    let prices = [&claim.spec.max_price_per_hour, &pool.spec.max_price_per_hour];
    let prices = prices.into_iter().flatten().map(|text| price(text)).collect::<Result<Vec<_>, _>>()?;
    let room = room(claim, pool, world)?;
    let all = pool.spec.template.spec.requirements.iter().chain(&claim.spec.requirements);
    let written: Vec<market::Requirement> = all.map(requirement).collect();
    let requirements =
        Requirements::parse(&written).map_err(|error| Hold::new("RequirementInvalid", error.to_string()))?;
    let headroom =
        u16::try_from(pool.spec.price_headroom).ok().and_then(|points| BasisPoints::new(points).ok());
    Ok(Bounds {
        most_per_hour: prices.into_iter().chain(room).min(),
        budget_left: claim.spec.budget.as_deref().map(amount).transpose()?,
        deadline_seconds: u64::try_from(duration(&claim.spec.expire_after).as_secs()).ok(),
        spot: match claim.spec.spot {
            Spot::Never => market::Spot::Never,
            Spot::Prefer => market::Spot::Prefer,
            Spot::Only => market::Spot::Only,
        },
        bid_headroom: headroom.unwrap_or_default(),
        requirements,
        // A container alone is no node: it waits for the virtual one.
        shape: Some(Shape::Machine),
        sellers: sellers(home, world, collective, now)?,
    })
}

fn sellers(
    home: Home<'_>,
    world: &World,
    collective: &Collective,
    now: Timestamp,
) -> Result<BTreeMap<String, Seller>, Hold> {
    let mut sellers = BTreeMap::new();
    let mut refused = None;
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
        match rent::seller(provider, reference, collective, now) {
            Ok(seller) => drop(sellers.insert(reference.name.clone(), seller)),
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
        _ => Ok(sellers),
    }
}

/// What of the pool's price for all machines is left for this one; none: no bound.
///
/// # Errors
/// [`Hold`] with reason PoolFull: as many machines as it allows are rented, or others waited before.
fn room(claim: &NodeClaim, pool: &NodePool, world: &World) -> Result<Option<PricePerHour>, Hold> {
    let others = world
        .claims
        .iter()
        .filter(|other| other.spec.node_pool_ref.name == pool.name_any() && other.uid() != claim.uid());
    let rented: Vec<&NodeClaim> = others.filter(|other| is_rented(other)).collect();
    let most = usize::try_from(pool.spec.limits.machines).unwrap_or_default();
    if rented.len() + ahead(claim, world) >= most {
        let message = format!(
            "{} of {most} machines of NodePool `{}` are rented, {} claims are before this one: it waits, or raise spec.limits.machines",
            rented.len(),
            pool.name_any(),
            ahead(claim, world)
        );
        return Err(Hold::new("PoolFull", message));
    }
    let Some(most) = &pool.spec.limits.price_per_hour else { return Ok(None) };
    let most = price(most)?;
    let taken = rented.iter().filter_map(|other| {
        other.status.as_ref()?.offer.as_ref()?.price_per_hour.parse::<PricePerHour>().ok()
    });
    let taken: u64 = taken.map(PricePerHour::micros).fold(0, u64::saturating_add);
    Ok(Some(PricePerHour::from_micros(most.micros().saturating_sub(taken))))
}

/// Whether something may be rented for it now.
pub fn is_rented(claim: &NodeClaim) -> bool {
    let launches = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
    launches.iter().any(|launch| launch.confirmed_at.is_none())
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

fn price(text: &str) -> Result<PricePerHour, Hold> {
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
