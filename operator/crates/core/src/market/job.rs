//! What is to be done, and within which bounds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::exchange::ExchangeRate;
use super::offer::{HostId, OfferId, Shape};
use super::requirement::Requirements;
use crate::basis_points::BasisPoints;
use crate::money::{Amount, PricePerHour};

/// What a machine must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Needs {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk that is asked for and paid for, in GiB.
    pub disk_gib: u64,
    /// GPUs; 0: it works on the CPUs.
    pub gpus: u32,
    /// Memory of each GPU in MiB, where that matters; of no account without GPUs.
    pub gpu_memory_mib: Option<u64>,
}

/// How much is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Tokens still to be trained on.
    pub tokens: u64,
    /// Floating-point operations a token takes; 0: not known.
    pub flops_per_token: u64,
}

/// A job that looks for a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// What the machine must have.
    pub needs: Needs,
    /// How much is to be done on it.
    pub work: Work,
    /// Digest of the base model as text: throughput is remembered by it.
    pub base_model: String,
    /// Seconds before the first step, paid for as well: image, base model and data are fetched and loaded, the machine is
    /// tried.
    pub setup_seconds: u64,
    /// Most seconds of work between two checkpoints: what an interruption undoes.
    pub checkpoint_seconds: u64,
    /// Bytes that the machine sends in all.
    pub up_bytes: u64,
    /// Bytes that the machine fetches at each start.
    pub down_bytes: u64,
}

/// Whether what can be taken away again is good enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Spot {
    /// No.
    #[default]
    Never,
    /// Where the job is expected to cost less there, interruptions included.
    Prefer,
    /// Nothing else is taken.
    Only,
}

/// A provider that may be rented from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seller {
    /// The Provider's type: `Vast`, `Hetzner`.
    pub kind: String,
    /// Which of two equal offers is taken: that of the higher weight.
    pub weight: u32,
    /// From its currency into the treasury's, in which all bounds are.
    pub exchange: ExchangeRate,
    /// Why nothing is rented there now, in a few words (`paused until 12:00`); `None`: it is open.
    pub closed: Option<String>,
    /// Most that a machine there may cost an hour with its disk, in the treasury's currency, besides
    /// [`Bounds::most_per_hour`].
    pub most_per_hour: Option<PricePerHour>,
    /// Hosts that are not to be used.
    pub blocked_hosts: BTreeSet<HostId>,
    /// Offers that are not to be used: those that were tried in vain.
    pub blocked_offers: BTreeSet<OfferId>,
}

/// Within which bounds a machine is looked for. All money is in the treasury's currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Most that the machine may cost an hour with its disk.
    pub most_per_hour: Option<PricePerHour>,
    /// Most that the job may be expected to cost.
    pub budget_left: Option<Amount>,
    /// Most seconds that the job may be expected to take, from the machine's start.
    pub deadline_seconds: Option<u64>,
    /// Whether spot offers are taken.
    pub spot: Spot,
    /// How far a bid goes above the lowest that would be taken.
    pub bid_headroom: BasisPoints,
    /// What is required of an offer.
    pub requirements: Requirements,
    /// The only shape that will do; `None`: either.
    pub shape: Option<Shape>,
    /// The providers, by name of the Provider object. Offers of others are not taken.
    pub sellers: BTreeMap<String, Seller>,
}
