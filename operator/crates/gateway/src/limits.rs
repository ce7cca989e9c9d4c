//! Bounds a minute: token buckets that hold a minute's worth and refill evenly. Pure: time comes from the caller.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ApiError;

#[cfg(test)]
mod tests;

/// What one bound a minute counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Prompt and generated tokens.
    Tokens,
}

impl Unit {
    const fn plural(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// One bound that a request comes under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Who shares it: a key, or a key at a Deployment.
    pub scope: String,
    /// What is counted.
    pub unit: Unit,
    /// How many a minute, over all replicas.
    pub per_minute: u32,
    /// How many of them this request may take.
    pub cost: u64,
}

/// What was taken from each bound, to give back what was not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken(Vec<(String, Unit, u64)>);

/// The buckets of all scopes.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<HashMap<(String, Unit), Bucket>>);

/// Thousandths of what is counted, so that slow bounds refill evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    capacity: u64,
    at: Instant,
}

const MILLI: u64 = 1000;
const MINUTE: u64 = 60_000;
/// A bucket is full again a minute after its last use and is then forgotten.
const FORGET: Duration = Duration::from_secs(120);
/// Buckets before the forgotten are looked for.
const SWEEP: usize = 10_000;

impl Limiter {
    /// Takes from every bound or from none. Each of `replicas` gateways gives out an equal part of a bound, rounded
    /// up. A cost above a whole bucket takes a full one: what a bound allows at all is not refused for ever.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] with the bound that is used up and the seconds until it is not.
    pub fn take(&self, bounds: &[Bound], replicas: u32, now: Instant) -> Result<Taken, ApiError> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > SWEEP {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < FORGET);
        }
        let mut taken = Taken::default();
        for bound in bounds {
            let part = u64::from(bound.per_minute.div_ceil(replicas.max(1))).max(1);
            let bucket = buckets.entry((bound.scope.clone(), bound.unit)).or_insert(Bucket {
                level: part * MILLI,
                capacity: part * MILLI,
                at: now,
            });
            bucket.refill(part * MILLI, now);
            let cost = (bound.cost * MILLI).min(bucket.capacity);
            if bucket.level < cost {
                let wait = (cost - bucket.level).saturating_mul(MINUTE).div_ceil(bucket.capacity);
                let retry_after = wait.div_ceil(1000).max(1);
                give_back(&mut buckets, &taken);
                let (what, bound) = (bound.unit.plural(), bound.per_minute);
                return Err(ApiError::RateLimited { what, bound, retry_after });
            }
            bucket.level -= cost;
            taken.0.push((bound.scope.clone(), bound.unit, cost));
        }
        Ok(taken)
    }

    /// Gives back the tokens that a finished request did not use.
    pub fn settle(&self, taken: Taken, used_tokens: u64) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = taken
            .0
            .into_iter()
            .filter(|(_, unit, _)| *unit == Unit::Tokens)
            .map(|(scope, unit, cost)| (scope, unit, cost.saturating_sub(used_tokens.saturating_mul(MILLI))))
            .collect();
        give_back(&mut buckets, &Taken(unused));
    }
}

fn give_back(buckets: &mut HashMap<(String, Unit), Bucket>, taken: &Taken) {
    for (scope, unit, cost) in &taken.0 {
        if let Some(bucket) = buckets.get_mut(&(scope.clone(), *unit)) {
            bucket.level = bucket.level.saturating_add(*cost).min(bucket.capacity);
        }
    }
}

impl Bucket {
    fn refill(&mut self, capacity: u64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_millis().min(u128::from(MINUTE)) as u64;
        let gained = capacity.saturating_mul(elapsed) / MINUTE;
        if self.capacity != capacity || gained > 0 {
            self.level = self.level.saturating_add(gained).min(capacity);
            self.capacity = capacity;
            self.at = now;
        }
    }
}
