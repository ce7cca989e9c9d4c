//! Machines without a claim, and machines that their claim does not know. Pure: instances are listed *first*, then claims
//! are read, so that a claim's intent is always seen of a machine that is listed.

use std::collections::BTreeMap;
use std::time::Duration;

use cooperator_core::time::Timestamp;
use cooperator_providers::{Instance, InstanceId, InstanceName, State, Tenant};

use crate::record::{Launch, MOST_SPARES, Record};
use crate::times::after;

/// Why a machine is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// There is no such claim, or its record has forgotten that it ever rented here.
    NoClaim,
    /// Its claim has another, or wants none any more, and does not know of this one.
    Double,
    /// Its claim takes it for ended.
    Revived,
}

/// A machine that is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub instance: Instance,
    /// Why.
    pub why: Why,
}

impl Verdict {
    /// Whether its claim ends it and pays for it, once it was given to [`Record::found`]. Otherwise whoever collects does.
    pub fn is_of_claim(&self) -> bool {
        self.why != Why::NoClaim
    }
}

/// What a claim holds at one Provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    /// Its machines, and until when those are paid for that are closed.
    machines: BTreeMap<InstanceId, Option<Timestamp>>,
    /// It does not know yet whether it has one, and looks itself.
    doubtful: bool,
    /// It can take in one more.
    takes: bool,
}

impl Held {
    fn of(provider: &str, record: &Record) -> Self {
        let launches: Vec<&Launch> =
            record.launches.iter().filter(|launch| launch.provider == provider).collect();
        let machines = launches.iter().flat_map(|launch| launch.machines());
        Self {
            machines: machines
                .map(|machine| {
                    let closed = machine.confirmed_at.map(|at| machine.ended_at.unwrap_or(at).max(at));
                    (machine.instance.clone(), closed)
                })
                .collect(),
            doubtful: launches.iter().any(|launch| launch.is_doubtful()),
            takes: launches.last().is_some_and(|launch| launch.spares.len() < MOST_SPARES),
        }
    }
}

/// What all claims hold at one Provider, read after its machines were listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live(BTreeMap<InstanceName, Held>);

impl Live {
    /// Of all claims there are, by the names of their machines: also of those that are being deleted.
    pub fn of<'a>(provider: &str, claims: impl IntoIterator<Item = (InstanceName, &'a Record)>) -> Self {
        Self(claims.into_iter().map(|(name, record)| (name, Held::of(provider, record))).collect())
    }

    /// Whether the claim of this name knows this machine.
    pub(crate) fn knows(&self, name: &InstanceName, id: &InstanceId) -> bool {
        self.0.get(name).is_some_and(|held| held.machines.contains_key(id))
    }

    /// Why a machine is to be ended. None: it is not, or its claim sees to that.
    pub(crate) fn judge(
        &self,
        name: &InstanceName,
        id: &InstanceId,
        settles: Duration,
        now: Timestamp,
    ) -> Option<Why> {
        let Some(held) = self.0.get(name) else { return Some(Why::NoClaim) };
        match held.machines.get(id) {
            // A list may be late by so much.
            Some(Some(closed)) => (after(*closed, settles) <= now).then_some(Why::Revived),
            Some(None) => None,
            None if held.doubtful => None,
            None if held.machines.is_empty() && !held.takes => Some(Why::NoClaim),
            None => held.takes.then_some(Why::Double),
        }
    }
}

/// Which of `instances`, listed before `live` was read, are to be ended. Those of other tenants never are.
pub fn orphans(
    tenant: &Tenant,
    instances: &[Instance],
    live: &Live,
    settles: Duration,
    now: Timestamp,
) -> Vec<Verdict> {
    let ours = instances.iter().filter(|instance| instance.name.tenant() == tenant);
    ours.filter_map(|instance| {
        let why = live.judge(&instance.name, &instance.id, settles, now)?;
        // One that is over is paid for by a claim that did not know it; without a claim it was some claim's, in its time.
        let matters = instance.state != State::Over || why == Why::Double;
        matters.then(|| Verdict { instance: instance.clone(), why })
    })
    .collect()
}
