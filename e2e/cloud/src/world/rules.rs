//! What each vendor bills, and how its machines come and go. A wrong fact is one edit here.

use cooperator_core::market::Granularity;

use crate::vendor::Vendor;

/// A vendor's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What is paid for when only a part of it was used.
    pub granularity: Granularity,
    /// Whether its API tells what a machine was charged.
    pub tells_bill: bool,
    /// From when on the machine is paid for.
    pub paid_from: PaidFrom,
    /// Whether a machine that was stopped, was outbid or has exited costs only its disk.
    pub standing_is_free: bool,
    /// Whether a machine that the vendor takes away is over for good.
    pub preemption_ends: bool,
    /// Shortest and longest time until work on it begins, in seconds.
    pub accepting: (u64, u64),
    /// Shortest and longest time it then boots, in seconds.
    pub booting: (u64, u64),
    /// Shortest and longest time until it is gone, in seconds. It is paid for until that was asked for.
    pub ending: (u64, u64),
    /// Seconds for which one that is gone can still be looked up by its id.
    pub remembered: u64,
}

/// From when on a machine is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaidFrom {
    /// The create was accepted.
    Accepted,
    /// It has a host and starts.
    Booting,
    /// It runs.
    Running,
}

impl Rules {
    /// Those of a vendor.
    pub const fn of(vendor: Vendor) -> Self {
        match vendor {
            // The disk from the contract on, the GPU while it runs; destroyed at once.
            Vendor::Vast => Self {
                granularity: Granularity::Second,
                tells_bill: true,
                paid_from: PaidFrom::Running,
                standing_is_free: true,
                preemption_ends: false,
                accepting: (2, 10),
                booting: (20, 240),
                ending: (0, 0),
                remembered: 0,
            },
            // From `startedAt` on.
            Vendor::RunPod => Self {
                granularity: Granularity::Second,
                tells_bill: true,
                paid_from: PaidFrom::Booting,
                standing_is_free: true,
                preemption_ends: false,
                accepting: (2, 20),
                booting: (10, 180),
                ending: (0, 0),
                remembered: 0,
            },
            Vendor::Lambda => Self {
                granularity: Granularity::Minute,
                tells_bill: false,
                paid_from: PaidFrom::Accepted,
                standing_is_free: false,
                preemption_ends: true,
                accepting: (1, 5),
                booting: (60, 300),
                ending: (20, 60),
                remembered: 3_600,
            },
            Vendor::Hetzner => Self {
                granularity: Granularity::Hour,
                tells_bill: false,
                paid_from: PaidFrom::Accepted,
                standing_is_free: false,
                preemption_ends: false,
                accepting: (2, 10),
                booting: (5, 20),
                ending: (3, 10),
                remembered: 0,
            },
        }
    }
}
