//! One machine of the fake, and what it costs.

use cooperator_core::market::Terms;
use cooperator_core::money::Amount;
use cooperator_core::time::{SignedDuration, Timestamp};

use crate::driver::{Charge, Deleted, Instance, InstanceId, Order, State};

/// A machine that is or was.
pub(super) struct Machine {
    instance: Instance,
    /// With the bid for a price, if one was made.
    terms: Terms,
    disk_gib: u64,
    /// None: seen from the first moment on.
    made: Option<Timestamp>,
    runs_at: Option<Timestamp>,
    /// When it is gone, once it was deleted.
    ends_at: Option<Timestamp>,
    gone: bool,
    /// Until when its time is in the two sums below.
    counted: Timestamp,
    /// Time that was paid for in full, and that only its disk was paid for.
    full: SignedDuration,
    stopped: SignedDuration,
}

impl Machine {
    pub(super) fn made(id: InstanceId, order: &Order, now: Timestamp, runs_at: Option<Timestamp>) -> Self {
        let mut terms = order.offer.terms.clone();
        terms.hourly = order.bid.unwrap_or(terms.hourly);
        let instance = Instance {
            id,
            name: order.name.clone(),
            state: State::Pending,
            said: said(State::Pending).to_owned(),
            address: None,
            since: Some(now),
            hourly: terms.hourly_with(order.disk_gib).ok(),
        };
        Self { terms, disk_gib: order.disk_gib, made: Some(now), runs_at, ..Self::found(instance, now) }
    }

    pub(super) fn found(instance: Instance, now: Timestamp) -> Self {
        Self {
            instance,
            terms: Terms::default(),
            disk_gib: 0,
            made: None,
            runs_at: None,
            ends_at: None,
            gone: false,
            counted: now,
            full: SignedDuration::ZERO,
            stopped: SignedDuration::ZERO,
        }
    }

    pub(super) fn instance(&self) -> Instance {
        self.instance.clone()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether it is in lists that show what was made until `newest`.
    pub(super) fn visible(&self, newest: Timestamp) -> bool {
        self.made.is_none_or(|made| made <= newest)
    }

    /// What has come to pass by itself until `now`, in the order in which it did.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if let Some(at) = self.runs_at.filter(|at| *at <= now && self.ends_at.is_none_or(|end| *at < end)) {
            self.runs_at = None;
            if self.instance.state == State::Pending {
                self.turn(State::Running, at);
            }
        }
        if let Some(at) = self.ends_at.filter(|at| *at <= now && !self.gone) {
            self.turn(State::Over, at);
            self.gone = true;
        }
    }

    /// Is in another state from `at` on.
    pub(super) fn turn(&mut self, state: State, at: Timestamp) {
        self.count(at);
        self.instance.state = state;
        self.instance.said = said(state).to_owned();
    }

    /// Ends at `end`.
    pub(super) fn end(&mut self, end: Timestamp, now: Timestamp) -> Deleted {
        if self.ends_at.is_none() {
            self.ends_at = Some(end);
            if self.instance.state != State::Over {
                self.turn(State::Ending, now);
            }
            self.tick(now);
        }
        if self.gone { Deleted::Gone { at: self.ends_at } } else { Deleted::Ending }
    }

    /// What it has cost until `now`.
    pub(super) fn charge(&self, now: Timestamp) -> Charge {
        let (full, stopped) = self.time(now);
        let time = self.terms.amount(self.disk_gib, seconds(full));
        let disk = self.terms.disk(self.disk_gib, seconds(stopped));
        let amount = time.and_then(|time| disk.and_then(|disk| time.plus(disk))).unwrap_or(Amount::ZERO);
        Charge { id: self.instance.id.clone(), amount, is_final: self.instance.state == State::Over }
    }

    fn count(&mut self, at: Timestamp) {
        (self.full, self.stopped) = self.time(at);
        self.counted = self.counted.max(at);
    }

    fn time(&self, until: Timestamp) -> (SignedDuration, SignedDuration) {
        let passed = until.duration_since(self.counted).max(SignedDuration::ZERO);
        match self.instance.state {
            State::Pending | State::Running | State::Preempted | State::Failed | State::Ending => {
                (self.full.saturating_add(passed), self.stopped)
            }
            State::Stopped => (self.full, self.stopped.saturating_add(passed)),
            State::Over => (self.full, self.stopped),
        }
    }
}

/// Seconds begun.
fn seconds(time: SignedDuration) -> u64 {
    let begun = i64::from(time.subsec_nanos() > 0);
    u64::try_from(time.as_secs().saturating_add(begun)).unwrap_or(0)
}

fn said(state: State) -> &'static str {
    match state {
        State::Pending => "booting",
        State::Running => "running",
        State::Stopped => "stopped",
        State::Preempted => "preempted",
        State::Failed => "error",
        State::Ending => "terminating",
        State::Over => "terminated",
    }
}
