//! Pure: whether a claim's container is to be kept. Its pod decides: it goes when that has ended or was deleted.

use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use cooperator_rental::{Reason, Record, Wish};
use k8s_openapi::api::core::v1::Pod;

use super::work;
use crate::domain::has_ended;
use crate::node_claim::dereference::World;
use crate::node_claim::wish::Intention;

/// How long a pod waits for a container that runs. Then its run goes on on another claim, which may be a machine's.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// Decides, where nothing else ends the claim.
pub fn intention(claim: &NodeClaim, world: &World, record: &Record, now: Timestamp) -> Intention {
    let end = |is_over: bool| {
        move |reason: Reason, message: String| Intention { wish: Wish::End { reason, message }, is_over }
    };
    let (over, next) = (end(true), end(false));
    if work::attempt(claim, world).is_some_and(|attempt| attempt.ended_at.is_some()) {
        return over(Reason::Released, "its run has ended".into());
    }
    let pod = work::pod(claim, world);
    let is_done = pod.is_some_and(has_ended);
    // One that has run is not replaced: its work goes on elsewhere, on a claim of its own.
    let lost = work::ran(record).and_then(|launch| Some((launch.reason?, launch.message.clone())));
    if let Some((reason, message)) = lost.filter(|_| !is_done) {
        return over(reason, message);
    }
    if record.is_closed() {
        return match pod.filter(|pod| !is_done && is_late(pod, now)) {
            Some(_) => {
                let message = format!("no container ran for its pod within {} min", PATIENCE.as_mins());
                over(Reason::NoCapacity, message)
            }
            None => Intention { wish: Wish::Keep, is_over: false },
        };
    }
    match pod {
        None => next(Reason::Released, "its pod is gone".into()),
        Some(_) if is_done => next(Reason::Released, "its pod has ended".into()),
        Some(pod) if work::leaves_at(pod).is_some_and(|at| at <= now) => {
            next(Reason::Released, "its pod was deleted, and its grace is over".into())
        }
        Some(_) => Intention { wish: Wish::Keep, is_over: false },
    }
}

fn is_late(pod: &Pod, now: Timestamp) -> bool {
    let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    made.is_some_and(|made| now >= later(made, PATIENCE))
}
