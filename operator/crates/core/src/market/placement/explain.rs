//! Which constraint leaves no offer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::constraint::{Broken, Constraint};
use super::market::Market;
use super::quote::Quote;
use super::refusal::{Left, NoOffer};
use crate::market::job::Spot;
use crate::market::offer::{Gpus, Offer, Shape};

/// An offer, what it breaks, and what the job would take on it.
type Judged<'a> = (&'a Offer, Broken, Option<Quote>);

impl Market<'_> {
    /// Why no offer will do, where none does.
    pub(super) fn explain(&self) -> NoOffer {
        if self.offers.is_empty() {
            return NoOffer::Empty;
        }
        let judge = |offer| {
            let (broken, quote) = self.judge(offer);
            (offer, broken, quote)
        };
        let judged: Vec<Judged<'_>> = self.offers.iter().map(judge).collect();
        let all: Vec<&Judged<'_>> = judged.iter().collect();
        self.decisive(&all).unwrap_or(NoOffer::Empty)
    }

    fn decisive(&self, all: &[&Judged<'_>]) -> Option<NoOffer> {
        let broken = all.iter().fold(Broken::default(), |broken, judged| broken.and(judged.1));
        let constraints: Vec<Constraint> = Constraint::all().filter(|each| broken.has(*each)).collect();
        // Without which one would most do? Of equals the first, so the last in reverse.
        let alone = |constraint| all.iter().filter(|judged| judged.1.only(constraint)).count();
        let most = constraints.iter().rev().map(|each| (alone(*each), *each)).max_by_key(|(count, _)| *count);
        if let Some((1.., constraint)) = most {
            let left: Vec<_> = all.iter().copied().filter(|judged| judged.1.only(constraint)).collect();
            return self.because(constraint, &left);
        }
        // Does one exclude all by itself?
        let excludes = |constraint: &&Constraint| all.iter().all(|judged| judged.1.has(**constraint));
        if let Some(constraint) = constraints.iter().find(excludes) {
            return match constraint {
                Constraint::Until | Constraint::Deadline | Constraint::Price | Constraint::Budget => {
                    self.because(*constraint, &best(all, *constraint))
                }
                _ => self.because(*constraint, all),
            };
        }
        // Which one excludes the last?
        let mut left = all.to_vec();
        for constraint in constraints {
            let kept: Vec<_> = left.iter().copied().filter(|judged| !judged.1.has(constraint)).collect();
            if kept.is_empty() {
                return self.because(constraint, &left);
            }
            left = kept;
        }
        None
    }

    /// Says that these offers break this constraint. `None` where there are none.
    fn because(&self, constraint: Constraint, offers: &[&Judged<'_>]) -> Option<NoOffer> {
        let left = Left { offers: offers.len(), all: self.offers.len() };
        let bounds = self.bounds;
        let quotes = || offers.iter().filter_map(|judged| Some((judged.0, judged.2.as_ref()?)));
        match constraint {
            Constraint::Unlisted => Some(NoOffer::Unlisted { left }),
            Constraint::Closed => Some(NoOffer::Closed { left, why: self.closed(offers) }),
            Constraint::Shape => bounds.shape.map(|shape| NoOffer::Shape {
                left,
                wanted: if shape == Shape::Machine { "machine" } else { "container" },
            }),
            Constraint::CapacityType => Some(NoOffer::CapacityType {
                left,
                wanted: if bounds.spot == Spot::Only { "spot" } else { "on demand" },
            }),
            Constraint::Cpu
            | Constraint::Memory
            | Constraint::Disk
            | Constraint::Gpus
            | Constraint::GpuMemory => self.needs(constraint, left, offers),
            Constraint::Requirement(at) => self.requirement(at, left, offers),
            Constraint::Blocked => Some(NoOffer::Blocked { left }),
            Constraint::Range => Some(NoOffer::Range { left }),
            Constraint::Overbid => Some(NoOffer::Overbid { left }),
            Constraint::Until => {
                let ends = quotes().filter_map(|(offer, quote)| Some((offer.until?, quote.seconds)));
                let (until, seconds): (Timestamp, u64) = ends.max_by_key(|(until, _)| *until)?;
                Some(NoOffer::Until { left, until, seconds })
            }
            Constraint::Deadline => {
                let fastest = quotes().map(|(_, quote)| quote.seconds).min()?;
                Some(NoOffer::Deadline { left, deadline: bounds.deadline_seconds?, fastest })
            }
            Constraint::Price => {
                let (offer, quote) = quotes().min_by_key(|(_, quote)| quote.least_hourly)?;
                let most = self.most(self.seller(offer)?)?;
                Some(NoOffer::Price { left, cheapest: quote.least_hourly, most })
            }
            Constraint::Budget => {
                let cheapest = quotes().map(|(_, quote)| quote.expected).min()?;
                Some(NoOffer::Budget { left, cheapest, budget: bounds.budget_left? })
            }
        }
    }

    fn needs(&self, constraint: Constraint, left: Left, offers: &[&Judged<'_>]) -> Option<NoOffer> {
        let needs = &self.job.needs;
        let of_gpus = |offer: &Offer, of: fn(&Gpus) -> u64| offer.gpus.as_ref().map_or(0, of);
        let most = |has: &dyn Fn(&Offer) -> u64| offers.iter().map(|judged| has(judged.0)).max();
        let (wanted, unit, most) = match constraint {
            Constraint::Cpu => (needs.cpu_millis, "thousandths of a CPU", most(&|offer| offer.cpu_millis)),
            Constraint::Memory => (needs.memory_mib, "MiB of memory", most(&|offer| offer.memory_mib)),
            Constraint::Disk => (needs.disk_gib, "GiB of disk", most(&|offer| offer.disk_gib)),
            Constraint::Gpus => {
                let count = most(&|offer| of_gpus(offer, |gpus| u64::from(gpus.count)));
                (u64::from(needs.gpus), "GPUs", count)
            }
            _ => {
                let memory = most(&|offer| of_gpus(offer, |gpus| gpus.memory_mib));
                (needs.gpu_memory_mib.unwrap_or(0), "MiB of memory a GPU", memory)
            }
        };
        Some(NoOffer::Needs { left, wanted, unit, most: most? })
    }

    fn requirement(&self, at: usize, left: Left, offers: &[&Judged<'_>]) -> Option<NoOffer> {
        let kind = |offer| self.seller(offer).map_or("", |seller| seller.kind.as_str());
        let offers = offers.iter().map(|judged| (judged.0, kind(judged.0)));
        let (requirement, seen) = self.bounds.requirements.seen(at, offers)?;
        Some(NoOffer::Requirement { left, requirement: requirement.to_string(), seen })
    }

    /// Why each provider of these offers is closed.
    fn closed(&self, offers: &[&Judged<'_>]) -> String {
        let mut why = BTreeMap::new();
        for (offer, ..) in offers {
            if let Some(said) = self.seller(offer).and_then(|seller| seller.closed.as_deref()) {
                why.insert(offer.provider.as_str(), said);
            }
        }
        let lines: Vec<String> = why.into_iter().map(|(name, why)| format!("`{name}` is {why}")).collect();
        lines.join(", ")
    }
}

/// Of offers that all break `constraint` those that come nearest to doing: the other constraints, one after the other,
/// take away what breaks them, unless that is all that is left.
fn best<'j, 'a>(all: &[&'j Judged<'a>], constraint: Constraint) -> Vec<&'j Judged<'a>> {
    Constraint::all().filter(|other| *other != constraint).fold(all.to_vec(), |left, other| {
        let kept: Vec<_> = left.iter().copied().filter(|judged| !judged.1.has(other)).collect();
        if kept.is_empty() { left } else { kept }
    })
}
