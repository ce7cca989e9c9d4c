//! Exponential backoff, pure: the caller counts the failures, brings the randomness and does the waiting.

use std::time::Duration;

/// Delays that double from `first` up to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Begins with `first` and never waits longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The delay after `failures` failures in a row: `first` after one, twice that after two, and so on to `most`.
    /// Nothing has failed: no delay.
    pub fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }

    /// [`Backoff::delay`] spread over its upper half, so that many callers that failed together do not return
    /// together. `random` is uniform over all of `u32`.
    pub fn jittered(&self, failures: u32, random: u32) -> Duration {
        let delay = self.delay(failures);
        let half = delay / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

    #[test]
    fn delays_double_up_to_the_most() {
        let seconds: Vec<u64> = (0..=10).map(|failures| BACKOFF.delay(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(BACKOFF.delay(u32::MAX).as_secs(), 300);
    }

    proptest! {
        #[test]
        fn jitter_stays_in_the_upper_half(failures in any::<u32>(), random in any::<u32>()) {
            let (delay, jittered) = (BACKOFF.delay(failures), BACKOFF.jittered(failures, random));
            prop_assert!(jittered >= delay / 2 && jittered <= delay);
        }
    }
}
