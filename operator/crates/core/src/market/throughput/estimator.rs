//! Rates of one job on many offers: what was learnt about its base model is sorted once.

use super::class::cpus;
use super::{Basis, MachineClass, Rate, Throughput};
use crate::market::job::Job;
use crate::market::offer::Offer;

/// Part of the claimed operations that training is assumed to reach, in basis points.
const UTILISATION: u128 = 3000;
/// Assumed 10^9 operations a second of a GPU for each GiB of its memory. A V100 claims four times that, an RTX 4090
/// thirteen times.
const GIGAFLOPS_A_GIB: u128 = 250;
/// Assumed 10^9 operations a second of a CPU: a fraction of what one with wide vectors does.
const GIGAFLOPS_A_CPU: u128 = 20;
/// Assumed operations a token, where the job does not tell: a forward and a backward pass of 10^9 parameters.
const FLOPS_A_TOKEN: u64 = 6_000_000_000;

/// A class's measure: how many GPUs or CPUs did how much together, and how much was claimed for them (0: nothing).
#[derive(Clone, Copy)]
struct Measure {
    count: u64,
    pace: u64,
    claim: u64,
}

/// What is known for one job.
pub(in crate::market) struct Estimator<'a> {
    /// GPUs the job asks for.
    wanted: u32,
    flops_per_token: u64,
    /// By model, then by count.
    gpus: Vec<(&'a str, Measure)>,
    /// By count.
    cpus: Vec<Measure>,
    /// Of all GPUs with a claim: what was measured, and what was claimed.
    measured: u128,
    claimed: u128,
}

impl<'a> Estimator<'a> {
    pub(in crate::market) fn new(known: &'a Throughput, job: &Job) -> Self {
        let mut all = Self {
            wanted: job.needs.gpus,
            flops_per_token: job.work.flops_per_token,
            gpus: Vec::new(),
            cpus: Vec::new(),
            measured: 0,
            claimed: 0,
        };
        // The last row of a class counts: sorting is stable, so going backwards it is the first of its equals.
        for row in known.rows().iter().rev().filter(|row| row.base_model == job.base_model) {
            let (pace, claim) = (row.milli_tokens_per_second.max(1), row.gigaflops.unwrap_or(0));
            match &row.machine {
                MachineClass::Gpus { model, count } if *count > 0 => {
                    all.gpus.push((model, Measure { count: u64::from(*count), pace, claim }));
                }
                MachineClass::Cpus(count) if *count > 0 => {
                    all.cpus.push(Measure { count: *count, pace, claim });
                }
                _ => {}
            }
        }
        all.gpus.sort_by_key(|(model, measure)| (*model, measure.count));
        all.gpus.dedup_by_key(|(model, measure)| (*model, measure.count));
        all.cpus.sort_by_key(|measure| measure.count);
        all.cpus.dedup_by_key(|measure| measure.count);
        for (_, measure) in all.gpus.iter().filter(|(_, measure)| measure.claim > 0) {
            all.measured += u128::from(measure.pace);
            all.claimed += u128::from(measure.claim);
        }
        all
    }

    /// How fast the job would go on this offer.
    pub(in crate::market) fn rate(&self, offer: &Offer) -> Rate {
        match offer.gpus.as_ref().filter(|has| self.wanted > 0 && has.count > 0) {
            Some(has) => {
                let count = u64::from(has.count.min(self.wanted));
                let guess = GIGAFLOPS_A_GIB * u128::from(has.memory_mib) * u128::from(count) / 1024;
                self.of_model(&has.model, count)
                    .or_else(|| self.of_claim(MachineClass::claim(offer, self.wanted)?))
                    .unwrap_or_else(|| self.worked_out(guess, Basis::Unknown))
            }
            None => {
                let count = cpus(offer);
                let guess = GIGAFLOPS_A_CPU * u128::from(count);
                near(&self.cpus, count, |measure| *measure)
                    .unwrap_or_else(|| self.worked_out(guess, Basis::Unknown))
            }
        }
    }

    /// By what GPUs of the model did.
    fn of_model(&self, model: &str, count: u64) -> Option<Rate> {
        let from = self.gpus.partition_point(|(other, _)| *other < model);
        let same = self.gpus.get(from..)?;
        let same = same.get(..same.partition_point(|(other, _)| *other == model))?;
        near(same, count, |(_, measure)| *measure)
    }

    /// By a claim: as much of it as others kept of theirs, else as much as is assumed.
    fn of_claim(&self, gigaflops: u64) -> Option<Rate> {
        let claim = u128::from(gigaflops);
        match claim.saturating_mul(self.measured).checked_div(self.claimed) {
            Some(kept) => Some(rate(kept, Basis::Claimed)),
            None => (self.flops_per_token > 0).then(|| self.worked_out(claim, Basis::Claimed)),
        }
    }

    fn worked_out(&self, gigaflops: u128, basis: Basis) -> Rate {
        let flops = if self.flops_per_token == 0 { FLOPS_A_TOKEN } else { self.flops_per_token };
        // 10^9 operations, a thousand thousandths, ten thousand basis points.
        let factor = UTILISATION * 1_000_000_000 * 1000 / 10_000;
        rate(gigaflops.saturating_mul(factor) / u128::from(flops), basis)
    }
}

fn rate(milli_tokens: u128, basis: Basis) -> Rate {
    Rate { milli_tokens_per_second: u64::try_from(milli_tokens.max(1)).unwrap_or(u64::MAX), basis }
}

/// In proportion to the measure of the same number, else the next lower, else the lowest. Measures are sorted.
fn near<T>(measures: &[T], count: u64, of: impl Fn(&T) -> Measure) -> Option<Rate> {
    let above = measures.partition_point(|each| of(each).count <= count);
    let nearest = of(measures.get(above.saturating_sub(1))?);
    if nearest.count == count {
        return Some(rate(u128::from(nearest.pace), Basis::Measured));
    }
    Some(rate(u128::from(nearest.pace) * u128::from(count) / u128::from(nearest.count), Basis::Claimed))
}
