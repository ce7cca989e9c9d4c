//! Client: chooses and rents a machine, and moves the rental on. Every intent is in status before a vendor hears of it.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::node_claim::NodeClaim;
use cooperator_api::provider::{Provider, ProviderType};
use cooperator_core::market::{Choice, MachineClass, Offer, choose};
use cooperator_core::money::PricePerHour;
use cooperator_core::time::{SignedDuration, Timestamp};
use cooperator_providers::Error::Throttled;
use cooperator_providers::{Driver, InstanceName, Payload, Query};
use cooperator_rental::{Advance, Intent, Limits, News, Permit, Record, Wish, launch, step};
use kube::ResourceExt as _;

use super::dereference::World;
use super::status::Choosing;
use super::wish::Intention;
use super::{bounds, join, needs, reconcile};
use crate::domain::{Hold, duration};
use crate::pipeline::Error;
use crate::provider;
use crate::rent::Rent;

/// How soon the market is looked at again where it had nothing.
const MARKET: Duration = Duration::from_secs(30);
/// How long a market that will answer soon is waited for before a dearer machine is taken elsewhere, and how long in all.
const PATIENCE: (Duration, SignedDuration) = (Duration::from_secs(15), SignedDuration::from_secs(60));
/// How soon a drain is looked at again.
const DRAIN: Duration = Duration::from_secs(2);

/// Where a claim stands after [`advance`].
#[derive(Debug)]
pub struct Moved {
    /// The claim, as it was read last.
    pub claim: NodeClaim,
    /// Its record.
    pub record: Record,
    /// What was chosen, where something was.
    pub choosing: Option<Choosing>,
    /// Why nothing is rented, or cannot be asked about.
    pub hold: Option<Hold>,
    /// When to look again at the latest.
    pub again: Option<Duration>,
    /// Whether its bootstrap token was taken away.
    pub forgot_token: bool,
}

/// Moves a claim's rental on by one step.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn advance(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    record: Record,
    intention: &Intention,
    now: Timestamp,
) -> Result<Moved, Error> {
    let name = instance_name(rent, claim).await?;
    let still =
        Moved { claim: claim.clone(), record, choosing: None, hold: None, again: None, forgot_token: false };
    // The node of a machine before goes first: one claim has one node.
    if still.record.is_closed() && !intention.is_over && world.node.is_none() {
        return place(rent, world, still, &name, now).await;
    }
    if super::wish::drains_until(claim, world, &still.record, now).is_some() {
        return Ok(Moved { again: Some(DRAIN), ..still });
    }
    go_on(rent, claim, world, still, &name, &intention.wish).await
}

/// What the machine of a claim is called.
async fn instance_name(rent: &Rent, claim: &NodeClaim) -> Result<InstanceName, Error> {
    let uid = claim.uid().unwrap_or_default();
    let none = || Error::Domain(format!("NodeClaim `{}` has no UUID for a uid: {uid}", claim.name_any()));
    rent.tenant().await?.name(&uid).ok_or_else(none)
}

/// One step at each Provider where something is to be done, until one changes the record.
async fn go_on(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    mut moved: Moved,
    name: &InstanceName,
    wish: &Wish,
) -> Result<Moved, Error> {
    let providers: Vec<String> = moved.record.providers().into_iter().map(str::to_owned).collect();
    for at in providers {
        let Some(provider) = world.providers.get(&at) else {
            let message = format!(
                "Provider `{at}`, where its machine is, does not exist any more: create it again, so that the machine can be ended"
            );
            moved.hold = Some(Hold::new("ProviderNotFound", message));
            continue;
        };
        let driver = match rent.drivers.of(&rent.pipeline, provider).await? {
            Ok(driver) => driver,
            Err(hold) => {
                moved.hold = Some(hold);
                continue;
            }
        };
        let limits = limits(provider);
        let clock = &*rent.pipeline.clock;
        let Advance { record, changed, again, news } =
            step(&moved.record, &at, name, wish, &limits, &*driver, clock).await;
        tell(rent, claim, world, &at, &record, &news).await?;
        moved.record = record;
        moved.again = [moved.again, again].into_iter().flatten().min();
        if changed {
            break;
        }
    }
    Ok(moved)
}

/// How long things may take at a Provider.
fn limits(provider: &Provider) -> Limits {
    let launch = duration(&provider.spec.timeouts.launch).try_into().unwrap_or_default();
    Limits { launch, ..Limits::default() }
}

/// Chooses what to rent, writes it down, and rents it.
async fn place(
    rent: &Rent,
    world: &World,
    moved: Moved,
    name: &InstanceName,
    now: Timestamp,
) -> Result<Moved, Error> {
    let offered = match ask(rent, &moved.claim, world, &moved.record, now).await? {
        Ok(offered) => offered,
        Err(hold) => return Ok(Moved { hold: Some(hold), again: Some(MARKET), ..moved }),
    };
    if let Some(after) = offered.soon.filter(|_| age(&moved.claim, now) < PATIENCE.1) {
        let hold = Hold::new("WaitingForOffers", offered.silent.join("; "));
        return Ok(Moved { hold: Some(hold), again: Some(after + Duration::from_millis(100)), ..moved });
    }
    let placed = match decide(rent, world, &moved, offered, now).await? {
        Ok(placed) => placed,
        Err(hold) => return Ok(Moved { hold: Some(hold), again: Some(MARKET), ..moved }),
    };
    let Placed { claim, record, permit, payload, choosing, driver } = placed;
    let at = choosing.chosen.offer.provider.clone();
    let Advance { record, again, news, .. } =
        launch(permit, &record, name, payload, &*driver, &*rent.pipeline.clock).await;
    let namespace = claim.namespace().unwrap_or_default();
    match news.iter().find_map(News::turn) {
        // An offer that could not be asked for yet is still there: asking for all again would only take the vendor's next turn.
        Some(after) => rent.market.rest(&namespace, &at, after, rent.pipeline.clock.now()),
        None => rent.market.forget(&namespace, &at),
    }
    tell(rent, &claim, world, &at, &record, &news).await?;
    Ok(Moved { claim, record, choosing: Some(choosing), hold: None, again, forgot_token: false })
}

/// What was decided and is written down: it may be rented.
struct Placed {
    claim: NodeClaim,
    record: Record,
    permit: Permit,
    payload: Payload,
    choosing: Choosing,
    driver: Arc<dyn Driver>,
}

/// Chooses, and writes the intent down. One claim at a time, each by what the claims before it have written down: so that
/// no limit is passed by two that are decided at once.
async fn decide(
    rent: &Rent,
    world: &World,
    moved: &Moved,
    offered: Offered,
    now: Timestamp,
) -> Result<Result<Placed, Hold>, Error> {
    let _one_at_a_time = rent.deciding.lock().await;
    let claims = rent.pipeline.list(&moved.claim.namespace().unwrap_or_default()).await?;
    let world = World { claims, ..world.clone() };
    let chosen = match choice(&moved.claim, &world, &moved.record, offered, now) {
        Ok(chosen) => chosen,
        Err(hold) => return Ok(Err(hold)),
    };
    let at = &chosen.offer.provider;
    let gone = || Hold::new("ProviderNotFound", format!("Provider `{at}` does not exist any more"));
    let Some(provider) = world.providers.get(at) else { return Ok(Err(gone())) };
    let driver = match rent.drivers.of(&rent.pipeline, provider).await? {
        Ok(driver) => driver,
        Err(hold) => return Ok(Err(hold)),
    };
    let mut record = moved.record.clone();
    let disk_gib = needs::job(&moved.claim).needs.disk_gib;
    let intent = Intent { offer: chosen.offer.clone(), disk_gib, bid: chosen.bid };
    let permit = match record.begin(intent, now) {
        Ok(permit) => permit,
        Err(full) => return Ok(Err(Hold::new("TooManyLaunches", full.to_string()))),
    };
    let (payload, joining) = if provider.spec.type_ == ProviderType::Static {
        join::of_node(&chosen.offer.id.0)
    } else {
        join::payload(rent, &moved.claim, &record, now).await?
    };
    let choosing = Choosing { chosen, joining };
    let claim = reconcile::persist(rent, &moved.claim, &world, &record, &choosing, now).await?;
    Ok(Ok(Placed { claim, record, permit, payload, choosing, driver }))
}

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
struct Offered {
    offers: Vec<Offer>,
    silent: Vec<String>,
    /// After how long all of those can be heard that were only asked too often: one of them may be the cheapest.
    soon: Option<Duration>,
}

impl Offered {
    /// A Provider may be asked again after so long. The words do not count the seconds: they would be news each time.
    fn early(&mut self, name: &str, after: Duration) {
        if after <= PATIENCE.0 {
            self.soon = self.soon.max(Some(after));
        }
        self.silent.push(format!("{name}: it was asked too often a moment ago"));
    }
}

/// For how long a claim has been there.
fn age(claim: &NodeClaim, now: Timestamp) -> SignedDuration {
    claim.metadata.creation_timestamp.as_ref().map_or(SignedDuration::ZERO, |made| now.duration_since(made.0))
}

/// Asks every Provider that may be rented from. One that does not answer holds up no other.
async fn ask(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    now: Timestamp,
) -> Result<Result<Offered, Hold>, Error> {
    let bounds = bounds::home(claim, world).and_then(|home| bounds::bounds(claim, home, world, record, now));
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
    for name in bounds.sellers.keys() {
        let closed = bounds.sellers.get(name).is_some_and(|seller| seller.closed.is_some());
        let Some(provider) = world.providers.get(name).filter(|_| !closed) else { continue };
        let namespace = claim.namespace().unwrap_or_default();
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

/// Pure: the offer that is taken.
///
/// # Errors
/// [`Hold`]: none will do, or there is no room.
fn choice(
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    offered: Offered,
    now: Timestamp,
) -> Result<Chosen, Hold> {
    let home = bounds::home(claim, world)?;
    let within = bounds::bounds(claim, home, world, record, now)?;
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

/// Tells what happened: as events, and to the Provider that it happened at.
async fn tell(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    at: &str,
    record: &Record,
    news: &[News],
) -> Result<(), Error> {
    let reporter = reconcile::reporter(rent);
    let launched = record.launches.last().map_or(Timestamp::MIN, |launch| launch.intended_at);
    for one in news {
        if let Some((warning, reason, note)) = super::status::event(at, one) {
            reporter.event(claim, warning, reason, note).await;
        }
    }
    match world.providers.get(at) {
        Some(provider) => {
            let costs = news.iter().filter_map(|one| match one {
                News::Accounted { amount, .. } => Some(*amount),
                _ => None,
            });
            costs.for_each(|amount| rent.gauges.cost(provider.spec.type_, amount));
            provider::note(rent, provider, launched, news).await
        }
        None => Ok(()),
    }
}
