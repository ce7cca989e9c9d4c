//! The offers beside the job and its bounds.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use super::constraint::{Broken, Constraint};
use super::quote::{Bidding, Quote, quote};
use crate::market::job::{Bounds, Job, Seller, Spot};
use crate::market::offer::{CapacityType, Offer, OfferId, Shape};
use crate::market::throughput::{Estimator, Throughput};
use crate::money::{MoneyError, PricePerHour};

/// What must be alike for a price on demand to say something about a bid. Without a host: on any.
#[derive(PartialEq, Eq)]
struct Likeness<'a> {
    provider: &'a str,
    shape: Shape,
    /// Model and number.
    gpus: Option<(&'a str, u32)>,
    /// Of a machine without GPUs.
    cpu_millis: u64,
    host: Option<&'a str>,
}

impl<'a> Likeness<'a> {
    fn of(offer: &'a Offer) -> Self {
        let gpus = offer.gpus.as_ref().map(|gpus| (gpus.model.as_str(), gpus.count));
        Self {
            provider: &offer.provider,
            shape: offer.shape,
            gpus,
            cpu_millis: if gpus.is_some() { 0 } else { offer.cpu_millis },
            host: offer.host.as_ref().map(|host| host.0.as_str()),
        }
    }

    const fn anywhere(self) -> Self {
        Self { host: None, ..self }
    }
}

impl Hash for Likeness<'_> {
    /// Of what tells most apart alone: thousands are hashed in a decision.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.host, self.gpus) {
            (Some(host), _) => host.hash(state),
            (None, Some((model, count))) => (model, count).hash(state),
            (None, None) => self.cpu_millis.hash(state),
        }
    }
}

/// Weight, provider, id, capacity type, place.
type Precedence<'a> = (Reverse<u32>, &'a str, &'a OfferId, CapacityType, usize);

/// All that a decision looks at.
pub(super) struct Market<'a> {
    pub(super) offers: &'a [Offer],
    pub(super) job: &'a Job,
    pub(super) bounds: &'a Bounds,
    /// How long from now an offer can be kept is told by its end.
    now: Timestamp,
    rates: Estimator<'a>,
    /// The lowest price on demand of what is alike; empty where nothing is bid.
    on_demand: HashMap<Likeness<'a>, PricePerHour>,
}

impl<'a> Market<'a> {
    pub(super) fn new(
        offers: &'a [Offer],
        job: &'a Job,
        bounds: &'a Bounds,
        known: &'a Throughput,
        now: Timestamp,
    ) -> Self {
        let mut on_demand = HashMap::new();
        if bounds.spot != Spot::Never && offers.iter().any(|offer| offer.capacity_type == CapacityType::Spot)
        {
            for offer in offers.iter().filter(|offer| offer.capacity_type == CapacityType::OnDemand) {
                let price = offer.terms.hourly;
                let mut keep = |likeness| {
                    let lowest = on_demand.entry(likeness).or_insert(price);
                    *lowest = price.min(*lowest);
                };
                if offer.host.is_some() {
                    keep(Likeness::of(offer));
                }
                keep(Likeness::of(offer).anywhere());
            }
        }
        Self { offers, job, bounds, now, rates: Estimator::new(known, job), on_demand }
    }

    /// What the job would take on this offer, if that keeps every bound.
    pub(super) fn acceptable(&self, offer: &Offer) -> Option<Quote> {
        let seller = self.seller(offer)?;
        if !self.broken_by_nature(offer, Some(seller)).none() {
            return None;
        }
        let quote = self.quote(offer, seller).ok()?;
        self.broken_by_quote(offer, seller, &quote).none().then_some(quote)
    }

    /// Every constraint that this offer breaks, and what the job would take on it, if that can be said.
    pub(super) fn judge(&self, offer: &Offer) -> (Broken, Option<Quote>) {
        let seller = self.seller(offer);
        let mut broken = self.broken_by_nature(offer, seller);
        let Some(seller) = seller else { return (broken, None) };
        match self.quote(offer, seller) {
            Ok(quote) => (broken.and(self.broken_by_quote(offer, seller, &quote)), Some(quote)),
            Err(_) => {
                broken.add(Constraint::Range, true);
                (broken, None)
            }
        }
    }

    pub(super) fn seller(&self, offer: &Offer) -> Option<&'a Seller> {
        self.bounds.sellers.get(&offer.provider)
    }

    /// Which of two offers goes first where the job costs and takes the same: the lower.
    pub(super) fn precedence(&self, at: usize) -> Option<Precedence<'a>> {
        let offer = self.offers.get(at)?;
        let weight = Reverse(self.seller(offer)?.weight);
        Some((weight, &offer.provider, &offer.id, offer.capacity_type, at))
    }

    /// Most that an hour with disk may cost there.
    pub(super) fn most(&self, seller: &Seller) -> Option<PricePerHour> {
        [self.bounds.most_per_hour, seller.most_per_hour].into_iter().flatten().min()
    }

    /// The price on demand of the same machine, else of one like it.
    fn price_on_demand(&self, offer: &Offer) -> Option<PricePerHour> {
        let same = self.on_demand.get(&Likeness::of(offer));
        same.or_else(|| self.on_demand.get(&Likeness::of(offer).anywhere())).copied()
    }

    fn quote(&self, offer: &Offer, seller: &Seller) -> Result<Quote, MoneyError> {
        let bidding = Bidding {
            headroom: self.bounds.bid_headroom.get(),
            on_demand: match offer.capacity_type {
                CapacityType::Spot => self.price_on_demand(offer),
                CapacityType::OnDemand => None,
            },
            most: self.most(seller),
        };
        quote(offer, self.job, self.rates.rate(offer), seller.exchange, &bidding)
    }

    /// What is broken whatever it costs.
    fn broken_by_nature(&self, offer: &Offer, seller: Option<&Seller>) -> Broken {
        let needs = &self.job.needs;
        let mut broken = Broken::default();
        broken.add(Constraint::Unlisted, seller.is_none());
        broken.add(Constraint::Closed, seller.is_some_and(|seller| seller.closed.is_some()));
        broken.add(Constraint::Shape, self.bounds.shape.is_some_and(|shape| shape != offer.shape));
        broken.add(
            Constraint::CapacityType,
            match self.bounds.spot {
                Spot::Never => offer.capacity_type == CapacityType::Spot,
                Spot::Prefer => false,
                Spot::Only => offer.capacity_type == CapacityType::OnDemand,
            },
        );
        broken.add(Constraint::Cpu, offer.cpu_millis < needs.cpu_millis);
        broken.add(Constraint::Memory, offer.memory_mib < needs.memory_mib);
        broken.add(Constraint::Disk, offer.disk_gib < needs.disk_gib);
        if needs.gpus > 0 {
            let (count, memory) = offer.gpus.as_ref().map_or((0, 0), |gpus| (gpus.count, gpus.memory_mib));
            broken.add(Constraint::Gpus, count < needs.gpus);
            broken.add(Constraint::GpuMemory, memory < needs.gpu_memory_mib.unwrap_or(0));
        }
        let kind = seller.map_or("", |seller| seller.kind.as_str());
        broken.add_requirements(self.bounds.requirements.refused(offer, kind));
        let blocked = |seller: &Seller| {
            let host = offer.host.as_ref().is_some_and(|host| seller.blocked_hosts.contains(host));
            host || seller.blocked_offers.contains(&offer.id)
        };
        broken.add(Constraint::Blocked, seller.is_some_and(blocked));
        broken
    }

    /// What is broken by what it costs and takes.
    fn broken_by_quote(&self, offer: &Offer, seller: &Seller, quote: &Quote) -> Broken {
        let mut broken = Broken::default();
        broken.add(Constraint::Overbid, quote.overbid);
        broken.add(Constraint::Until, offer.until.is_some_and(|until| !self.ends_by(until, quote.seconds)));
        let late = |deadline| quote.seconds > deadline;
        broken.add(Constraint::Deadline, self.bounds.deadline_seconds.is_some_and(late));
        broken.add(Constraint::Price, self.most(seller).is_some_and(|most| quote.least_hourly > most));
        broken.add(Constraint::Budget, self.bounds.budget_left.is_some_and(|left| quote.expected > left));
        broken
    }

    /// Whether what takes so many seconds from now has ended by then.
    fn ends_by(&self, until: Timestamp, seconds: u64) -> bool {
        let takes = i64::try_from(seconds).map(SignedDuration::from_secs);
        takes.is_ok_and(|takes| takes <= until.duration_since(self.now))
    }
}
