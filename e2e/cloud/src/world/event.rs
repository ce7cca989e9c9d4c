//! What will happen to a machine, and when.

use std::collections::BTreeMap;

use cooperator_core::time::Timestamp;

use crate::backend::Key;

/// Something that will happen to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Work on it begins.
    Boot,
    /// It runs.
    Run,
    /// Reads show it.
    Reveal,
    /// It is gone.
    Vanish,
    /// It can no longer be looked up.
    Forget,
    /// It breaks: another has its place.
    Die,
    /// It is told that it will be taken away in so many seconds.
    Notice(u64),
    /// It is taken away.
    Preempt,
    /// It is said to have exited, and is paid for in full.
    ExitAtCost,
    /// It loses its network.
    Disconnect,
}

impl Event {
    /// Whether it happens whatever was started or stopped meanwhile.
    pub const fn outlives_turns(self) -> bool {
        matches!(self, Self::Reveal | Self::Vanish | Self::Forget)
    }
}

/// What is planned for one machine.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// Which.
    pub key: Key,
    /// What.
    pub event: Event,
    /// The machine's turn when this was planned.
    pub turn: u32,
}

/// All that is planned, in the order of time; what is planned for the same instant happens in the order of planning.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    queue: BTreeMap<(Timestamp, u64), Planned>,
    count: u64,
}

impl Plan {
    /// Adds one.
    pub fn add(&mut self, at: Timestamp, planned: Planned) {
        self.queue.insert((at, self.count), planned);
        self.count += 1;
    }

    /// Takes the next one that happens at `now` or earlier.
    pub fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Planned)> {
        let first = self.queue.first_entry()?;
        let at = first.key().0;
        (at <= now).then(|| (at, first.remove()))
    }
}
