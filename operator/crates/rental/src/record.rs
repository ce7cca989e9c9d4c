//! What is persisted of a claim: each machine that was asked for, from before it was asked for until all of it is paid.

use std::fmt;

use cooperator_core::market::Offer;
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use cooperator_providers::{Instance, InstanceId};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Launches that a record holds at most.
pub const MOST_LAUNCHES: usize = 16;
/// Further machines of one name that a launch holds at most; what is beyond waits until one of them is closed.
pub const MOST_SPARES: usize = 8;
/// Characters that a message holds at most.
const MOST_MESSAGE: usize = 256;

/// Why a launch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// It is not needed any more.
    Released,
    /// What it may cost was spent.
    BudgetSpent,
    /// It was kept as long as it may be.
    Expired,
    /// It did nothing for too long.
    Idle,
    /// It ran and never became a node in time.
    RegistrationTimeout,
    /// It is not what its host claimed.
    PreflightFailed,
    /// It did not run in time.
    LaunchTimeout,
    /// The vendor made it and would not start it for what was bid.
    BidRefused,
    /// It was stopped at the vendor: outbid, or it exited.
    Stopped,
    /// The vendor took it.
    Preempted,
    /// It broke.
    Failed,
    /// The vendor does not know it any more, or somebody else ended it.
    Vanished,
    /// The offer was no longer for rent; nothing was made.
    NoCapacity,
    /// The vendor rents no more to this account; nothing was made.
    AccountLimit,
    /// The vendor refused; nothing was made.
    Refused,
    /// The vendor could not be asked; nothing was made.
    Unanswered,
    /// It was not known whether the vendor made it, and it did not.
    NeverMade,
}

impl Reason {
    /// Label of a metric, and reason of a condition.
    pub fn label(self) -> &'static str {
        match self {
            Self::Released => "Released",
            Self::BudgetSpent => "BudgetSpent",
            Self::Expired => "Expired",
            Self::Idle => "Idle",
            Self::RegistrationTimeout => "RegistrationTimeout",
            Self::PreflightFailed => "PreflightFailed",
            Self::LaunchTimeout => "LaunchTimeout",
            Self::BidRefused => "BidRefused",
            Self::Stopped => "Stopped",
            Self::Preempted => "Preempted",
            Self::Failed => "Failed",
            Self::Vanished => "Vanished",
            Self::NoCapacity => "NoCapacity",
            Self::AccountLimit => "AccountLimit",
            Self::Refused => "Refused",
            Self::Unanswered => "Unanswered",
            Self::NeverMade => "NeverMade",
        }
    }

    /// Whether it speaks against the machine or its vendor: a breaker counts it.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Released | Self::BudgetSpent | Self::Expired | Self::Idle)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// What is to be rented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The offer, of the Provider that it names.
    pub offer: Offer,
    /// Disk, in GiB.
    pub disk_gib: u64,
    /// Of a spot offer: what is bid for an hour.
    pub bid: Option<PricePerHour>,
}

/// One attempt to rent a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// 1 for the claim's first, then counting on.
    pub number: u32,
    /// Name of the Provider object.
    pub provider: String,
    /// What was asked for, with its terms.
    pub offer: Offer,
    /// Disk asked for, in GiB.
    pub disk_gib: u64,
    /// Of a spot offer: what is bid for an hour, and paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bid: Option<PricePerHour>,
    /// When it was written down.
    pub intended_at: Timestamp,
    /// When the vendor's answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful_since: Option<Timestamp>,
    /// When a list first lacked its machine that should have had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_at: Option<Timestamp>,
    /// The machine, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Further machines of this claim's name: each is to be ended, and paid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spares: Vec<Machine>,
    /// Why it is to end, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in words, for people; at most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When all of it was over: no machine of it costs anything any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
}

impl Launch {
    /// Whether no machine of it costs anything any more.
    pub fn is_closed(&self) -> bool {
        self.confirmed_at.is_some()
    }

    /// Whether it is not known yet if there is a machine.
    pub fn is_doubtful(&self) -> bool {
        self.machine.is_none() && self.reason.is_none()
    }

    /// All its machines, the one that is kept first.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machine.iter().chain(&self.spares)
    }

    /// Machines that are to be ended and are not confirmed to be.
    pub fn ending(&self) -> impl Iterator<Item = &Machine> {
        let kept = self.machine.iter().filter(|_| self.reason.is_some());
        kept.chain(&self.spares).filter(|machine| machine.confirmed_at.is_none())
    }

    /// The machine of this id.
    pub(crate) fn machine_mut(&mut self, id: &InstanceId) -> Option<&mut Machine> {
        self.machine.iter_mut().chain(&mut self.spares).find(|machine| machine.instance == *id)
    }

    /// Writes down why it is to end.
    pub(crate) fn end(&mut self, reason: Reason, message: &str) {
        self.reason = Some(reason);
        self.message =
            message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_MESSAGE).collect();
    }

    /// Closes it if nothing of it is left.
    pub(crate) fn close(&mut self, now: Timestamp) -> bool {
        let over = self.reason.is_some() && self.ending().next().is_none();
        if over {
            self.confirmed_at = self.confirmed_at.or(Some(now));
        }
        over
    }
}

/// Why a launch cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Begin {
    /// Another is not over.
    #[error("launch {0} is not over; a claim has one machine at most: end it first")]
    Open(u32),
    /// Too many have cost something.
    #[error(
        "{MOST_LAUNCHES} machines were rented for this claim and none of them lasted; make another claim"
    )]
    Full,
}

/// The right to make the one call that rents what a record intends. It cannot be copied or kept: whoever lost it looks up
/// what happened instead.
#[derive(Debug)]
pub struct Permit {
    pub(crate) number: u32,
    pub(crate) intended_at: Timestamp,
}

/// What is persisted of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Every launch, the newest last; at most 16, those that cost nothing forgotten first.
    #[serde(default)]
    pub launches: Vec<Launch>,
}

impl Record {
    /// Writes down that a machine is to be rented. The caller persists the record before it uses the permit.
    ///
    /// # Errors
    /// [`Begin`]: nothing was written.
    pub fn begin(&mut self, intent: Intent, now: Timestamp) -> Result<Permit, Begin> {
        if let Some(open) = self.launches.iter().find(|launch| !launch.is_closed()) {
            return Err(Begin::Open(open.number));
        }
        if self.launches.len() >= MOST_LAUNCHES {
            let free = self.launches.iter().position(|launch| launch.machines().next().is_none());
            self.launches.remove(free.ok_or(Begin::Full)?);
        }
        let number = self.launches.last().map_or(0, |launch| launch.number) + 1;
        self.launches.push(Launch {
            number,
            provider: intent.offer.provider.clone(),
            offer: intent.offer,
            disk_gib: intent.disk_gib,
            bid: intent.bid,
            intended_at: now,
            doubtful_since: None,
            missed_at: None,
            machine: None,
            spares: Vec::new(),
            reason: None,
            message: String::new(),
            confirmed_at: None,
        });
        Ok(Permit { number, intended_at: now })
    }

    /// The newest launch that is not over. An older one can be open beside it only while a machine that came to light
    /// late is ended.
    pub fn open(&self) -> Option<&Launch> {
        self.launches.iter().rfind(|launch| !launch.is_closed())
    }

    /// The launch that is open for its own machine's sake.
    pub(crate) fn current_mut(&mut self) -> Option<&mut Launch> {
        self.launches.iter_mut().rfind(|launch| !launch.is_closed())
    }

    /// The machine that is rented now and is not to end, if it is known.
    pub fn kept(&self) -> Option<&Machine> {
        self.open().filter(|launch| launch.reason.is_none()).and_then(|launch| launch.machine.as_ref())
    }

    /// Whether no machine of this claim costs anything any more: its finalizer may go.
    pub fn is_closed(&self) -> bool {
        self.open().is_none()
    }

    /// Whether besides what it cost will not change any more.
    pub fn is_accounted(&self) -> bool {
        self.is_closed() && self.unaccounted().next().is_none()
    }

    /// Whether it is not known yet if there is a machine.
    pub fn is_doubtful(&self) -> bool {
        self.open().is_some_and(Launch::is_doubtful)
    }

    /// The Providers at which there is something to do: [`step()`](crate::step()) is called for each, with its driver.
    pub fn providers(&self) -> Vec<&str> {
        let open = self.launches.iter().filter(|launch| !launch.is_closed());
        let mut names: Vec<&str> = open
            .chain(self.unaccounted().map(|(launch, _)| launch))
            .map(|launch| launch.provider.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Machines that are over while what they cost may still change.
    pub fn unaccounted(&self) -> impl Iterator<Item = (&Launch, &Machine)> {
        let all =
            self.launches.iter().flat_map(|launch| launch.machines().map(move |machine| (launch, machine)));
        all.filter(|(_, machine)| machine.confirmed_at.is_some() && machine.accounted_at.is_none())
    }

    /// The machine of this Provider that has this id, and its launch.
    pub fn machine(&self, provider: &str, id: &InstanceId) -> Option<(&Launch, &Machine)> {
        let launches = self.launches.iter().filter(|launch| launch.provider == provider);
        launches
            .flat_map(|launch| launch.machines().map(move |machine| (launch, machine)))
            .find(|(_, m)| m.instance == *id)
    }

    /// Changes the machine of this Provider that has this id; afterwards its launch is closed if nothing of it is left.
    pub(crate) fn change(
        &mut self,
        provider: &str,
        id: &InstanceId,
        now: Timestamp,
        change: impl FnOnce(&mut Machine),
    ) {
        let mut launches = self.launches.iter_mut().filter(|launch| launch.provider == provider);
        if let Some(launch) = launches.find(|launch| launch.machines().any(|machine| machine.instance == *id))
        {
            if let Some(machine) = launch.machine_mut(id) {
                change(machine);
            }
            launch.close(now);
        }
    }

    /// Takes in a machine of this claim's name that the claim did not know, or took for ended: it is ended by the steps that
    /// follow, and paid for. False: nothing was changed, for it is known to live, or there is no launch at this Provider, no
    /// room, or a doubt that is going to find it.
    pub fn found(&mut self, provider: &str, instance: &Instance, now: Timestamp) -> bool {
        let launch = self.launches.iter_mut().rfind(|launch| {
            launch.provider == provider && launch.machines().any(|machine| machine.instance == instance.id)
        });
        if let Some(launch) = launch {
            let dead = launch.machine_mut(&instance.id).filter(|machine| machine.confirmed_at.is_some());
            let revived = dead.map(Machine::refute).is_some();
            if revived {
                launch.confirmed_at = None;
            }
            return revived;
        }
        let newest = self.launches.iter().rfind(|launch| launch.provider == provider);
        if newest.is_none_or(Launch::is_doubtful) {
            return false;
        }
        self.add_spare(provider, instance, now)
    }

    /// Writes down a further machine. It is rather one that was taken for never made than a second of the newest launch.
    pub(crate) fn add_spare(&mut self, provider: &str, instance: &Instance, now: Timestamp) -> bool {
        let here = |launch: &Launch| launch.provider == provider && launch.spares.len() < MOST_SPARES;
        let never =
            |launch: &Launch| launch.reason == Some(Reason::NeverMade) && launch.machines().next().is_none();
        let index = self.launches.iter().rposition(|launch| here(launch) && never(launch));
        let index = index.or_else(|| self.launches.iter().rposition(here));
        let Some(launch) = index.and_then(|index| self.launches.get_mut(index)) else { return false };
        launch.spares.push(Machine::new(instance, launch.intended_at, now));
        launch.confirmed_at = None;
        true
    }
}
