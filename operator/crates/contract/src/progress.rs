//! Progress of a run, posted to the operator: the fields of Kubeflow Trainer's `trainerStatus`.

use serde::{Deserialize, Serialize};

use crate::preflight::Measured;

/// Body of `POST .../runs/<uid>/progress`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// The attempt that reports; a report of an older attempt is refused.
    pub attempt: u32,
    /// What is being done now, a short word for people: `downloading`, `training`, `evaluating`.
    pub phase: String,
    /// 0 to 100.
    pub progress_percentage: u8,
    /// Seconds until the run ends, where it can be estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_remaining_seconds: Option<u64>,
    /// Steps done and to do, where the run has steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Steps>,
    /// Training loss of the last step in nats, as a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Throughput since the last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<u64>,
    /// What the machine was measured at, from then on in every report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Measured>,
    /// Nothing is new: it only asks whether it is to stop.
    #[serde(default, skip_serializing_if = "is_false")]
    pub heartbeat: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a report is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// It is to stop, as SIGTERM says it: save, and end as interrupted. A vendor's host passes no signal on.
    #[serde(default)]
    pub stop: bool,
}

/// Steps done and to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Steps {
    /// Optimiser steps done.
    pub done: u64,
    /// Optimiser steps in all.
    pub total: u64,
}
