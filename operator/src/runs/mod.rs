//! Runs: an import, an ingest, a training, a settlement. A run is a chain of attempts; an attempt is one Job of one
//! pod that is never restarted. Attempts are ours, not the Job's, so that each has its own number (a later one
//! fences out an earlier one) and its own token.
//!
//! `state` and `next` are pure: what the cluster says, and what follows. `advance` alone has a client.

mod advance;
mod build;
mod failure;
mod next;
mod plan;
mod secure;
mod state;
mod token;

#[cfg(test)]
mod tests;

pub use advance::{Error, Phase, advance, spoil, stop, stopping, token_of};
pub use build::{QUEUE_LABEL, RUN_FILE, TOKEN_KEY};
pub use failure::{Failure, FailureKind};
pub use next::{Rules, Silence, given_up, is_unfit, newest};
pub use plan::{Bucket, Machine, Owner, Plan, Program, Shape, Site, StorageAccess, claim_of, short};
pub use secure::{secret_variable, secure_container, secure_pod};
pub use state::{Activity, Product, Waiting, outcome, waiting};

use crate::domain::Hold;

/// Why a run has no product yet, as a condition reason and a line. `busy` says what an attempt does while its pod runs.
pub fn explain(phase: &Phase, busy: (&str, &str)) -> Hold {
    match phase {
        Phase::Begun => Hold::new("Starting", "the attempt is written down; its Job is made next"),
        Phase::Active(Activity { waiting: Some(waiting), .. }) => {
            Hold::new(waiting.reason, waiting.message.clone())
        }
        Phase::Active(Activity { waiting: None, .. }) | Phase::Produced(_) => Hold::new(busy.0, busy.1),
        Phase::Condemned(failure) | Phase::Draining(Some(failure)) | Phase::GivenUp(failure) => {
            Hold::new(failure.kind.to_string(), failure.message.clone())
        }
        Phase::Draining(None) => Hold::new("Stopping", "the pod writes a checkpoint and ends"),
        Phase::Held => Hold::new("Suspended", "spec.suspend is true: set it to false to go on"),
        Phase::Paused { failure, at } => {
            let at = cooperator_core::time::whole_second(*at);
            Hold::new(failure.kind.to_string(), format!("{} (next attempt at {at})", failure.message))
        }
    }
}

/// How long to wait before looking again; none: something else wakes the reconcile.
pub fn look_again(phase: &Phase, now: jiff::Timestamp) -> Option<std::time::Duration> {
    match phase {
        Phase::Begun | Phase::Condemned(_) => Some(std::time::Duration::from_millis(100)),
        Phase::Paused { at, .. } | Phase::Active(Activity { hung_at: Some(at), .. }) => {
            Some(at.duration_since(now).try_into().unwrap_or_default())
        }
        Phase::Active(_) | Phase::Draining(_) | Phase::Held | Phase::Produced(_) | Phase::GivenUp(_) => None,
    }
}
