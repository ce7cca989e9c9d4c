//! Pure: how many machines there may be at once, and what an hour of all of them may cost: of a pool, and of a Provider.

use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_core::money::PricePerHour;
use kube::ResourceExt as _;

use super::bounds::{self, ahead, is_rented};
use super::dereference::World;
use crate::domain::Hold;

/// A bound of the price of an hour, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Most {
    /// The bound.
    pub price: PricePerHour,
    /// In words.
    pub words: String,
}

/// What of the pool's price for all machines is left for this one; none: no bound.
///
/// # Errors
/// [`Hold`] with reason PoolFull: as many machines as it allows are rented, or others waited before.
pub fn of_pool(claim: &NodeClaim, pool: &NodePool, world: &World) -> Result<Option<Most>, Hold> {
    let name = pool.name_any();
    let rented: Vec<&NodeClaim> = world
        .claims
        .iter()
        .filter(|other| other.spec.node_pool_ref.name == name && other.uid() != claim.uid())
        .filter(|other| is_rented(other))
        .collect();
    let most = usize::try_from(pool.spec.limits.machines).unwrap_or_default();
    if rented.len() + ahead(claim, world) >= most {
        let message = format!(
            "{} of {most} machines of NodePool `{name}` are rented, {} claims are before this one: it waits, or raise spec.limits.machines",
            rented.len(),
            ahead(claim, world)
        );
        return Err(Hold::new("PoolFull", message));
    }
    let Some(most) = &pool.spec.limits.price_per_hour else { return Ok(None) };
    Ok(Some(room(bounds::price(most)?, &rented, &format!("spec.limits.pricePerHour of NodePool `{name}`"))))
}

/// What a Provider has room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Why it has none, in a few words.
    pub full: Option<String>,
    /// Most that an hour of one more machine may cost.
    pub most: Option<Most>,
}

/// What a Provider has room for, whatever pools rent from it. Machines that have lost their claims are counted until they
/// are gone.
///
/// # Errors
/// [`Hold`] with reason PriceInvalid.
pub fn of_provider(claim: &NodeClaim, provider: &Provider, world: &World) -> Result<Room, Hold> {
    let name = provider.name_any();
    let at = |other: &&NodeClaim| {
        let launches = other.status.iter().flat_map(|status| &status.launches);
        launches.into_iter().any(|launch| launch.provider == name && launch.confirmed_at.is_none())
    };
    let rented: Vec<&NodeClaim> =
        world.claims.iter().filter(|other| other.uid() != claim.uid()).filter(at).collect();
    let strays = provider.status.iter().flat_map(|status| &status.strays);
    let count = rented.len() + strays.filter(|stray| stray.machine.confirmed_at.is_none()).count();
    let limits = &provider.spec.limits;
    let full = limits.machines.and_then(|most| {
        let is_full = usize::try_from(most).is_ok_and(|most| count >= most);
        is_full.then(|| {
            format!(
                "full: {count} of {most} machines are rented from it; wait, or raise its spec.limits.machines"
            )
        })
    });
    let most = match &limits.price_per_hour {
        Some(most) => {
            let field = format!("spec.limits.pricePerHour of Provider `{name}`");
            Some(room(bounds::price(most)?, &rented, &field))
        }
        None => None,
    };
    Ok(Room { full, most })
}

/// What an hour of the machine of a claim costs, while one is rented for it.
pub fn price(claim: &NodeClaim) -> Option<PricePerHour> {
    let price = &claim.status.as_ref()?.offer.as_ref()?.price_per_hour;
    is_rented(claim).then(|| price.parse().ok()).flatten()
}

fn room(most: PricePerHour, rented: &[&NodeClaim], field: &str) -> Most {
    let taken = rented.iter().filter_map(|claim| price(claim)).map(PricePerHour::micros);
    let taken = PricePerHour::from_micros(taken.fold(0, u64::saturating_add));
    Most {
        price: PricePerHour::from_micros(most.micros().saturating_sub(taken.micros())),
        words: format!("{taken} an hour are rented of {field}, which is {most}: wait, or raise it"),
    }
}
