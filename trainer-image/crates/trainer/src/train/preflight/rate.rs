//! Pure: so much in so much time, in the units that people know.

use std::time::Duration;

/// What was done, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Bytes, or floating-point operations.
    pub amount: u64,
    /// Never less than a nanosecond.
    took: Duration,
}

impl Rate {
    pub(super) fn new(amount: u64, took: Duration) -> Self {
        Self { amount, took: took.max(Duration::from_nanos(1)) }
    }

    /// The slower of two.
    pub(super) fn min(self, other: Self) -> Self {
        if self.scaled(1, 1) <= other.scaled(1, 1) { self } else { other }
    }

    /// The faster of two.
    pub(super) fn max(self, other: Self) -> Self {
        if self.scaled(1, 1) >= other.scaled(1, 1) { self } else { other }
    }

    /// 10^9 a second.
    pub(super) fn giga(self) -> u64 {
        self.scaled(1, 1_000_000_000)
    }

    /// MiB a second.
    pub(super) fn mebi(self) -> u64 {
        self.scaled(1, 1 << 20)
    }

    /// Megabits a second, of bytes.
    pub(super) fn megabit(self) -> u64 {
        self.scaled(8, 1_000_000)
    }

    /// How long so many take, in seconds, rounded down.
    pub(super) fn seconds(self, amount: u64) -> u64 {
        let nanos = u128::from(amount).saturating_mul(self.took.as_nanos()) / u128::from(self.amount.max(1));
        u64::try_from(nanos / NANOS).unwrap_or(u64::MAX)
    }

    /// A second's amount, times `factor`, by `unit`, rounded down.
    fn scaled(self, factor: u128, unit: u128) -> u64 {
        let a_second = u128::from(self.amount) * factor * NANOS;
        u64::try_from(a_second / self.took.as_nanos().saturating_mul(unit)).unwrap_or(u64::MAX)
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_in_the_units_that_people_know_rounded_down() {
        let rate = Rate::new(5 << 20, Duration::from_secs(2));
        assert_eq!((rate.mebi(), rate.megabit(), rate.giga()), (2, 20, 0));
        assert_eq!(Rate::new(3_000_000_000, Duration::from_secs(2)).giga(), 1);
        assert_eq!(rate.seconds(100 << 20), 40);
        let slower = Rate::new(1 << 20, Duration::from_secs(1));
        assert_eq!((rate.min(slower), rate.max(slower)), (slower, rate));
    }

    #[test]
    fn what_took_no_time_and_what_is_endless_are_numbers_too() {
        let rate = Rate::new(u64::MAX, Duration::ZERO);
        assert_eq!((rate.megabit(), rate.seconds(u64::MAX)), (u64::MAX, 0));
        assert_eq!(Rate::new(0, Duration::MAX).seconds(u64::MAX), u64::MAX);
        assert_eq!(Rate::new(0, Duration::MAX).megabit(), 0);
    }
}
