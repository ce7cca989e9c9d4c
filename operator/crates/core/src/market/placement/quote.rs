//! What a job is expected to take on one offer.

use super::Choice;
use crate::market::exchange::ExchangeRate;
use crate::market::job::Job;
use crate::market::offer::{CapacityType, Offer};
use crate::market::throughput::Rate;
use crate::money::{Amount, MoneyError, PricePerHour};

/// Assumed of a host whose vendor tells nothing: it keeps its word on 99 days of 100. In basis points.
const UNTOLD_RELIABILITY: u16 = 9900;
/// Assumed of spot, besides what the host itself does: once in ten hours, in ten-thousandths of a day.
const SPOT_A_DAY: u32 = 24_000;
/// Seconds of a day, by ten thousand.
const DAY: u128 = 86_400 * 10_000;

/// How often a machine is expected to be interrupted, in ten-thousandths a day: a host that keeps its word on 99.5 % of
/// days, 50; a spot machine once in ten hours besides.
pub fn interruptions_a_day(offer: &Offer) -> u32 {
    let reliability = offer.reliability.map_or(UNTOLD_RELIABILITY, |points| points.get());
    let host = 10_000_u32.saturating_sub(u32::from(reliability));
    match offer.capacity_type {
        CapacityType::OnDemand => host,
        CapacityType::Spot => host + SPOT_A_DAY,
    }
}

/// What an offer would cost, and take.
#[derive(Clone, Debug)]
pub(super) struct Quote {
    /// An hour with disk at the lowest bid, in the treasury's currency: what the bound on prices is held against.
    pub(super) least_hourly: PricePerHour,
    pub(super) hourly: PricePerHour,
    pub(super) bid: Option<PricePerHour>,
    /// Whether the lowest bid is above the price on demand.
    pub(super) overbid: bool,
    pub(super) seconds: u64,
    pub(super) expected: Amount,
    pub(super) rate: Rate,
}

impl Quote {
    pub(super) const fn choice(&self, offer: usize) -> Choice {
        Choice {
            offer,
            expected: self.expected,
            seconds: self.seconds,
            hourly: self.hourly,
            bid: self.bid,
            rate: self.rate,
        }
    }
}

/// Bounds on what is bid for a spot machine.
pub(super) struct Bidding {
    /// How far above the lowest bid, in basis points.
    pub(super) headroom: u16,
    /// What such a machine costs on demand, in the vendor's currency, where that is known.
    pub(super) on_demand: Option<PricePerHour>,
    /// Most for an hour with disk, in the treasury's currency.
    pub(super) most: Option<PricePerHour>,
}

impl Bidding {
    /// What to bid for an hour without disk: the lowest bid with headroom, within the bounds; where the lowest bid is
    /// above them, that.
    fn bid(&self, lowest: PricePerHour, disk: u64, exchange: ExchangeRate) -> PricePerHour {
        let wanted = (u128::from(lowest.micros()) * (10_000 + u128::from(self.headroom))).div_ceil(10_000);
        let mut bid = u64::try_from(wanted).unwrap_or(u64::MAX);
        if let Some(on_demand) = self.on_demand {
            bid = bid.min(on_demand.micros());
        }
        if let Some(most) = self.most {
            bid = bid.min(exchange.highest(most).micros().saturating_sub(disk));
        }
        PricePerHour::from_micros(bid.max(lowest.micros()))
    }
}

/// # Errors
/// [`MoneyError::Overflow`] when it would take more seconds, or money, than a number holds.
pub(super) fn quote(
    offer: &Offer,
    job: &Job,
    rate: Rate,
    exchange: ExchangeRate,
    bidding: &Bidding,
) -> Result<Quote, MoneyError> {
    let disk = job.needs.disk_gib;
    let least = offer.terms.hourly_with(disk)?;
    let least_hourly = exchange.price(least)?;
    let mut terms = offer.terms.clone();
    let (mut hourly, mut bid) = (least_hourly, None);
    if offer.capacity_type == CapacityType::Spot {
        let of_disk = least.micros().saturating_sub(terms.hourly.micros());
        terms.hourly = bidding.bid(offer.terms.hourly, of_disk, exchange);
        bid = Some(terms.hourly);
        hourly = exchange.price(terms.hourly_with(disk)?)?;
    }
    let course = Course::of(offer, job, rate);
    let seconds = u64::try_from(course.seconds).map_err(|_| MoneyError::Overflow)?;
    let fetched = u64::try_from(course.fetched).map_err(|_| MoneyError::Overflow)?;
    let amount = terms.amount(disk, seconds)?.plus(terms.traffic(job.up_bytes, fetched)?)?;
    let expected = exchange.amount(amount)?;
    let overbid = bid.zip(bidding.on_demand).is_some_and(|(bid, price)| bid > price);
    Ok(Quote { least_hourly, hourly, bid, overbid, seconds, expected, rate })
}

/// How a job is expected to go: seconds and bytes fetched, interruptions included. What is beyond all numbers saturates
/// above [`u64::MAX`].
struct Course {
    seconds: u128,
    fetched: u128,
}

impl Course {
    fn of(offer: &Offer, job: &Job, rate: Rate) -> Self {
        let (setup, work) = (u128::from(job.setup_seconds), u128::from(rate.seconds(job.work.tokens)));
        let lost = u128::from(job.checkpoint_seconds).min(work) + setup;
        let fetched = u128::from(job.down_bytes);
        // Interruptions, by DAY.
        let interruptions = (setup + work) * u128::from(interruptions_a_day(offer));
        Self {
            seconds: setup + work + interruptions.saturating_mul(lost).div_ceil(DAY),
            fetched: fetched + interruptions.saturating_mul(fetched).div_ceil(DAY),
        }
    }
}
