//! What a machine that was rented is made of: nothing at all, or something that really runs.

mod local;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use cooperator_core::market::{Gpus, Shape};
use serde::{Deserialize, Serialize};

pub use self::local::Local;
use crate::server::Shared;
use crate::vendor::Vendor;

/// A rented machine, for as long as this server lives. No two vendors' machines have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub usize);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One container that a vendor was asked to run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Image reference.
    pub image: String,
    /// Arguments to the image's entrypoint.
    pub arguments: Vec<String>,
    /// Environment: names and values, sorted. May hold tokens.
    pub environment: Vec<(String, String)>,
}

/// What a machine is to run.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A script for the first start, as cloud-init takes it. May hold tokens.
    UserData(String),
    /// One container.
    Container(Container),
}

impl Payload {
    /// Machine or container.
    pub const fn shape(&self) -> Shape {
        match self {
            Self::UserData(_) => Shape::Machine,
            Self::Container(_) => Shape::Container,
        }
    }
}

impl fmt::Debug for Payload {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserData(text) => write!(f, "UserData({} bytes)", text.len()),
            Self::Container(container) => write!(f, "Container({})", container.image),
        }
    }
}

/// A machine that begins.
#[derive(Clone, Debug)]
pub struct Started {
    /// Which.
    pub key: Key,
    /// Whose.
    pub vendor: Vendor,
    /// The vendor's id of it.
    pub id: String,
    /// The tenant's name for it.
    pub name: String,
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in GiB.
    pub disk_gib: u64,
    /// The GPUs that are really there: a host that lies has none, whatever its API says.
    pub gpus: Option<Gpus>,
    /// What it runs.
    pub payload: Payload,
}

/// What machines are made of. All calls return at once: work that takes time is done elsewhere, and told to the
/// [`Reporter`]. Calls on one machine come in order and one at a time.
pub trait Backend: Send + Sync {
    /// Whether a machine boots until it is reported running. If not, it boots for as long as the seed says.
    fn reports(&self) -> bool {
        true
    }

    /// A machine begins, or begins again after a stop.
    fn start(&self, started: &Started, reporter: Reporter);

    /// A machine ends, or is stopped, or loses its network without a word. May come for one that never started.
    fn stop(&self, key: Key);

    /// A machine will be taken away after so many seconds.
    fn notice(&self, _key: Key, _seconds: u64) {}

    /// What a machine has printed so far, if it is known. Asked in the midst of a call: nothing may be reported from within.
    fn logs(&self, _key: Key) -> Option<String> {
        None
    }
}

/// Machines that are only said to exist.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulated;

impl Backend for Simulated {
    fn reports(&self) -> bool {
        false
    }

    fn start(&self, _: &Started, _: Reporter) {}

    fn stop(&self, _: Key) {}
}

/// How a backend tells what became of a machine. What it says of one that has ended meanwhile is dropped.
#[derive(Clone)]
pub struct Reporter {
    shared: Weak<Shared>,
    key: Key,
}

impl Reporter {
    pub(crate) fn new(shared: &Arc<Shared>, key: Key) -> Self {
        Self { shared: Arc::downgrade(shared), key }
    }

    /// It runs, and can be reached at `address` if that is known.
    pub fn running(&self, address: Option<IpAddr>) {
        self.tell(|world, key| world.reported_running(key, address));
    }

    /// Its container has ended by itself with this exit code, or the machine has powered itself off.
    pub fn exited(&self, code: i32) {
        self.tell(|world, key| world.exit(key, &format!("exited with code {code}"), false));
    }

    /// It could not be started.
    pub fn failed(&self, message: &str) {
        self.tell(|world, key| world.fail(key, message));
    }

    fn tell(&self, what: impl FnOnce(&mut crate::world::World, Key)) {
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|world| what(world, self.key));
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reporter({})", self.key)
    }
}

#[cfg(test)]
mod tests;
