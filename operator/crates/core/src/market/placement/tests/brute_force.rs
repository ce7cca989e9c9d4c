//! The definition, written down once more as plainly as can be and without the code under test: every offer is looked at
//! by itself, every sum is exact.

use num_bigint::BigInt;

use super::random::{Case, case};
use super::*;
use crate::market::requirement::Operator::{DoesNotExist, Exists, Gt, Gte, In, Lt, Lte, NotIn};

const MARKETS: u64 = 10_000;

/// What decides between offers, the smallest first: cost, seconds, weight from above, names, place.
type Place = (BigInt, BigInt, i64, String, String, u8, usize);

fn big(number: impl Into<BigInt>) -> BigInt {
    number.into()
}

/// Rounded up.
fn divided(number: BigInt, by: impl Into<BigInt>) -> BigInt {
    let by = by.into();
    (number + &by - 1) / by
}

fn label(key: &str, offer: &Offer, kind: &str) -> Option<String> {
    let text = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
    match key {
        "cooperator.dev/provider" => text(&offer.provider),
        "cooperator.dev/provider-type" => text(kind),
        "cooperator.dev/capacity-type" if offer.capacity_type == CapacityType::Spot => text("spot"),
        "cooperator.dev/capacity-type" => text("on-demand"),
        "cooperator.dev/shape" if offer.shape == Shape::Machine => text("machine"),
        "cooperator.dev/shape" => text("container"),
        "topology.kubernetes.io/region" => text(&offer.region),
        "cooperator.dev/gpu-model" => offer.gpus.as_ref().map(|gpus| gpus.model.clone()),
        "cooperator.dev/gpu-count" => offer.gpus.as_ref().map(|gpus| gpus.count.to_string()),
        "cooperator.dev/gpu-memory" => offer.gpus.as_ref().map(|gpus| gpus.memory_mib.to_string()),
        "cooperator.dev/cpu" => Some((offer.cpu_millis / 1000).to_string()),
        "cooperator.dev/memory" => Some(offer.memory_mib.to_string()),
        "cooperator.dev/disk" => Some(offer.disk_gib.to_string()),
        "cooperator.dev/reliability" => offer.reliability.map(|points| points.get().to_string()),
        "cooperator.dev/host" => offer.host.as_ref().map(|host| host.0.clone()),
        _ => panic!("{key}"),
    }
}

fn meets(requirement: &Requirement, label: Option<String>) -> bool {
    let Some(label) = label else { return matches!(requirement.operator, NotIn | DoesNotExist) };
    let compared = || {
        let wanted: u64 = requirement.values[0].parse().unwrap();
        label.parse::<u64>().unwrap().cmp(&wanted)
    };
    match requirement.operator {
        In => requirement.values.contains(&label),
        NotIn => !requirement.values.contains(&label),
        Exists => true,
        DoesNotExist => false,
        Gt => compared().is_gt(),
        Gte => compared().is_ge(),
        Lt => compared().is_lt(),
        Lte => compared().is_le(),
    }
}

impl Case {
    fn rows(&self) -> Vec<&Row> {
        let rows: Vec<&Row> =
            self.known.rows().iter().filter(|row| row.base_model == self.job.base_model).collect();
        let later = |at: usize| rows[at + 1..].iter().any(|row| row.machine == rows[at].machine);
        (0..rows.len()).filter(|at| !later(*at)).map(|at| rows[at]).collect()
    }

    /// Thousandths of a token a second.
    fn pace(&self, offer: &Offer) -> BigInt {
        let wanted = self.job.needs.gpus;
        let flops =
            if self.job.work.flops_per_token == 0 { 6_000_000_000 } else { self.job.work.flops_per_token };
        let by_gigaflops = |gigaflops: BigInt| -> BigInt { gigaflops * 1_000_000_000_u64 * 300 / flops };
        let gpus = offer.gpus.as_ref().filter(|_| wanted > 0);
        let count = gpus.map_or((offer.cpu_millis / 1000).max(1), |gpus| u64::from(gpus.count.min(wanted)));
        let written = |count: u64| match gpus {
            Some(gpus) => format!("{count}x {}", gpus.model),
            None => format!("{count} cpu"),
        };
        let rows = self.rows();
        let row = |count| rows.iter().find(|row| row.machine.to_string() == written(count));
        // The same number, else the next lower, else the lowest.
        for other in (1..=count).rev().chain(count + 1..=16) {
            if let Some(row) = row(other) {
                return (big(row.milli_tokens_per_second) * count / other).max(big(1));
            }
        }
        let Some(gpus) = gpus else { return by_gigaflops(big(20 * count)).max(big(1)) };
        let claim = offer.gigaflops.map_or(0, |all| all * count / u64::from(gpus.count));
        let measured = self.rows().into_iter().filter(|row| row.gigaflops.is_some());
        let measured: Vec<&Row> = measured.filter(|row| row.machine.to_string().contains('x')).collect();
        let claimed: u64 = measured.iter().map(|row| row.gigaflops.unwrap()).sum();
        let kept: u64 = measured.iter().map(|row| row.milli_tokens_per_second).sum();
        let pace = if claim > 0 && claimed > 0 {
            big(claim) * kept / claimed
        } else if claim > 0 && self.job.work.flops_per_token > 0 {
            by_gigaflops(big(claim))
        } else {
            by_gigaflops(big(250 * gpus.memory_mib * count / 1024))
        };
        pace.max(big(1))
    }

    /// An hour with disk, in the treasury's currency, in micro-units, at this price without disk.
    fn hour(&self, offer: &Offer, seller: &Seller, micros: u64) -> BigInt {
        let disk = divided(big(offer.terms.disk_month_micros) * self.job.needs.disk_gib, 720);
        divided((disk + micros) * seller.exchange.micros(), 1_000_000)
    }

    fn on_demand(&self, spot: &Offer) -> Option<u64> {
        let alike = |other: &&Offer| {
            let gpus = |offer: &Offer| offer.gpus.as_ref().map(|gpus| (gpus.model.clone(), gpus.count));
            let cpus = spot.gpus.is_some() || other.cpu_millis == spot.cpu_millis;
            let firm = other.capacity_type == CapacityType::OnDemand && other.provider == spot.provider;
            firm && other.shape == spot.shape && gpus(other) == gpus(spot) && cpus
        };
        let alike: Vec<&Offer> = self.offers.iter().filter(alike).collect();
        let here = alike.iter().filter(|other| spot.host.is_some() && other.host == spot.host);
        let price = |offer: &&Offer| offer.terms.hourly.micros();
        here.map(price).min().or_else(|| alike.iter().map(price).min())
    }

    fn most(&self, seller: &Seller) -> Option<BigInt> {
        let bounds = [self.bounds.most_per_hour, seller.most_per_hour];
        bounds.into_iter().flatten().map(|most| big(most.micros())).min()
    }

    /// What is paid for an hour without disk; `None` where a bid would be above the price on demand.
    fn paid(&self, offer: &Offer, seller: &Seller) -> Option<u64> {
        let lowest = offer.terms.hourly.micros();
        if offer.capacity_type == CapacityType::OnDemand {
            return Some(lowest);
        }
        let headroom = u64::from(self.bounds.bid_headroom.get());
        let wanted = lowest + (lowest * headroom).div_ceil(10_000);
        let firm = self.on_demand(offer);
        let allowed = |bid: u64| {
            let dear = self.most(seller).is_some_and(|most| self.hour(offer, seller, bid) > most);
            !dear && firm.is_none_or(|firm| bid <= firm)
        };
        if firm.is_some_and(|firm| lowest > firm) {
            return None;
        }
        // The highest that is allowed: what is allowed lies below what is not.
        let (mut low, mut high) = (lowest, wanted + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if allowed(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }

    fn fits(&self, offer: &Offer, seller: &Seller) -> bool {
        let needs = &self.job.needs;
        let gpus = needs.gpus == 0
            || offer.gpus.as_ref().is_some_and(|gpus| {
                gpus.count >= needs.gpus && gpus.memory_mib >= needs.gpu_memory_mib.unwrap_or(0)
            });
        let required = |required: &Requirement| meets(required, label(&required.key, offer, &seller.kind));
        let spot = match self.bounds.spot {
            Spot::Never => offer.capacity_type == CapacityType::OnDemand,
            Spot::Prefer => true,
            Spot::Only => offer.capacity_type == CapacityType::Spot,
        };
        seller.closed.is_none()
            && !offer.host.as_ref().is_some_and(|host| seller.blocked_hosts.contains(host))
            && !seller.blocked_offers.contains(&offer.id)
            && offer.cpu_millis >= needs.cpu_millis
            && offer.memory_mib >= needs.memory_mib
            && offer.disk_gib >= needs.disk_gib
            && self.bounds.shape.is_none_or(|shape| shape == offer.shape)
            && gpus
            && spot
            && self.bounds.requirements.written().all(required)
    }

    fn place(&self, at: usize) -> Option<Place> {
        let offer = &self.offers[at];
        let seller = self.bounds.sellers.get(&offer.provider)?;
        if !self.fits(offer, seller) {
            return None;
        }
        let paid = self.paid(offer, seller)?;
        let least = self.hour(offer, seller, offer.terms.hourly.micros());
        if self.most(seller).is_some_and(|most| least > most) {
            return None;
        }
        let work = divided(big(self.job.work.tokens) * 1000, self.pace(offer));
        let lost = work.clone().min(big(self.job.checkpoint_seconds)) + self.job.setup_seconds;
        let host = 10_000 - u64::from(offer.reliability.map_or(9900, |points| points.get()));
        let spot = offer.capacity_type == CapacityType::Spot;
        let interruptions = (&work + self.job.setup_seconds) * (host + if spot { 24_000 } else { 0 });
        let day = 864_000_000;
        let seconds = work + self.job.setup_seconds + divided(&interruptions * lost, day);
        let fetched = self.job.down_bytes + divided(&interruptions * self.job.down_bytes, day);
        let unit = match offer.terms.granularity {
            Granularity::Second => 1,
            Granularity::Minute => 60,
            Granularity::Hour => 3600,
        };
        let counted = divided(seconds.clone(), unit) * unit;
        let machine = divided(big(paid) * 1_000_000 * &counted, 3600);
        let disk = big(offer.terms.disk_month_micros) * self.job.needs.disk_gib * counted * 1_000_000;
        let traffic = big(offer.terms.traffic.up_micros) * self.job.up_bytes
            + big(offer.terms.traffic.down_micros) * fetched;
        let cost = machine + divided(disk, 720 * 3600) + divided(traffic, 1000);
        let cost = divided(cost * seller.exchange.micros(), 1_000_000);
        let nanoseconds = |until: Timestamp| big(until.as_nanosecond() - self.now.as_nanosecond());
        let too_long = offer.until.is_some_and(|until| &seconds * 1_000_000_000 > nanoseconds(until))
            || self.bounds.deadline_seconds.is_some_and(|deadline| seconds > big(deadline));
        if too_long || self.bounds.budget_left.is_some_and(|left| cost > big(left.pico())) {
            return None;
        }
        let weight = -i64::from(seller.weight);
        Some((cost, seconds, weight, offer.provider.clone(), offer.id.0.clone(), u8::from(spot), at))
    }
}

#[test]
fn the_ranking_is_that_of_brute_force_on_ten_thousand_markets() {
    let (mut found, mut ties, mut spots) = (0, 0, 0);
    for seed in 0..MARKETS {
        let case = case(seed);
        let mut places: Vec<Place> = (0..case.offers.len()).filter_map(|at| case.place(at)).collect();
        places.sort();
        match choose(&case.offers, &case.job, &case.bounds, &case.known, case.now) {
            Ok(choices) => {
                let chosen =
                    |choice: &Choice| (choice.offer, big(choice.expected.pico()), big(choice.seconds));
                let chosen: Vec<_> = choices.iter().map(chosen).collect();
                let places: Vec<_> = places.into_iter().map(|place| (place.6, place.0, place.1)).collect();
                assert_eq!(chosen, places, "seed {seed}");
                for choice in &choices {
                    let offer = &case.offers[choice.offer];
                    let seller = &case.bounds.sellers[&offer.provider];
                    let paid = case.paid(offer, seller).unwrap();
                    let spot = offer.capacity_type == CapacityType::Spot;
                    let bid = choice.bid.map(PricePerHour::micros);
                    assert_eq!(bid, spot.then_some(paid), "seed {seed}");
                    assert_eq!(big(choice.hourly.micros()), case.hour(offer, seller, paid), "seed {seed}");
                    spots += u64::from(spot);
                }
                found += 1;
                ties += u64::from(choices.len() > 1 && choices[0].expected == choices[1].expected);
            }
            Err(none) => {
                assert_eq!(places, [], "seed {seed}: {none}");
                let text = none.to_string();
                assert!(none != NoOffer::Empty && !text.contains('\n') && text.len() < 400, "{text}");
            }
        }
    }
    // The markets are worth the trial: with and without an answer, with ties and with spot.
    assert!(found > MARKETS / 4 && found < MARKETS * 3 / 4, "{found} have an answer");
    assert!(ties > 200 && spots > 2000, "{ties} ties, {spots} spot offers");
}
