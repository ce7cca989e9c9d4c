//! What is for rent.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::terms::Terms;
use crate::basis_points::BasisPoints;

/// Texts that only their vendor understands.
macro_rules! opaque {
    ($($(#[$doc:meta])+ $name:ident),+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )+};
}

opaque! {
    /// What a vendor calls one thing that can be rented: an ask of Vast.ai, `type@region` elsewhere.
    OfferId,
    /// A machine that stays the same whoever rents it, where the vendor tells one host from another.
    HostId
}

/// What a rented thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Shape {
    /// A machine of its own, virtual or real, that runs user-data at its first start: it can be a node.
    Machine,
    /// One container on somebody's machine: it can be one pod.
    Container,
}

/// How firmly it is rented; Karpenter's `capacity-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CapacityType {
    /// Until the tenant ends it.
    OnDemand,
    /// Until somebody pays more, or the vendor needs it.
    Spot,
}

/// Graphics processors, all alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpus {
    /// The model in the vendor-neutral form of [`Gpus::model_name`]: `rtx-4090`, `h100-sxm`.
    pub model: String,
    /// How many, 1 or more.
    pub count: u32,
    /// Memory of each, in MiB.
    pub memory_mib: u64,
}

impl Gpus {
    /// A model's name as every driver writes it: lower case, maker and filler words gone, parts joined by `-`, so that
    /// `NVIDIA GeForce RTX 4090`, `RTX 4090` and `RTX_4090` are one model.
    pub fn model_name(vendor: &str) -> String {
        const FILLER: [&str; 5] = ["nvidia", "geforce", "tesla", "amd", "gpu"];
        let lower = vendor.to_lowercase();
        let words = lower.split(|character: char| !character.is_ascii_alphanumeric());
        let kept: Vec<&str> = words.filter(|word| !word.is_empty() && !FILLER.contains(word)).collect();
        kept.join("-")
    }
}

/// One thing that can be rented now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Name of the Provider object that offers it.
    pub provider: String,
    /// The vendor's name for it.
    pub id: OfferId,
    /// The machine it is on, where the vendor tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The vendor's word for where it is: `US`, `fsn1`, `us-east-1`. Empty: it does not tell.
    #[serde(default)]
    pub region: String,
    /// Machine or container.
    pub shape: Shape,
    /// On demand or spot. What can be had either way is two offers.
    pub capacity_type: CapacityType,
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Most disk that can be asked for, in GiB; where the vendor gives a fixed disk, that.
    pub disk_gib: u64,
    /// Its GPUs, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// What the vendor claims for all GPUs together, in 10^9 floating-point operations a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gigaflops: Option<u64>,
    /// How often it kept its word, where the vendor tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliability: Option<BasisPoints>,
    /// When it must be given back, where the vendor tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What it costs. Of a spot offer, `hourly` is the lowest bid that would be taken now.
    pub terms: Terms,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_one_name_however_its_vendor_writes_it() {
        for written in ["NVIDIA GeForce RTX 4090", "RTX 4090", "RTX_4090", "rtx-4090"] {
            assert_eq!(Gpus::model_name(written), "rtx-4090", "{written}");
        }
        assert_eq!(Gpus::model_name("NVIDIA H100 80GB HBM3"), "h100-80gb-hbm3");
        assert_eq!(Gpus::model_name("Tesla V100"), "v100");
    }
}
