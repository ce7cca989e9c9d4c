//! Times and durations of the two kinds that are in use.

use std::time::Duration;

use cooperator_core::time::{SignedDuration, Timestamp, later};

/// `from` + `by`.
pub(crate) fn after(from: Timestamp, by: Duration) -> Timestamp {
    later(from, SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
}

/// How long it is from `from` to `to`; zero where `to` is earlier.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// Whole seconds from `from` to `to`, each second begun counted.
pub fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    let between = between(from, to);
    between.as_secs() + u64::from(between.subsec_nanos() != 0)
}
