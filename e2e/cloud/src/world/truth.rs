//! What a machine really is, for whoever checks what the APIs say.

use std::collections::BTreeMap;

use cooperator_core::money::{MoneyError, PricePerHour};
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::instance::{Instance, Phase};
use crate::backend::Key;
use crate::bill::Bill;
use crate::vendor::Vendor;

/// A machine as it really is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Which.
    pub key: Key,
    /// Whose.
    pub vendor: Vendor,
    /// The vendor's id of it.
    pub id: String,
    /// The tenant's name or label of it.
    pub name: String,
    /// Labels or tags.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub phase: Phase,
    /// Whether what it was told to run runs and can be reached.
    pub works: bool,
    /// Whether it still costs, or may cost again.
    pub alive: bool,
    /// Whether reads show it.
    pub visible: bool,
    /// Whether it is let to the highest bid.
    pub spot: bool,
    /// An hour of it, disk aside.
    pub hourly: PricePerHour,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last began to run.
    pub running: Option<Timestamp>,
    /// When it will be taken away, as it was told: what a program on the machine would read from its vendor.
    pub notice: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it has cost.
    pub bill: Bill,
}

impl Machine {
    /// A machine at an instant.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn of(instance: &Instance, at: Timestamp) -> Result<Self, MoneyError> {
        Ok(Self {
            key: instance.key,
            vendor: instance.order.vendor,
            id: instance.id.clone(),
            name: instance.order.name.clone(),
            labels: instance.order.labels.clone(),
            phase: instance.phase,
            works: instance.works(),
            alive: instance.is_alive(),
            visible: instance.visible,
            spot: instance.order.bid.is_some(),
            hourly: instance.order.hourly,
            created: instance.created,
            running: instance.running,
            notice: instance.notice,
            ended: instance.ended,
            bill: instance.meter.bill(at)?,
        })
    }
}
