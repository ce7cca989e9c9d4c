use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_core::digest::Digest;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::runs::failure::FailureKind;
use crate::runs::state::{State, state};

fn job(conditions: Value) -> Job {
    serde_json::from_value(json!({ "metadata": { "name": "run-1" }, "status": { "conditions": conditions } }))
        .unwrap()
}

fn complete() -> Job {
    job(json!([{ "type": "Complete", "status": "True", "lastTransitionTime": "2026-11-24T12:00:09Z" }]))
}

fn gone_wrong(reason: &str) -> Job {
    job(json!([{ "type": "Failed", "status": "True", "reason": reason }]))
}

fn pod(status: Value) -> Pod {
    let metadata = json!({ "name": "run-1-x", "creationTimestamp": "2026-11-24T12:00:00Z" });
    serde_json::from_value(
        json!({ "metadata": metadata, "spec": { "nodeName": "node0", "containers": [] }, "status": status }),
    )
    .unwrap()
}

fn terminated(reason: &str, code: i32, message: Option<&Outcome>) -> Pod {
    let message = message.map(Outcome::to_termination_message);
    pod(json!({ "containerStatuses": [{
        "name": "train", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "reason": reason, "exitCode": code, "message": message } },
    }] }))
}

fn failure(job: &Job, pods: &[Pod]) -> FailureKind {
    let State::Ended(ending) = state(Some(job), pods) else { panic!("{:?}", state(Some(job), pods)) };
    ending.result.unwrap_err().kind
}

fn waits(status: Value) -> &'static str {
    let State::Active(activity) = state(Some(&job(json!([]))), &[pod(status)]) else { panic!() };
    activity.waiting.unwrap().reason
}

fn held(reason: &str) -> Value {
    json!({ "phase": "Pending", "containerStatuses": [{
        "name": "train", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": reason, "message": "no such image\nat all" } },
    }] })
}

#[test]
fn a_job_that_is_complete_gives_the_product_its_pod_names() {
    let outcome = Outcome::Succeeded { digest: Digest::of(b"x"), key: "k".into() };
    let State::Ended(ending) = state(Some(&complete()), &[terminated("Completed", 0, Some(&outcome))]) else {
        panic!()
    };
    assert_eq!(ending.result.unwrap().digest, Digest::of(b"x"));
    assert_eq!(ending.node.as_deref(), Some("node0"));
    assert_eq!(ending.at.unwrap().to_string(), "2026-11-24T12:00:09Z");
}

#[test]
fn a_job_that_is_complete_but_tells_nothing_is_no_success() {
    assert_eq!(failure(&complete(), &[]), FailureKind::Crashed);
    assert_eq!(failure(&complete(), &[terminated("Completed", 0, None)]), FailureKind::Crashed);
}

#[test]
fn what_the_run_says_of_itself_is_the_reason() {
    let outcome = Outcome::Failed { reason: FailureReason::LossNotFinite, message: "step 7".into() };
    let kind = failure(&gone_wrong("BackoffLimitExceeded"), &[terminated("Error", 2, Some(&outcome))]);
    assert_eq!(kind, FailureKind::Run(FailureReason::LossNotFinite));
}

#[test]
fn each_fault_of_the_cluster_has_its_own_reason() {
    let lost = gone_wrong("BackoffLimitExceeded");
    assert_eq!(failure(&lost, &[terminated("OOMKilled", 137, None)]), FailureKind::OutOfMemory);
    assert_eq!(failure(&lost, &[terminated("Error", 101, None)]), FailureKind::Crashed);
    assert_eq!(
        failure(&lost, &[pod(json!({ "reason": "Evicted", "message": "disk" }))]),
        FailureKind::Evicted
    );
    let condition = |reason: &str| json!({ "conditions": [{ "type": "DisruptionTarget", "status": "True", "reason": reason }] });
    assert_eq!(failure(&lost, &[pod(condition("PreemptionByScheduler"))]), FailureKind::Evicted);
    assert_eq!(failure(&lost, &[pod(condition("DeletionByPodGC"))]), FailureKind::NodeLost);
    assert_eq!(failure(&lost, &[]), FailureKind::NodeLost);
}

#[test]
fn a_deadline_explains_the_sigterm_it_sends() {
    let outcome = Outcome::Failed { reason: FailureReason::Interrupted, message: "SIGTERM".into() };
    let kind = failure(&gone_wrong("DeadlineExceeded"), &[terminated("Error", 1, Some(&outcome))]);
    assert_eq!(kind, FailureKind::DeadlineExceeded);
}

#[test]
fn what_a_pod_waits_for_is_named() {
    assert_eq!(waits(held("ImagePullBackOff")), "ImagePullFailed");
    assert_eq!(waits(held("CreateContainerConfigError")), "ContainerRefused");
    assert_eq!(waits(held("ContainerCreating")), "Starting");
    let unschedulable = json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu" }] });
    assert_eq!(waits(unschedulable), "Unschedulable");
}

#[test]
fn a_message_of_the_cluster_stays_one_line() {
    let State::Active(activity) = state(Some(&job(json!([]))), &[pod(held("ErrImagePull"))]) else {
        panic!()
    };
    let message = activity.waiting.unwrap().message;
    assert!(message.contains("(no such image)") && !message.contains('\n'), "{message}");
}

#[test]
fn a_job_under_deletion_is_stopping_and_a_missing_one_missing() {
    let mut job = complete();
    job.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-24T12:00:00Z")).unwrap();
    assert_eq!(state(Some(&job), &[]), State::Stopping);
    assert_eq!(state(None, &[]), State::Missing);
}

#[test]
fn the_newest_of_several_pods_speaks() {
    let outcome = Outcome::Succeeded { digest: Digest::of(b"x"), key: "k".into() };
    let mut newest = terminated("Completed", 0, Some(&outcome));
    newest.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-24T12:05:00Z")).unwrap();
    let State::Ended(ending) = state(Some(&complete()), &[newest, terminated("Error", 1, None)]) else {
        panic!()
    };
    assert!(ending.result.is_ok());
}
