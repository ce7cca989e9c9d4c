//! Whose API it is, and what is asked of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A vendor of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Vast.ai.
    Vast,
    /// RunPod, REST v2.
    RunPod,
    /// Lambda Cloud.
    Lambda,
    /// Hetzner Cloud.
    Hetzner,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vast, Self::RunPod, Self::Lambda, Self::Hetzner];

    /// The first part of the path under which it answers: its base URL is the server's, `/` and this.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Vast => "vast",
            Self::RunPod => "runpod",
            Self::Lambda => "lambda",
            Self::Hetzner => "hetzner",
        }
    }

    /// The API key that a server takes unless it is told another.
    pub const fn default_key(self) -> &'static str {
        match self {
            Self::Vast => "vast-key",
            Self::RunPod => "runpod-key",
            Self::Lambda => "lambda-key",
            Self::Hetzner => "hetzner-key",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.prefix())
    }
}

/// Not a vendor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no vendor; it is one of vast, runpod, lambda, hetzner")]
pub struct NoVendor(String);

impl FromStr for Vendor {
    type Err = NoVendor;

    fn from_str(text: &str) -> Result<Self, NoVendor> {
        let found = Self::ALL.into_iter().find(|vendor| vendor.prefix() == text);
        found.ok_or_else(|| NoVendor(text.chars().take(40).collect()))
    }
}

/// What a call asks for. Faults and limits go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// What is for rent.
    Offers,
    /// To rent a machine.
    Create,
    /// One machine.
    Get,
    /// All machines.
    List,
    /// To give a machine back.
    Delete,
    /// To stop, start or rename a machine.
    Update,
    /// To change a bid.
    Bid,
    /// What was charged.
    Billing,
    /// Anything else.
    Other,
}

impl Verb {
    /// Whether it changes something.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Create | Self::Delete | Self::Update | Self::Bid)
    }
}
