//! The least interval between two calls, as vendors demand it by endpoint and key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cooperator_core::time::{Clock, SignedDuration, Timestamp, later};

use super::Endpoint;

/// Longest that a call waits for its turn.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a call waits longer than it must: two calls do not take the same time to arrive.
const LEEWAY: Duration = Duration::from_millis(50);

/// What becomes of a call that comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// It is not sent.
    Refuse,
    /// It waits for a second at most, and is not sent if that is too early still.
    Wait,
}

/// When each endpoint may be called next.
pub(crate) struct Pace {
    clock: Arc<dyn Clock>,
    overall: Duration,
    limited: bool,
    /// By endpoint, and under no name for all together: when it was called last.
    last: Mutex<BTreeMap<&'static str, Timestamp>>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pace({:?})", self.overall)
    }
}

impl Pace {
    /// `overall` is the least interval between any two calls.
    pub(crate) fn new(clock: Arc<dyn Clock>, overall: Duration) -> Self {
        Self { clock, overall, limited: true, last: Mutex::default() }
    }

    /// Without any interval.
    #[cfg(test)]
    pub(crate) fn unlimited(self) -> Self {
        Self { limited: false, ..self }
    }

    /// The least interval between any two calls.
    pub(crate) fn overall(&self) -> Duration {
        self.overall
    }

    /// The present instant.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes the endpoint's turn, or says after how long there is one.
    pub(crate) async fn turn(&self, endpoint: Endpoint, early: Early) -> Result<(), Duration> {
        let wait = self.take(endpoint, early);
        if !is_taken(wait, early) {
            return Err(wait);
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait + LEEWAY).await;
        }
        Ok(())
    }

    /// How long the endpoint is still to wait. A turn that is now, or waited for, is taken.
    fn take(&self, endpoint: Endpoint, early: Early) -> Duration {
        if !self.limited {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |name, least| last.get(name).map_or(Duration::ZERO, |last| rest(*last, least, now));
        let wait = left(endpoint.name, endpoint.least).max(left("", self.overall));
        if is_taken(wait, early) {
            let turn = later(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO));
            last.insert(endpoint.name, turn);
            last.insert("", turn);
        }
        wait
    }
}

/// Whether a turn after `wait` is taken.
fn is_taken(wait: Duration, early: Early) -> bool {
    wait.is_zero() || (early == Early::Wait && wait <= LONGEST_PAUSE)
}

/// What is left of an interval; never more than all of it, should the clock have gone back.
fn rest(last: Timestamp, least: Duration, now: Timestamp) -> Duration {
    let passed = Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO);
    least.saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use cooperator_core::time::TestClock;

    use super::*;

    const LIST: Endpoint = Endpoint::reads("list", 1000);
    const CREATE: Endpoint = Endpoint::changes("create", 4500);

    fn pace(overall_ms: u64) -> (Pace, TestClock) {
        let clock = TestClock::new(Timestamp::UNIX_EPOCH);
        (Pace::new(Arc::new(clock.clone()), Duration::from_millis(overall_ms)), clock)
    }

    #[tokio::test]
    async fn a_call_that_comes_too_early_is_told_how_long_to_wait() {
        let (pace, clock) = pace(0);
        assert_eq!(pace.turn(CREATE, Early::Refuse).await, Ok(()));
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(pace.turn(CREATE, Early::Refuse).await, Err(Duration::from_millis(3500)));
        assert_eq!(pace.turn(LIST, Early::Refuse).await, Ok(()));
        clock.advance(SignedDuration::from_millis(3500));
        assert_eq!(pace.turn(CREATE, Early::Refuse).await, Ok(()));
    }

    #[tokio::test]
    async fn the_overall_interval_holds_for_all_endpoints_together() {
        let (pace, _) = pace(1000);
        assert_eq!(pace.turn(LIST, Early::Refuse).await, Ok(()));
        assert_eq!(pace.turn(CREATE, Early::Refuse).await, Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nobody_wait_longer_than_the_interval() {
        let (pace, clock) = pace(0);
        assert_eq!(pace.take(LIST, Early::Refuse), Duration::ZERO);
        clock.advance(SignedDuration::from_hours(-5));
        assert_eq!(pace.take(LIST, Early::Refuse), Duration::from_secs(1));
    }

    #[test]
    fn a_turn_that_is_waited_for_is_taken() {
        let (pace, clock) = pace(0);
        assert_eq!(pace.take(LIST, Early::Wait), Duration::ZERO);
        assert_eq!(pace.take(LIST, Early::Wait), Duration::from_secs(1));
        clock.advance(SignedDuration::from_millis(1500));
        assert_eq!(pace.take(LIST, Early::Refuse), Duration::from_millis(500));
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_a_second() {
        let (pace, _) = pace(0);
        assert_eq!(pace.turn(CREATE, Early::Wait).await, Ok(()));
        assert_eq!(pace.turn(CREATE, Early::Wait).await, Err(Duration::from_millis(4500)));
    }
}
