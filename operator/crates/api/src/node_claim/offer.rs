//! The offer that a NodeClaim took.

use cooperator_core::market;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was taken, and for how much.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedOffer {
    /// The vendor's name for it.
    pub id: String,
    /// The machine it is on, where the vendor tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The vendor's word for where it is. Empty: it does not tell.
    #[serde(default)]
    pub region: String,
    /// Machine or Container.
    pub shape: Shape,
    /// OnDemand or Spot.
    pub capacity_type: CapacityType,
    /// Thousandths of a CPU.
    pub cpu_millis: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Disk in GiB.
    pub disk_gib: i64,
    /// Its GPUs, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<OfferedGpus>,
    /// What an hour costs, disk included, decimal string in the treasury's currency.
    pub price_per_hour: String,
    /// What its throughput is remembered by: `2x rtx-4090`, `8 cpu`.
    #[serde(default)]
    pub machine: String,
}

/// GPUs, all alike.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferedGpus {
    /// Model: `rtx-4090`.
    pub model: String,
    /// How many.
    pub count: i32,
    /// Memory of each in MiB.
    pub memory_mib: i64,
}

/// What a rented thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Shape {
    /// A machine of its own: it can be a node.
    Machine,
    /// One container on somebody's machine: it can be one pod.
    Container,
}

impl From<market::Shape> for Shape {
    fn from(shape: market::Shape) -> Self {
        match shape {
            market::Shape::Machine => Self::Machine,
            market::Shape::Container => Self::Container,
        }
    }
}

impl From<Shape> for market::Shape {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Machine => Self::Machine,
            Shape::Container => Self::Container,
        }
    }
}

/// How firmly it is rented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum CapacityType {
    /// Until it is given back.
    OnDemand,
    /// Until somebody pays more, or the vendor needs it.
    Spot,
}

impl From<market::CapacityType> for CapacityType {
    fn from(kind: market::CapacityType) -> Self {
        match kind {
            market::CapacityType::OnDemand => Self::OnDemand,
            market::CapacityType::Spot => Self::Spot,
        }
    }
}

impl From<CapacityType> for market::CapacityType {
    fn from(kind: CapacityType) -> Self {
        match kind {
            CapacityType::OnDemand => Self::OnDemand,
            CapacityType::Spot => Self::Spot,
        }
    }
}
