//! Pure: which pod a virtual node is for, and how far its container is.

use cooperator_api::common::Attempt;
use cooperator_api::node_claim::{NodeClaim, Shape};
use cooperator_core::time::Timestamp;
use cooperator_rental::{Launch, Record};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::domain::newest;
use crate::node_claim::dereference::World;

/// Label by which the Job controller marks its pods.
pub const JOB: &str = "batch.kubernetes.io/job-name";

/// Whether the claim's offer is a container: its node is a virtual one.
pub fn has_node(claim: &NodeClaim) -> bool {
    let status = claim.status.as_ref();
    status.is_some_and(|status| {
        status.node_name.is_some()
            && status.offer.as_ref().is_some_and(|offer| offer.shape == Shape::Container)
    })
}

/// Whether it takes a place of its pool, though nothing may be rented for it yet.
pub fn is_reserved(claim: &NodeClaim) -> bool {
    has_node(claim) && !crate::node_claim::wish::is_ending(claim)
}

/// The newest attempt that runs on this claim.
pub fn attempt<'a>(claim: &NodeClaim, world: &'a World) -> Option<&'a Attempt> {
    let attempts = world.tune.as_ref()?.status.as_ref()?.attempts.as_slice();
    attempts.iter().rfind(|attempt| attempt.node_claim.as_deref() == Some(&claim.name_any()))
}

/// The pod of that attempt on the claim's node, the newest if there are more.
pub fn pod<'a>(claim: &NodeClaim, world: &'a World) -> Option<&'a Pod> {
    let job = &attempt(claim, world)?.job;
    let all = world.pods.iter().chain(&world.ended);
    newest(all.filter(|pod| pod.labels().get(JOB) == Some(job)))
}

/// Until when a deleted pod may go on; none: it is not deleted.
pub fn leaves_at(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.deletion_timestamp.as_ref().map(|time| time.0)
}

/// The launch whose container ran: a claim has one such, and no other after it.
pub fn ran(record: &Record) -> Option<&Launch> {
    record.launches.iter().rfind(|launch| since(launch).is_some())
}

/// Since when the container of a launch runs, or ran.
pub fn since(launch: &Launch) -> Option<Timestamp> {
    launch.machine.as_ref()?.running_at
}

/// Whether no container works for the pod: none was rented, or the vendor has taken our word that it is to end.
pub fn is_gone(record: &Record) -> bool {
    record.open().is_none_or(|launch| {
        let ends = |machine: &cooperator_rental::Machine| machine.accepted_at.or(machine.gone_at).is_some();
        launch.reason.is_some() && launch.machine.as_ref().is_none_or(ends)
    })
}
