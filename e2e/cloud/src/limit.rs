//! How often a vendor lets itself be asked.

use std::collections::HashMap;
use std::time::Duration;

use cooperator_core::time::Timestamp;

use crate::vendor::{Vendor, Verb};

/// Least intervals between two calls of one kind by one account, on average over a burst (the generic cell rate algorithm).
#[derive(Clone, Debug, Default)]
pub struct Limits {
    on: bool,
    /// When a call would be due if all came at their intervals.
    next: HashMap<(usize, Vendor, Option<Verb>), Timestamp>,
}

/// One limit.
#[derive(Clone, Copy, Debug)]
struct Limit {
    /// What it counts; none: all calls together.
    of: Option<Verb>,
    interval: Duration,
    /// Calls that may come at once.
    burst: u32,
}

impl Limits {
    /// Limits that hold, or do not.
    pub fn new(on: bool) -> Self {
        Self { on, next: HashMap::new() }
    }

    /// Notes a call; if it comes too early, says how long to wait, and the call does not count.
    pub fn refuse(&mut self, account: usize, vendor: Vendor, verb: Verb, now: Timestamp) -> Option<Duration> {
        if !self.on {
            return None;
        }
        let limits = limits(vendor, verb);
        let due =
            |limit: &Limit| self.next.get(&(account, vendor, limit.of)).copied().unwrap_or(now).max(now);
        let early = |limit: &Limit| {
            let earliest = due(limit).checked_sub(limit.interval * (limit.burst - 1)).unwrap_or(now);
            (now < earliest).then(|| now.duration_until(earliest).unsigned_abs())
        };
        if let Some(wait) = limits.iter().filter_map(early).max() {
            return Some(wait);
        }
        let all: Vec<_> = limits.iter().map(|limit| (limit.of, due(limit), limit.interval)).collect();
        for (of, due, interval) in all {
            let next = due.checked_add(interval).unwrap_or(Timestamp::MAX);
            self.next.insert((account, vendor, of), next);
        }
        None
    }
}

/// What holds for a call.
fn limits(vendor: Vendor, verb: Verb) -> Vec<Limit> {
    let own = |millis| vec![Limit { of: Some(verb), interval: Duration::from_millis(millis), burst: 1 }];
    let all = |millis, burst| Limit { of: None, interval: Duration::from_millis(millis), burst };
    match (vendor, verb) {
        // Ten a minute.
        (Vendor::Vast, Verb::Offers) => own(6_000),
        (Vendor::Vast, Verb::List | Verb::Update) => own(1_000),
        (Vendor::Vast, Verb::Get) => own(2_000),
        (Vendor::Vast, Verb::Delete) => own(3_000),
        (Vendor::Vast, Verb::Create) => own(4_500),
        (Vendor::Vast, Verb::Bid) => own(5_500),
        (Vendor::Vast, Verb::Billing | Verb::Other) => own(500),
        (Vendor::Lambda, Verb::Create) => [own(12_000), vec![all(1_000, 1)]].concat(),
        (Vendor::Lambda, _) => vec![all(1_000, 1)],
        // It says no number for single calls.
        (Vendor::RunPod, _) => vec![all(100, 1)],
        // 3600, which come back one a second.
        (Vendor::Hetzner, _) => vec![all(1_000, 3_600)],
    }
}

#[cfg(test)]
mod tests {
    use cooperator_core::time::SignedDuration;

    use super::*;

    #[test]
    fn a_call_that_comes_too_early_is_told_how_long_to_wait_and_one_in_time_is_not() {
        let mut limits = Limits::new(true);
        let start = Timestamp::UNIX_EPOCH;
        let after = |millis| start + SignedDuration::from_millis(millis);
        assert_eq!(limits.refuse(0, Vendor::Vast, Verb::Create, start), None);
        let wait = limits.refuse(0, Vendor::Vast, Verb::Create, after(1_000));
        assert_eq!(wait, Some(Duration::from_millis(3_500)));
        assert_eq!(limits.refuse(0, Vendor::Vast, Verb::Delete, after(1_000)), None);
        assert_eq!(limits.refuse(1, Vendor::Vast, Verb::Create, after(1_000)), None);
        assert_eq!(limits.refuse(0, Vendor::Vast, Verb::Create, after(4_500)), None);
    }

    #[test]
    fn lambda_counts_all_calls_together_and_launches_once_more() {
        let mut limits = Limits::new(true);
        let start = Timestamp::UNIX_EPOCH;
        let after = |seconds| start + SignedDuration::from_secs(seconds);
        assert_eq!(limits.refuse(0, Vendor::Lambda, Verb::Create, start), None);
        assert!(limits.refuse(0, Vendor::Lambda, Verb::List, start).is_some());
        assert_eq!(limits.refuse(0, Vendor::Lambda, Verb::List, after(1)), None);
        assert_eq!(limits.refuse(0, Vendor::Lambda, Verb::Create, after(2)), Some(Duration::from_secs(10)));
    }

    #[test]
    fn hetzner_takes_an_hours_calls_at_once_and_then_one_a_second() {
        let mut limits = Limits::new(true);
        let start = Timestamp::UNIX_EPOCH;
        let after = |seconds| start + SignedDuration::from_secs(seconds);
        for _ in 0..3_600 {
            assert_eq!(limits.refuse(0, Vendor::Hetzner, Verb::List, start), None);
        }
        let wait = limits.refuse(0, Vendor::Hetzner, Verb::Create, start);
        assert_eq!(wait, Some(Duration::from_secs(1)));
        assert_eq!(limits.refuse(0, Vendor::Hetzner, Verb::Create, after(1)), None);
        assert!(limits.refuse(0, Vendor::Hetzner, Verb::Create, after(1)).is_some());
    }

    #[test]
    fn limits_that_are_off_refuse_nothing() {
        let mut limits = Limits::new(false);
        for _ in 0..3 {
            assert_eq!(limits.refuse(0, Vendor::Vast, Verb::Bid, Timestamp::UNIX_EPOCH), None);
        }
    }
}
