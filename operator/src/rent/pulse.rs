//! When virtual nodes were last said to live: a Lease is renewed now and then, not at every look.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cooperator_core::time::{SignedDuration, Timestamp};

/// Between two renewals: as kubelets have it.
pub const INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The last renewal of each node.
#[derive(Default)]
pub struct Pulse(Mutex<HashMap<String, Timestamp>>);

impl Pulse {
    /// Whether a node is to be said to live.
    pub fn is_due(&self, node: &str, now: Timestamp) -> bool {
        self.all().get(node).is_none_or(|last| now.duration_since(*last) >= INTERVAL)
    }

    /// It was said now.
    pub fn beat(&self, node: &str, now: Timestamp) {
        self.all().insert(node.to_owned(), now);
    }

    /// A node is gone.
    pub fn forget(&self, node: &str) {
        self.all().remove(node);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
