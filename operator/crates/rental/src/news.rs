//! What a step tells besides the record: for events, metrics, the breaker and the list of blocked hosts.

use std::time::Duration;

use cooperator_core::money::Amount;
use cooperator_providers::{Error, InstanceId};

use crate::blocks::Target;
use crate::record::{Reason, Record};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The vendor made the machine.
    Made {
        /// Which.
        instance: InstanceId,
    },
    /// The vendor's answer to the order was lost; it is looked up.
    Doubtful {
        /// What came instead.
        error: Error,
    },
    /// A machine that was in doubt was found, and is kept.
    Adopted {
        /// Which.
        instance: InstanceId,
    },
    /// The machine runs.
    Running {
        /// Which.
        instance: InstanceId,
    },
    /// There is a second machine of the claim's name: it is ended.
    Double {
        /// Which.
        instance: InstanceId,
    },
    /// Nothing was made.
    NotMade {
        /// Why.
        reason: Reason,
        /// What the vendor said, if it said anything.
        error: Option<Error>,
    },
    /// The machine is to end.
    Ending {
        /// Which.
        instance: InstanceId,
        /// Why.
        reason: Reason,
    },
    /// A vendor does not end a machine that it was asked to end. It is asked again, and costs meanwhile.
    Lingers {
        /// Which.
        instance: InstanceId,
        /// How often it was asked.
        asked: u32,
        /// What it said, if it failed.
        error: Option<Error>,
    },
    /// The vendor said that a machine was gone, and it lives.
    Revived {
        /// Which.
        instance: InstanceId,
    },
    /// The machine is gone: the vendor said so and its list confirms it.
    Ended {
        /// Which.
        instance: InstanceId,
        /// What it has cost by its times and terms.
        amount: Amount,
    },
    /// What it cost will not change any more.
    Accounted {
        /// Which.
        instance: InstanceId,
        /// What it cost.
        amount: Amount,
    },
    /// The vendor charged something else than its terms come to.
    Drift {
        /// Which.
        instance: InstanceId,
        /// By times and terms.
        computed: Amount,
        /// By the vendor.
        charged: Amount,
        /// What the least comes to that is paid for: of a machine's last second nobody outside knows whether it counts.
        unit: Amount,
    },
    /// An offer or host should not be taken again for a while.
    Block {
        /// Which.
        target: Target,
        /// Why.
        reason: Reason,
    },
    /// A question was not answered; nothing was concluded from that.
    Unanswered {
        /// What came instead.
        error: Error,
    },
}

impl News {
    /// Where nothing was made because the vendor had just been asked something else, which speaks against nobody: after how
    /// long it may be asked again.
    pub const fn turn(&self) -> Option<Duration> {
        match self {
            Self::NotMade { error: Some(Error::Throttled { after, .. }), .. } => Some(*after),
            _ => None,
        }
    }
}

/// What a step leaves.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The record as it is now.
    pub record: Record,
    /// Whether it has to be persisted before anything else is done.
    pub changed: bool,
    /// When to step again at the latest. None: there is nothing to do until a launch begins.
    pub again: Option<Duration>,
    /// What happened.
    pub news: Vec<News>,
}
