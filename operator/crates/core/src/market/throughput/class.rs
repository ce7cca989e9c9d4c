//! Machines that should be equally fast.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::market::offer::Offer;

/// A text that is no machine class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no class of machines; write `2x rtx-4090` or `8 cpu`")]
pub struct ClassError(String);

/// A class of machines that should be equally fast, written `2x rtx-4090` or `8 cpu`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineClass {
    /// By the GPUs that do the work.
    Gpus {
        /// Model, as [`crate::market::Gpus::model_name`] writes it.
        model: String,
        /// How many.
        count: u32,
    },
    /// By the whole CPUs that do the work, 1 or more.
    Cpus(u64),
}

impl MachineClass {
    /// The class of what a job that asks for so many GPUs uses of this offer: no more GPUs than it asks for, and where it
    /// asks for none, or there are none, the CPUs.
    pub fn of(offer: &Offer, gpus: u32) -> Self {
        match offer.gpus.as_ref().filter(|_| gpus > 0) {
            Some(has) => Self::Gpus { model: has.model.clone(), count: has.count.min(gpus) },
            None => Self::Cpus(cpus(offer)),
        }
    }

    /// What the vendor claims for the GPUs that such a job uses, in 10^9 operations a second.
    pub fn claim(offer: &Offer, gpus: u32) -> Option<u64> {
        let has = offer.gpus.as_ref().filter(|has| gpus > 0 && has.count > 0)?;
        let part = u128::from(offer.gigaflops?) * u128::from(has.count.min(gpus)) / u128::from(has.count);
        u64::try_from(part).ok().filter(|claim| *claim > 0)
    }
}

/// Whole CPUs, 1 or more.
pub(super) const fn cpus(offer: &Offer) -> u64 {
    if offer.cpu_millis < 1000 { 1 } else { offer.cpu_millis / 1000 }
}

impl fmt::Display for MachineClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpus { model, count } => write!(f, "{count}x {model}"),
            Self::Cpus(count) => write!(f, "{count} cpu"),
        }
    }
}

impl FromStr for MachineClass {
    type Err = ClassError;

    fn from_str(text: &str) -> Result<Self, ClassError> {
        let class = match (text.strip_suffix(" cpu"), text.split_once("x ")) {
            (Some(count), _) => count.parse().ok().map(Self::Cpus),
            (None, Some((count, model))) if !model.is_empty() => {
                count.parse().ok().map(|count| Self::Gpus { model: model.to_owned(), count })
            }
            _ => None,
        };
        class.ok_or_else(|| ClassError(text.chars().filter(|c| !c.is_control()).take(80).collect()))
    }
}

impl Serialize for MachineClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MachineClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
