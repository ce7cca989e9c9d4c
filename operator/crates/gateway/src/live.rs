//! Whether what the gateway decides by is fresh.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the cluster was last heard of. After `bound` without, a gateway must not serve on: a key may have been
/// revoked meanwhile.
#[derive(Debug)]
pub struct Live {
    start: Instant,
    /// Milliseconds from `start`, plus one; 0: never.
    heard: AtomicU64,
    bound: Duration,
}

impl Live {
    /// Not heard of yet.
    pub fn new(bound: Duration) -> Self {
        Self { start: Instant::now(), heard: AtomicU64::new(0), bound }
    }

    /// The cluster answered at this instant.
    pub fn heard(&self, at: Instant) {
        let millis =
            at.saturating_duration_since(self.start).as_millis().min(u128::from(u64::MAX - 1)) as u64;
        self.heard.fetch_max(millis + 1, Ordering::Relaxed);
    }

    /// Whether it was heard of within the bound before `now`.
    pub fn is_live(&self, now: Instant) -> bool {
        let Some(heard) = self.heard.load(Ordering::Relaxed).checked_sub(1) else { return false };
        now.saturating_duration_since(self.start + Duration::from_millis(heard)) <= self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_has_never_heard_or_not_for_long_is_not_live() {
        let live = Live::new(Duration::from_secs(30));
        let now = Instant::now();
        assert!(!live.is_live(now));
        live.heard(now);
        assert!(live.is_live(now + Duration::from_secs(29)));
        assert!(!live.is_live(now + Duration::from_secs(31)));
    }
}
