//! Pure: what attempts cost.

use cooperator_api::collective::{Collective, Departed};
use cooperator_api::common::{Attempt, Money};
use cooperator_api::fine_tune::FineTune;
use cooperator_core::money::{Amount, PricePerHour};
use cooperator_core::time::whole_second;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::domain::{amount, parse_time};
use crate::pipeline::Error;

/// What an hour of a machine is charged at.
///
/// # Errors
/// When the price is no decimal; the API lets none through.
pub fn price(collective: Option<&Collective>) -> Result<PricePerHour, Error> {
    let price = collective.map_or("0", |collective| &collective.spec.treasury.price_per_node_hour);
    price.parse().map_err(|error| Error::Domain(format!("pricePerNodeHour: {error}")))
}

/// Cost that status holds: of every attempt that has ended.
pub fn so_far(tune: &FineTune) -> Amount {
    let cost = tune.status.as_ref().and_then(|status| status.cost.as_ref());
    cost.map_or(Amount::ZERO, |cost| amount(&cost.amount))
}

/// Cost with the attempts that have ended since status was written. It is written together with their end, so that
/// none is counted twice.
pub fn with_ended(tune: &FineTune, attempts: &[Attempt], price: PricePerHour, currency: &str) -> Money {
    let before = tune.status.as_ref().map(|status| status.attempts.as_slice()).unwrap_or_default();
    let was_open = |attempt: &&Attempt| {
        let known = before.iter().find(|known| known.number == attempt.number);
        // What ran on a rented machine costs what that machine costs.
        attempt.node_claim.is_none()
            && attempt.ended_at.is_some()
            && known.is_none_or(|known| known.ended_at.is_none())
    };
    let fresh = attempts.iter().filter(was_open).filter_map(|attempt| price.amount(seconds(attempt)).ok());
    let total = fresh.fold(so_far(tune), |sum, amount| sum.plus(amount).unwrap_or(sum));
    Money { amount: total.to_string(), currency: currency.to_owned() }
}

/// What a FineTune that is being deleted leaves to pay: an attempt that was still open ends now. None: nothing.
pub fn departed(tune: &FineTune, price: PricePerHour, now: Timestamp) -> Option<Departed> {
    let mut attempts = tune.status.as_ref()?.attempts.clone();
    for attempt in attempts.iter_mut().filter(|attempt| attempt.ended_at.is_none()) {
        attempt.ended_at = Some(whole_second(now).to_string());
    }
    let cost = with_ended(tune, &attempts, price, "").amount;
    let nothing = cost.parse::<Amount>() == Ok(Amount::ZERO);
    (!nothing).then_some(Departed {
        uid: tune.uid().unwrap_or_default(),
        fine_tune: tune.name_any(),
        cost,
        ended_at: attempts.last()?.ended_at.clone()?,
    })
}

/// How long an ended attempt took, in seconds.
fn seconds(attempt: &Attempt) -> u64 {
    let ended = attempt.ended_at.as_deref().and_then(parse_time);
    match (parse_time(&attempt.started_at), ended) {
        (Some(start), Some(end)) => u64::try_from(end.duration_since(start).as_secs()).unwrap_or_default(),
        _ => 0,
    }
}

/// Seconds that what is left pays for, rounded down; none: an hour costs nothing.
pub fn seconds_left(left: Amount, price: PricePerHour) -> Option<u64> {
    let hour = price.amount(3600).ok()?.pico();
    if hour == 0 {
        return None;
    }
    let left = left.pico().max(0);
    Some(left.checked_mul(3600).map_or(u64::MAX, |scaled| u64::try_from(scaled / hour).unwrap_or(u64::MAX)))
}
