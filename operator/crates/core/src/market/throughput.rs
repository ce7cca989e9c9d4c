//! How fast a machine trains: as measured, else worked out from what is claimed, else guessed.

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::offer::Offer;

mod class;
mod estimator;
#[cfg(test)]
mod tests;

pub use class::{ClassError, MachineClass};
pub(super) use estimator::Estimator;

/// Most rows that are remembered; those learnt from longest ago go first.
pub const MOST_ROWS: usize = 256;
/// Runs that the mean weighs at most: a new one is at least an eighth of it.
const MOST_WEIGHT: u32 = 7;

/// How fast a class of machines trained a base model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Digest of the base model.
    pub base_model: String,
    /// The class.
    pub machine: MachineClass,
    /// Thousandths of a token a second, 1 or more: a mean in which newer runs count more.
    pub milli_tokens_per_second: u64,
    /// Runs it was learnt from.
    pub runs: u32,
    /// What was claimed for the GPUs of such a machine, in 10^9 operations a second; measures claims by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gigaflops: Option<u64>,
}

/// A run, or a part of one, that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Digest of the base model.
    pub base_model: String,
    /// What it ran on: [`MachineClass::of`].
    pub machine: MachineClass,
    /// What was claimed for it: [`MachineClass::claim`].
    pub gigaflops: Option<u64>,
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds of training, without the setup.
    pub seconds: u64,
}

/// What a rate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// This base model was trained on machines of this class.
    Measured,
    /// It is in proportion to what is claimed: that so many operations a second are done, or that n GPUs or CPUs do n
    /// times what one does.
    Claimed,
    /// A low guess by the memory of the GPUs or the number of CPUs.
    Unknown,
}

/// How fast a job would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Thousandths of a token a second, 1 or more.
    pub milli_tokens_per_second: u64,
    /// What that rests on.
    pub basis: Basis,
}

impl Rate {
    /// Seconds that so many tokens take, rounded up; [`u64::MAX`] where they are more.
    pub fn seconds(self, tokens: u64) -> u64 {
        let seconds = (u128::from(tokens) * 1000).div_ceil(u128::from(self.milli_tokens_per_second.max(1)));
        u64::try_from(seconds).unwrap_or(u64::MAX)
    }
}

/// What was learnt from all runs. Serialises as its rows, which a status keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Throughput(Vec<Row>);

impl Throughput {
    /// From rows that were kept, the one learnt from last at the end. Of rows of one class and base model the last counts.
    pub fn from_rows(rows: Vec<Row>) -> Self {
        Self(rows)
    }

    /// The rows, the one learnt from last at the end.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// Learns from a run. One of no tokens or no time teaches nothing.
    pub fn learn(&mut self, run: Run) {
        let Run { base_model, machine, gigaflops, tokens, seconds } = run;
        if tokens == 0 || seconds == 0 {
            return;
        }
        let sample = u128::from(tokens) * 1000 / u128::from(seconds);
        let same = |row: &Row| row.base_model == base_model && row.machine == machine;
        let known = self.0.iter().rposition(same).map(|at| self.0.remove(at));
        let (before, runs) = known.as_ref().map_or((0, 0), |row| (row.milli_tokens_per_second, row.runs));
        let weight = u128::from(runs.min(MOST_WEIGHT));
        let mean = (u128::from(before) * weight + sample + weight.div_ceil(2)) / (weight + 1);
        self.0.push(Row {
            milli_tokens_per_second: u64::try_from(mean.max(1)).unwrap_or(u64::MAX),
            runs: runs.saturating_add(1),
            gigaflops: gigaflops.or_else(|| known.and_then(|row| row.gigaflops)),
            base_model,
            machine,
        });
        let over = self.0.len().saturating_sub(MOST_ROWS);
        self.0.drain(..over);
    }

    /// How fast this job would go on this offer.
    pub fn rate(&self, offer: &Offer, job: &Job) -> Rate {
        Estimator::new(self, job).rate(offer)
    }
}
