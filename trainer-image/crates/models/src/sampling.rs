//! Choosing the next token, and noticing where an answer must stop.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingOptions {
    /// 0: always the likeliest token. Otherwise logits are divided by it.
    pub temperature: f32,
    /// Only the likeliest tokens that together reach this probability; 1: all.
    pub top_p: f32,
    /// Seeds the choice.
    pub seed: u64,
}

/// Chooses tokens for one answer; the same options and logits give the same tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplingOptions,
    random: ChaCha8Rng,
}

impl Sampler {
    /// A fresh choice.
    pub fn new(options: SamplingOptions) -> Self {
        Self { options, random: ChaCha8Rng::seed_from_u64(options.seed) }
    }

    /// The next token; none if the logits hold NaN or are empty.
    pub fn next(&mut self, logits: &[f32]) -> Option<u32> {
        let best = likeliest(logits)?;
        if self.options.temperature <= 0.0 {
            return u32::try_from(best).ok();
        }
        let highest = logits[best];
        let temperature = f64::from(self.options.temperature);
        let weigh = |logit: f32| (f64::from(logit - highest) / temperature).exp();
        let mut candidates: Vec<(usize, f64)> =
            logits.iter().enumerate().map(|(id, logit)| (id, weigh(*logit))).collect();
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut mass = total;
        if self.options.top_p < 1.0 {
            mass = keep_nucleus(&mut candidates, total, f64::from(self.options.top_p), best);
        }
        let mut point = self.random.random::<f64>() * mass;
        let chosen = candidates.iter().find(|(_, weight)| {
            point -= weight;
            point < 0.0
        });
        // Rounding can leave a last sliver of the interval to nobody: it goes to the likeliest.
        u32::try_from(chosen.map_or(best, |(id, _)| *id)).ok()
    }
}

/// The place of the largest value, the first among equals; none for NaN or nothing.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let mut best = (0, *logits.first()?);
    for (id, logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return None;
        }
        if *logit > best.1 {
            best = (id, *logit);
        }
    }
    Some(best.0)
}

/// Keeps the fewest likeliest candidates whose weight reaches `top_p` of `total`; returns their weight.
fn keep_nucleus(candidates: &mut Vec<(usize, f64)>, total: f64, top_p: f64, best: usize) -> f64 {
    let wanted = top_p * total;
    // All candidates below this together weigh less than what is cut off: sorting them is needless.
    let least = (total - wanted) / candidates.len() as f64;
    candidates.retain(|(id, weight)| *weight >= least || *id == best);
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut mass = 0.0;
    let mut kept = 0;
    for (_, weight) in candidates.iter() {
        mass += weight;
        kept += 1;
        if mass >= wanted {
            break;
        }
    }
    candidates.truncate(kept);
    mass
}

/// Finds stop strings in text that comes in pieces, wherever the pieces are cut: the one that is complete first ends
/// the text, and of those complete at once the longest. Text that may yet turn out to be the beginning of a stop
/// string is held back.
#[derive(Clone, Debug, Default)]
pub struct StopScanner {
    stops: Vec<String>,
    held: String,
}

impl StopScanner {
    /// Stops at the first of `stops`; empty ones are ignored.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// What can be shown after `piece`, and whether a stop string was reached; it is not shown itself.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let found =
            self.stops.iter().filter_map(|stop| self.held.find(stop).map(|at| (at + stop.len(), at))).min();
        if let Some((_, at)) = found {
            let shown = self.held[..at].to_owned();
            self.held.clear();
            return (shown, true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let tail = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, tail), false)
    }

    /// What is still held, when no more text comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that begin `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
    starts.filter(|at| text.ends_with(&stop[..*at])).max().unwrap_or(0)
}

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;
