//! What is offered to a claim, and what of it is taken.

use std::time::Duration;

use cooperator_api::node_claim::NodeClaim;
use cooperator_core::market::{Choice, MachineClass, Offer, Shape, choose};
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use cooperator_providers::Error::Throttled;
use cooperator_providers::Query;
use cooperator_rental::Record;
use kube::ResourceExt as _;

use super::dereference::World;
use super::{bounds, needs};
use crate::domain::Hold;
use crate::pipeline::Error;
use crate::rent::Rent;

/// How long a market that will answer soon is waited for before a dearer machine is taken elsewhere.
const PATIENCE: Duration = Duration::from_secs(15);

/// An offer that was chosen, by itself.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The offer.
    pub offer: Offer,
    /// What placement says of it.
    pub choice: Choice,
    /// What its throughput is remembered by.
    pub class: MachineClass,
    /// What is bid for it.
    pub bid: Option<PricePerHour>,
}

/// What Providers offer, and which of them were not heard.
#[derive(Debug, Default)]
pub struct Offered {
    offers: Vec<Offer>,
    /// Those that were not heard, and why.
    pub silent: Vec<String>,
    /// After how long all of those can be heard that were only asked too often: one of them may be the cheapest.
    pub soon: Option<Duration>,
}

impl Offered {
    /// A Provider may be asked again after so long. The words do not count the seconds: they would be news each time.
    fn early(&mut self, name: &str, after: Duration) {
        if after <= PATIENCE {
            self.soon = self.soon.max(Some(after));
        }
        self.silent.push(format!("{name}: it was asked too often a moment ago"));
    }
}

/// Asks every Provider that may be rented from. One that does not answer holds up no other. `shape`: the only one that will
/// do.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn ask(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    shape: Option<Shape>,
    now: Timestamp,
) -> Result<Result<Offered, Hold>, Error> {
    let bounds =
        bounds::home(claim, world).and_then(|home| bounds::bounds(claim, home, world, record, shape, now));
    let bounds = match bounds {
        Ok(within) => within.bounds,
        Err(hold) => return Ok(Err(hold)),
    };
    let job = needs::job(claim);
    let query = Query {
        shape: bounds.shape,
        gpus: job.needs.gpus,
        gpu_memory_mib: job.needs.gpu_memory_mib.unwrap_or_default(),
        gpu_models: Vec::new(),
        disk_gib: job.needs.disk_gib,
        most: None,
    };
    let mut offered = Offered::default();
    let namespace = claim.namespace().unwrap_or_default();
    for (name, seller) in &bounds.sellers {
        let Some(provider) = world.providers.get(name).filter(|_| seller.closed.is_none()) else { continue };
        if let Some(after) = rent.market.rests(&namespace, name, now) {
            offered.early(name, after);
            continue;
        }
        match rent.drivers.of(&rent.pipeline, provider).await? {
            Err(hold) => offered.silent.push(format!("{name}: {}", hold.message)),
            Ok(driver) => match rent.market.offers(provider, &*driver, &query, now).await {
                Ok(found) => offered.offers.extend(found),
                Err(Throttled { after, .. }) => offered.early(name, after),
                Err(error) => offered.silent.push(format!("{name}: {error}")),
            },
        }
    }
    Ok(Ok(offered))
}

/// Pure: the offer that is taken. `shape`: the only one that will do.
///
/// # Errors
/// [`Hold`]: none will do, or there is no room.
pub fn choice(
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    shape: Option<Shape>,
    offered: Offered,
    now: Timestamp,
) -> Result<Chosen, Hold> {
    let home = bounds::home(claim, world)?;
    let within = bounds::bounds(claim, home, world, record, shape, now)?;
    let job = needs::job(claim);
    let Offered { mut offers, silent, soon: _ } = offered;
    match choose(&offers, &job, &within.bounds, &needs::throughput(home.pool), now) {
        Ok(mut choices) if !choices.is_empty() => {
            let choice = choices.swap_remove(0);
            within.budget.as_ref().map_or(Ok(()), |left| left.pays_for(choice.hourly))?;
            let offer = offers.swap_remove(choice.offer);
            Ok(Chosen { class: MachineClass::of(&offer, job.needs.gpus), bid: choice.bid, offer, choice })
        }
        Ok(_) => Err(Hold::new("NoOffer", "nothing is for rent")),
        Err(none) => {
            let closed = within
                .bounds
                .sellers
                .iter()
                .filter_map(|(name, seller)| Some(format!("`{name}` is {}", seller.closed.as_ref()?)));
            let others = listed("not asked", closed.collect()) + &listed("not heard", silent);
            Err(Hold::new("NoOffer", format!("{}{others}", within.explain(&none))))
        }
    }
}

/// What stands at the end of a sentence.
fn listed(what: &str, all: Vec<String>) -> String {
    if all.is_empty() { String::new() } else { format!("; {what}: {}", all.join("; ")) }
}
