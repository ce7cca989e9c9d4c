//! The loss of each step, as it is kept and drawn.

use serde::{Deserialize, Serialize};

/// A step and its mean training loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    /// From 1.
    pub step: u64,
    /// Nats a token, six digits: the same text from a run and from its checkpoint.
    pub loss: String,
}

impl Point {
    pub(super) fn new(step: u64, loss: f64) -> Self {
        Self { step, loss: format!("{loss:.6}") }
    }

    /// For drawing.
    pub(super) fn at(&self) -> (f64, f64) {
        (self.step as f64, self.loss.parse().unwrap_or(f64::NAN))
    }
}
