//! How often a run may ask: so many at once, then so many a second, without counting (the generic cell rate algorithm).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cooperator_core::time::{SignedDuration, Timestamp, later};

/// Between two questions in the long run: twenty a second.
const STEP: SignedDuration = SignedDuration::from_millis(50);
/// How far a run may be ahead of that: two hundred questions.
const AHEAD: SignedDuration = SignedDuration::from_secs(10);

/// Until when each run has used up its share. It forgets those that have caught up.
#[derive(Default)]
pub struct Rate(Mutex<HashMap<String, Timestamp>>);

impl Rate {
    /// Whether this run may ask now; then it counts.
    pub fn admits(&self, uid: &str, now: Timestamp) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, until| *until > now);
        let until = used.get(uid).copied().unwrap_or(now);
        if until.duration_since(now) >= AHEAD {
            return false;
        }
        used.insert(uid.to_owned(), later(until, STEP));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_ask_two_hundred_times_at_once_and_twenty_times_a_second_from_then_on() {
        let (rate, start) = (Rate::default(), Timestamp::UNIX_EPOCH);
        assert_eq!((0..300).filter(|_| rate.admits("run", start)).count(), 200);
        assert!(rate.admits("other", start), "another run has its own share");
        let second = later(start, SignedDuration::from_secs(1));
        assert_eq!((0..300).filter(|_| rate.admits("run", second)).count(), 20);
        let hour = later(start, SignedDuration::from_hours(1));
        assert_eq!((0..300).filter(|_| rate.admits("run", hour)).count(), 200);
    }
}
