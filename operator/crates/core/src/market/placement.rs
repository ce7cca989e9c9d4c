//! Which offer a job takes: of those that keep every bound, the one where the whole job is expected to cost least.
//!
//! # What a job is expected to cost
//! Work takes `tokens / rate` seconds, the setup comes before it. A machine is interrupted now and then
//! ([`interruptions_a_day`]); each interruption undoes the work since the last checkpoint (at worst a whole interval) and
//! costs one more setup and one more fetch. Interruptions of what is done again are not counted. The seconds that come
//! out are paid for as the vendor counts (an hour begun is an hour), machine and disk; traffic comes on top; the sum is
//! turned into the treasury's currency. All of it is whole numbers, rounded up.
//!
//! A spot machine is paid for at what is bid: the lowest bid with some headroom, never above what such a machine costs on
//! demand nor above the bound on the hourly price.

use jiff::Timestamp;

use super::job::{Bounds, Job};
use super::offer::Offer;
use super::throughput::{Rate, Throughput};
use crate::money::{Amount, PricePerHour};

mod constraint;
mod explain;
mod market;
mod quote;
mod refusal;
#[cfg(test)]
mod tests;

use market::Market;
pub use quote::interruptions_a_day;
pub use refusal::{Left, NoOffer};

/// An offer that will do, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where it stands among the offers.
    pub offer: usize,
    /// What the whole job is expected to cost, in the treasury's currency.
    pub expected: Amount,
    /// Seconds that the whole job is expected to take from the machine's start, setup and interruptions included.
    pub seconds: u64,
    /// What an hour of it costs with its disk, at the bid, in the treasury's currency.
    pub hourly: PricePerHour,
    /// Of a spot offer: what to bid for an hour without disk, in the vendor's currency, as its driver takes it.
    pub bid: Option<PricePerHour>,
    /// How fast it is expected to be, and why.
    pub rate: Rate,
}

/// All offers that keep every bound, the best first: the one whose expected cost is lowest; of equals the one that ends
/// first, then that of the provider of higher weight, then by provider, id and capacity type, then by place. Whoever fails
/// to get the first takes the next, or blocks it and chooses anew.
///
/// # Errors
/// [`NoOffer`] when there is none: the bound that stands in the way.
pub fn choose(
    offers: &[Offer],
    job: &Job,
    bounds: &Bounds,
    known: &Throughput,
    now: Timestamp,
) -> Result<Vec<Choice>, NoOffer> {
    let market = Market::new(offers, job, bounds, known, now);
    let offered = offers.iter().enumerate();
    let mut choices: Vec<Choice> =
        offered.filter_map(|(at, offer)| Some(market.acceptable(offer)?.choice(at))).collect();
    choices.sort_unstable_by(|one, other| {
        let cost = (one.expected, one.seconds).cmp(&(other.expected, other.seconds));
        cost.then_with(|| market.precedence(one.offer).cmp(&market.precedence(other.offer)))
    });
    if choices.is_empty() { Err(market.explain()) } else { Ok(choices) }
}
