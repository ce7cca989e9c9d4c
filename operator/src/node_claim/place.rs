//! Client: chooses what to rent for a claim, writes it down, and rents it. Every intent is in status before a vendor hears of
//! it.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::node_claim::NodeClaim;
use cooperator_api::provider::{Provider, ProviderType};
use cooperator_core::market::Shape;
use cooperator_core::time::{SignedDuration, Timestamp};
use cooperator_providers::{Container, Driver, InstanceName, Payload};
use cooperator_rental::{Advance, Intent, News, Permit, Record, launch};
use kube::ResourceExt as _;

use super::dereference::World;
use super::join::Joining;
use super::machine::{self, Moved};
use super::offers::{self, Chosen, Offered};
use super::status::Choosing;
use super::{container, join, needs, reconcile};
use crate::domain::Hold;
use crate::pipeline::Error;
use crate::rent::Rent;

/// How soon the market is looked at again where it had nothing.
pub const MARKET: Duration = Duration::from_secs(30);
/// How long markets that will answer soon are waited for in all.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// What a claim looks for.
pub enum Sought {
    /// A machine.
    Machine,
    /// A machine, or a container that is rented once its pod is there.
    Any,
    /// This container, for its pod.
    Container(Container),
}

impl Sought {
    /// The only shape that will do.
    fn shape(&self) -> Option<Shape> {
        match self {
            Self::Machine => Some(Shape::Machine),
            Self::Any => None,
            Self::Container(_) => Some(Shape::Container),
        }
    }
}

/// Chooses what to rent, writes it down, and rents it. A container is rented later, for its pod.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn place(
    rent: &Rent,
    world: &World,
    moved: Moved,
    name: &InstanceName,
    sought: Sought,
    now: Timestamp,
) -> Result<Moved, Error> {
    let held = |moved, hold| Ok(Moved { hold: Some(hold), again: Some(MARKET), ..moved });
    let offered = match offers::ask(rent, &moved.claim, world, &moved.record, sought.shape(), now).await? {
        Ok(offered) => offered,
        Err(hold) => return held(moved, hold),
    };
    if let Some(after) = offered.soon.filter(|_| age(&moved.claim, now) < PATIENCE) {
        let hold = Hold::new("WaitingForOffers", offered.silent.join("; "));
        return Ok(Moved { hold: Some(hold), again: Some(after + Duration::from_millis(100)), ..moved });
    }
    match decide(rent, world, &moved, offered, sought, now).await? {
        Ok(Decided::Reserved(reserved)) => Ok(*reserved),
        Ok(Decided::Placed(placed)) => order(rent, world, *placed, name).await,
        Err(hold) => held(moved, hold),
    }
}

/// For how long a claim has been there.
fn age(claim: &NodeClaim, now: Timestamp) -> SignedDuration {
    claim.metadata.creation_timestamp.as_ref().map_or(SignedDuration::ZERO, |made| now.duration_since(made.0))
}

/// What was decided and is written down.
enum Decided {
    /// A virtual node stands for it until its pod is there.
    Reserved(Box<Moved>),
    /// It may be rented.
    Placed(Box<Placed>),
}

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
    sought: Sought,
    now: Timestamp,
) -> Result<Result<Decided, Hold>, Error> {
    let _one_at_a_time = rent.deciding.lock().await;
    let claims = rent.pipeline.list(&moved.claim.namespace().unwrap_or_default()).await?;
    let world = World { claims, ..world.clone() };
    let chosen = match offers::choice(&moved.claim, &world, &moved.record, sought.shape(), offered, now) {
        Ok(chosen) => chosen,
        Err(hold) => return Ok(Err(hold)),
    };
    if chosen.offer.shape == Shape::Container && matches!(sought, Sought::Any) {
        let reserved = container::reserve(rent, &world, moved, chosen, now).await?;
        return Ok(Ok(Decided::Reserved(Box::new(reserved))));
    }
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
    let most = driver.most_user_data();
    let joined = joining(rent, moved, &record, (provider, &chosen), (sought, most), now).await?;
    let (payload, joining) = match joined {
        Ok(joined) => joined,
        Err(hold) => return Ok(Err(hold)),
    };
    let choosing = Choosing { chosen, joining };
    let claim = reconcile::persist(rent, &moved.claim, &world, &record, &choosing, now).await?;
    Ok(Ok(Decided::Placed(Box::new(Placed { claim, record, permit, payload, choosing, driver }))))
}

/// What the vendor is given for it, at most so many bytes, and how that joins.
async fn joining(
    rent: &Rent,
    moved: &Moved,
    record: &Record,
    (provider, chosen): (&Provider, &Chosen),
    (sought, most): (Sought, Option<usize>),
    now: Timestamp,
) -> Result<Result<(Payload, Joining), Hold>, Error> {
    if let Sought::Container(container) = sought {
        let status = moved.claim.status.as_ref();
        let node_name = status.and_then(|status| status.node_name.clone()).unwrap_or_default();
        return Ok(Ok((Payload::Container(container), Joining { node_name, bootstrap: None })));
    }
    if provider.spec.type_ == ProviderType::Static {
        return Ok(Ok(join::of_node(&chosen.offer.id.0)));
    }
    join::payload(rent, &moved.claim, record, most, now).await
}

/// Asks the vendor for what is written down.
async fn order(rent: &Rent, world: &World, placed: Placed, name: &InstanceName) -> Result<Moved, Error> {
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
    machine::tell(rent, &claim, world, &at, &record, &news).await?;
    Ok(Moved { claim, record, choosing: Some(choosing), hold: None, again, forgot_token: false })
}
