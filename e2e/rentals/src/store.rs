//! What stands for Kubernetes: objects with versions, changed by compare-and-swap.

use std::collections::BTreeMap;

use cooperator_core::time::Timestamp;
use cooperator_rental::{Line, Record, Strays};

/// Somebody else has changed the object meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object was changed meanwhile")]
pub struct Conflict;

/// An object and its version.
#[derive(Clone, Debug, Default)]
pub struct Object<T> {
    /// Counts its changes.
    pub version: u64,
    /// What it holds.
    pub value: T,
}

impl<T> Object<T> {
    /// Changes it, if nobody else has since `version` was read.
    ///
    /// # Errors
    /// [`Conflict`]
    pub fn put(&mut self, version: u64, value: T) -> Result<(), Conflict> {
        if version != self.version {
            return Err(Conflict);
        }
        self.version += 1;
        self.value = value;
        Ok(())
    }

    /// Somebody else changes something of it that does not matter here.
    pub fn touch(&mut self) {
        self.version += 1;
    }
}

/// A claim.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Its status.
    pub record: Object<Record>,
    /// Whether it is being deleted, and is there only until its machine is gone.
    pub ending: bool,
    /// Whether the object itself is gone, and the operator saw it go: its record is kept until its machine is gone.
    pub departed: bool,
}

/// All objects.
#[derive(Debug, Default)]
pub struct Store {
    /// Claims by number.
    pub claims: BTreeMap<usize, Claim>,
    /// Of each provider: machines that had no claim.
    pub strays: BTreeMap<String, Object<Strays>>,
    /// What claims cost that are gone.
    pub ledger: Vec<Line>,
    /// When claims went, by number.
    pub gone: BTreeMap<usize, Timestamp>,
}
