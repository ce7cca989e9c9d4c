//! Where many machines of a vendor fail, no more are rented there for a while; then one, to try.

use std::time::Duration;

use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::times::after;

/// Failures that are remembered at most.
pub const MOST_FAILURES: usize = 100;

/// When a breaker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many failures, 1 to 100,
    pub failures: usize,
    /// within so long
    pub window: Duration,
    /// open it for so long.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(600), pause: Duration::from_secs(600) }
    }
}

/// Whether machines are rented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They are.
    Closed,
    /// None until then.
    Open {
        /// When one is tried.
        until: Timestamp,
    },
    /// One, to try: [`Breaker::try_one`] before it.
    HalfOpen,
}

/// What a breaker remembers: plain, for a status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// When launches failed, the newest last; those within the window.
    #[serde(default)]
    pub failures: Vec<Timestamp>,
    /// Until when none is launched. It stays after that until one has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
}

impl Breaker {
    /// Whether a machine may be rented at `now`.
    pub fn gate(&self, now: Timestamp) -> Gate {
        match self.paused_until {
            None => Gate::Closed,
            Some(until) if now < until => Gate::Open { until },
            Some(_) => Gate::HalfOpen,
        }
    }

    /// A launch failed.
    pub fn failed(&mut self, settings: &Settings, now: Timestamp) {
        self.failures.retain(|at| now < after(*at, settings.window));
        self.failures.push(now);
        let excess = self.failures.len().saturating_sub(MOST_FAILURES);
        self.failures.drain(..excess);
        let many = self.failures.len() >= settings.failures.clamp(1, MOST_FAILURES);
        match self.gate(now) {
            // One that began before the breaker opened makes no pause longer.
            Gate::Open { .. } => {}
            Gate::Closed if !many => {}
            Gate::Closed | Gate::HalfOpen => self.paused_until = Some(after(now, settings.pause)),
        }
    }

    /// The one launch of a half-open breaker begins: the next waits for a whole pause unless this one tells first.
    pub fn try_one(&mut self, settings: &Settings, now: Timestamp) {
        if self.gate(now) == Gate::HalfOpen {
            self.paused_until = Some(after(now, settings.pause));
        }
    }

    /// A machine runs that was launched at `launched`. If that was after the breaker opened, all is forgotten.
    pub fn succeeded(&mut self, settings: &Settings, launched: Timestamp) {
        if self.paused_until.is_none_or(|until| until <= after(launched, settings.pause)) {
            *self = Self::default();
        }
    }
}
