//! How often a vendor lets itself be asked.

use std::collections::HashMap;
use std::time::Duration;

use cooperator_core::time::Timestamp;

use crate::vendor::{Vendor, Verb};

/// Least intervals between two calls of one kind by one account.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    on: bool,
    next: HashMap<(usize, Vendor, Option<Verb>), Timestamp>,
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
        let intervals = intervals(vendor, verb);
        let early = |next: &HashMap<_, Timestamp>, of| next.get(&(account, vendor, of)).copied();
        let wait = intervals.iter().filter_map(|(of, _)| early(&self.next, *of)).max().filter(|at| now < *at);
        if let Some(at) = wait {
            return Some(now.duration_until(at).unsigned_abs());
        }
        for (of, interval) in intervals {
            let at = now.checked_add(interval).unwrap_or(Timestamp::MAX);
            self.next.insert((account, vendor, of), at);
        }
        None
    }
}

/// What holds for a call: for its kind, and (None) for all calls together.
fn intervals(vendor: Vendor, verb: Verb) -> Vec<(Option<Verb>, Duration)> {
    let own = |millis| vec![(Some(verb), Duration::from_millis(millis))];
    match (vendor, verb) {
        // Ten a minute.
        (Vendor::Vast, Verb::Offers) => own(6_000),
        (Vendor::Vast, Verb::List | Verb::Update) => own(1_000),
        (Vendor::Vast, Verb::Get) => own(2_000),
        (Vendor::Vast, Verb::Delete) => own(3_000),
        (Vendor::Vast, Verb::Create) => own(4_500),
        (Vendor::Vast, Verb::Bid) => own(5_500),
        (Vendor::Vast, Verb::Billing | Verb::Other) => own(500),
        (Vendor::Lambda, Verb::Create) => {
            vec![(Some(verb), Duration::from_secs(12)), (None, Duration::from_secs(1))]
        }
        (Vendor::Lambda, _) => vec![(None, Duration::from_secs(1))],
        // Neither says a number for single calls; Hetzner's is 3600 an hour.
        (Vendor::RunPod, _) => vec![(None, Duration::from_millis(100))],
        (Vendor::Hetzner, _) => vec![(None, Duration::from_secs(1))],
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
    fn limits_that_are_off_refuse_nothing() {
        let mut limits = Limits::new(false);
        for _ in 0..3 {
            assert_eq!(limits.refuse(0, Vendor::Vast, Verb::Bid, Timestamp::UNIX_EPOCH), None);
        }
    }
}
