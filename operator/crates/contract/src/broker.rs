//! Access to object storage for a run on a machine that is not trusted with a key: it asks the operator for each thing
//! it wants to do, and gets a URL that does that and nothing else, for minutes.
//!
//! `POST .../runs/<uid>/storage` takes an [`Ask`] with the token of the attempt and answers a [`Granted`]: all that was
//! asked for, in that order, or nothing. What an attempt may ask for is its [`Scope`].

mod scope;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use cooperator_core::digest::Digest;
use serde::{Deserialize, Serialize};

pub use scope::{Condition, OutOfScope, Scope};

/// Most requests in one [`Ask`].
pub const MOST_REQUESTS: usize = 64;
/// Longest key, prefix or continuation token in bytes.
pub const MOST_TEXT: usize = 1024;
/// Largest object that one [`Request::Put`] writes, which is S3's bound on a single call: 5 GiB.
pub const MOST_BYTES: u64 = 5 << 30;

/// What one attempt wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    /// The attempt that asks; an older one is refused.
    pub attempt: u32,
    /// 1 to [`MOST_REQUESTS`].
    pub requests: Vec<Request>,
}

/// One thing to do with an object. Keys are those of [`crate::layout`], without the Collective's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Read it, whole or a range.
    Get {
        /// The object.
        key: String,
    },
    /// Ask for its size.
    Head {
        /// The object.
        key: String,
    },
    /// Write it.
    Put {
        /// The object.
        key: String,
        /// Its bytes, at most [`MOST_BYTES`]; no other number is taken.
        size: u64,
        /// Their digest; other bytes are not taken.
        sha256: Digest,
    },
    /// Remove it.
    Delete {
        /// The object.
        key: String,
    },
    /// A page of a listing.
    List {
        /// What every key begins with.
        prefix: String,
        /// Where the page before ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        continuation: Option<String>,
    },
}

impl Request {
    /// The key or prefix it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Get { key } | Self::Head { key } | Self::Put { key, .. } | Self::Delete { key } => key,
            Self::List { prefix, .. } => prefix,
        }
    }
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Granted {
    /// One a request, in their order.
    pub grants: Vec<Grant>,
}

/// A URL that does one [`Request`]. It is a secret: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Where to send the request.
    pub url: String,
    /// What to send with it; the URL works with these values alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How long it works from when it was asked for, whatever the clock of the machine shows.
    pub lifetime_seconds: u64,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("lifetime_seconds", &self.lifetime_seconds).finish_non_exhaustive()
    }
}
