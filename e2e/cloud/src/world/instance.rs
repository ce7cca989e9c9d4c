//! A machine that was rented.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use cooperator_core::market::Traffic;
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::backend::{Key, Payload};
use crate::bill::Meter;
use crate::market::Place;
use crate::vendor::Vendor;

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The vendor has taken the order.
    Accepted,
    /// It is being started.
    Booting,
    /// It runs, as the vendor says.
    Running,
    /// It was stopped as its tenant asked.
    Stopped,
    /// The vendor took it away.
    Preempted,
    /// What it ran has ended by itself.
    Exited,
    /// It is broken.
    Failed,
    /// It is on its way out.
    Ending,
    /// It is gone.
    Over,
}

impl Phase {
    /// Whether it has not begun to run, or runs.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Accepted | Self::Booting | Self::Running)
    }
}

/// An order for a machine.
#[derive(Clone, Debug)]
pub struct New {
    /// With whom.
    pub vendor: Vendor,
    /// Which of the accounts pays.
    pub account: usize,
    /// The tenant's name or label of it.
    pub name: String,
    /// Labels or tags.
    pub labels: BTreeMap<String, String>,
    /// What it occupies.
    pub place: Place,
    /// What it runs.
    pub payload: Payload,
    /// Image, as the vendor's API shows it.
    pub image: String,
    /// Disk in GiB.
    pub disk_gib: u64,
    /// An hour of it.
    pub hourly: PricePerHour,
    /// Disk that is paid for by itself, in GiB, and what one costs a month while it runs and while it stands, in micro-units.
    pub paid_disk: (u64, u64, u64),
    /// What its traffic costs.
    pub traffic: Traffic,
    /// What is bid for it.
    pub bid: Option<PricePerHour>,
    /// Whether it takes its place from the market. The place must be free.
    pub holds: bool,
    /// Whether it is made stopped.
    pub stopped: bool,
}

/// A rented machine.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Which.
    pub key: Key,
    /// The vendor's id of it.
    pub id: String,
    /// What was asked for.
    pub order: New,
    /// Where it stands.
    pub phase: Phase,
    /// What the vendor says of it, for people.
    pub said: String,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last began to start.
    pub started: Option<Timestamp>,
    /// When it last began to run.
    pub running: Option<Timestamp>,
    /// When it ended: from then on it costs nothing.
    pub ended: Option<Timestamp>,
    /// Where it can be reached.
    pub address: IpAddr,
    /// What it costs.
    pub meter: Meter,
    /// Whether reads show it.
    pub visible: bool,
    /// Whether its network is cut off without the vendor's knowing.
    pub disconnected: bool,
    /// Whether it has no GPU though it was let for one.
    pub lies: bool,
    /// When it will be taken away, as it was told.
    pub notice: Option<Timestamp>,
    /// Whether it can no longer be looked up by its id.
    pub forgotten: bool,
    /// Until when its deletes fail.
    pub(super) deletes_fail_until: Option<Timestamp>,
    /// Whether it never gets beyond booting.
    pub(super) is_stuck: bool,
    /// What befalls it once it has run for so many seconds.
    pub(super) fate: Option<(Event, u64)>,
    /// Whether it holds its place in the market now.
    pub(super) holds: bool,
    /// Counts starts and stops: what was planned before one no longer happens after it.
    pub(super) turn: u32,
}

impl Instance {
    /// Whether it really works: what it was told to run, runs, and can be reached.
    pub fn works(&self) -> bool {
        self.phase == Phase::Running && !self.disconnected && !self.lies
    }

    /// Whether it still costs, or may cost again.
    pub const fn is_alive(&self) -> bool {
        self.ended.is_none()
    }

    /// An address out of the block for benchmarks (RFC 2544).
    pub(super) fn address_of(key: Key) -> IpAddr {
        let low = u32::try_from(key.0 % 0x1_0000).unwrap_or_default();
        IpAddr::V4(Ipv4Addr::from(0xC612_0000 | low))
    }
}
