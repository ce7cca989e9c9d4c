//! How a watch is made, and taken up again.

use std::time::Duration;

use cooperator_core::backoff::Backoff;
use kube::runtime::utils;
use kube::runtime::watcher;

/// Between two looks at watches that break off. While a controller waits it hears nothing of any of its watches, and after
/// a bad moment of the network each of them breaks off in turn: kube's own pause, of up to half a minute, made minutes of it.
const WATCH_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// Seconds after which a watch is asked for again, so that one that died in silence is noticed within the minute.
const WATCH_SECONDS: u32 = 50;
/// Objects of a page of a list: as they are written they take some ten kilobytes each, and every watch begins with a
/// list, at the same time as the others.
pub const PAGE: u32 = 100;

/// How every watch of ours is made.
pub fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

/// The pauses of a watch that breaks off again and again, of at most two seconds; over with the first word.
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    failures: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(WATCH_BACKOFF.jittered(self.failures, rand::random()))
    }
}

impl utils::Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
