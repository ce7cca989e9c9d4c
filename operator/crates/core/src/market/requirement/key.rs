//! What can be required of an offer.

use std::fmt;

use crate::market::offer::{CapacityType, Offer, Shape};

/// Most of what is counted, so that a number with a digit too many is noticed.
const MOST: u64 = 1_000_000_000;

/// A property of an offer that can be required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Name of the Provider object.
    Provider,
    /// The Provider's type: `Vast`, `Hetzner`.
    ProviderType,
    /// `spot` or `on-demand`.
    CapacityType,
    /// `machine` or `container`.
    Shape,
    /// The vendor's word for where it is.
    Region,
    /// As [`crate::market::Gpus::model_name`] writes it; values are brought into that form.
    GpuModel,
    /// How many GPUs.
    GpuCount,
    /// Memory of each GPU, in MiB.
    GpuMemory,
    /// Whole CPUs.
    Cpu,
    /// Memory in MiB.
    Memory,
    /// Most disk, in GiB.
    Disk,
    /// In basis points: 9900 is 99 %.
    Reliability,
    /// The vendor's name of the host.
    Host,
}

/// What a key's values are.
pub(super) enum Kind {
    Name,
    Model,
    Words(&'static [&'static str]),
    Number { unit: &'static str, most: u64 },
}

/// An offer's value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label<'a> {
    Number(u64),
    Text(&'a str),
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "`{text}`"),
        }
    }
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Provider,
        Self::ProviderType,
        Self::CapacityType,
        Self::Shape,
        Self::Region,
        Self::GpuModel,
        Self::GpuCount,
        Self::GpuMemory,
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Reliability,
        Self::Host,
    ];

    /// Its written form, a label's key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "cooperator.dev/provider",
            Self::ProviderType => "cooperator.dev/provider-type",
            Self::CapacityType => "cooperator.dev/capacity-type",
            Self::Shape => "cooperator.dev/shape",
            Self::Region => "topology.kubernetes.io/region",
            Self::GpuModel => "cooperator.dev/gpu-model",
            Self::GpuCount => "cooperator.dev/gpu-count",
            Self::GpuMemory => "cooperator.dev/gpu-memory",
            Self::Cpu => "cooperator.dev/cpu",
            Self::Memory => "cooperator.dev/memory",
            Self::Disk => "cooperator.dev/disk",
            Self::Reliability => "cooperator.dev/reliability",
            Self::Host => "cooperator.dev/host",
        }
    }

    /// The key of this written form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == text)
    }

    /// All written forms, for an error.
    pub(super) fn list() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Provider | Self::ProviderType | Self::Region | Self::Host => Kind::Name,
            Self::CapacityType => Kind::Words(&["spot", "on-demand"]),
            Self::Shape => Kind::Words(&["machine", "container"]),
            Self::GpuModel => Kind::Model,
            Self::GpuCount => Kind::Number { unit: "GPUs", most: MOST },
            Self::GpuMemory => Kind::Number { unit: "MiB a GPU", most: MOST },
            Self::Cpu => Kind::Number { unit: "CPUs", most: MOST },
            Self::Memory => Kind::Number { unit: "MiB", most: MOST },
            Self::Disk => Kind::Number { unit: "GiB", most: MOST },
            Self::Reliability => Kind::Number { unit: "basis points", most: 10_000 },
        }
    }

    /// What this offer says; `None`: nothing, as a label that is absent.
    pub(super) fn of<'a>(self, offer: &'a Offer, provider_type: &'a str) -> Option<Label<'a>> {
        let told = |text: &'a str| (!text.is_empty()).then_some(Label::Text(text));
        match self {
            Self::Provider => told(&offer.provider),
            Self::ProviderType => told(provider_type),
            Self::CapacityType => Some(Label::Text(match offer.capacity_type {
                CapacityType::OnDemand => "on-demand",
                CapacityType::Spot => "spot",
            })),
            Self::Shape => Some(Label::Text(match offer.shape {
                Shape::Machine => "machine",
                Shape::Container => "container",
            })),
            Self::Region => told(&offer.region),
            Self::GpuModel => offer.gpus.as_ref().and_then(|gpus| told(&gpus.model)),
            Self::GpuCount => offer.gpus.as_ref().map(|gpus| Label::Number(u64::from(gpus.count))),
            Self::GpuMemory => offer.gpus.as_ref().map(|gpus| Label::Number(gpus.memory_mib)),
            Self::Cpu => Some(Label::Number(offer.cpu_millis / 1000)),
            Self::Memory => Some(Label::Number(offer.memory_mib)),
            Self::Disk => Some(Label::Number(offer.disk_gib)),
            Self::Reliability => offer.reliability.map(|points| Label::Number(u64::from(points.get()))),
            Self::Host => offer.host.as_ref().and_then(|host| told(&host.0)),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
