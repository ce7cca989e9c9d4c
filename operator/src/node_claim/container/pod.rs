//! Pure: the status of a pod whose container is at a vendor, as a kubelet would tell it.

use cooperator_contract::outcome::Outcome;
use cooperator_core::time::{Timestamp, whole_second};
use cooperator_rental::{Record, Wish};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde_json::{Value, json};

use super::launch::REFUSED;
use super::work;
use crate::domain::{Hold, has_ended};
use crate::node_claim::wish::Intention;

/// Exit code of a process that was killed.
const KILLED: u8 = 137;

/// Where a pod's container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None runs yet, in words.
    Starting(String),
    /// None can, in words.
    Refused(String),
    /// It runs since then.
    Running(Timestamp),
    /// Its host is gone, in words.
    Lost(String),
}

/// Looks at what is rented for the pod.
pub fn standing(record: &Record, intention: &Intention, hold: Option<&Hold>) -> Standing {
    // That it is lost is said of the claim first, which knows why: its FineTune goes on elsewhere for that reason.
    if let Some((launch, since)) = work::ran(record).and_then(|launch| Some((launch, work::since(launch)?))) {
        return match launch.reason.filter(|_| intention.is_over) {
            None => Standing::Running(since),
            Some(reason) => Standing::Lost(format!("{reason}: {}", launch.message)),
        };
    }
    match (&intention.wish, hold) {
        (Wish::End { reason, message }, _) if intention.is_over && work::is_gone(record) => {
            Standing::Lost(format!("{reason}: {message}"))
        }
        (_, Some(hold)) if hold.reason == REFUSED => Standing::Refused(hold.message.clone()),
        (_, Some(hold)) => Standing::Starting(format!("{}: {}", hold.reason, hold.message)),
        (_, None) if record.is_closed() => Standing::Starting("a container is rented for it".into()),
        (_, None) => Standing::Starting("the vendor starts its container".into()),
    }
}

/// The status to write; none: it says so, or the pod has ended, which is never taken back.
pub fn status(pod: &Pod, standing: &Standing, now: Timestamp) -> Option<Value> {
    if has_ended(pod) {
        return None;
    }
    let waiting =
        |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
    let (phase, state) = match standing {
        Standing::Starting(message) => ("Pending", waiting("ContainerCreating", message)),
        Standing::Refused(message) => ("Pending", waiting("CreateContainerConfigError", message)),
        Standing::Running(since) => ("Running", json!({ "running": { "startedAt": second(*since) } })),
        Standing::Lost(message) => {
            ("Failed", terminated(pod, KILLED, "ContainerStatusUnknown", message, now))
        }
    };
    if says(pod, phase, &state) {
        return None;
    }
    let mut status = whole(pod, phase, state, now);
    if let Standing::Lost(message) = standing {
        (status["reason"], status["message"]) = ("NodeLost".into(), message.clone().into());
    }
    Some(status)
}

/// The status of a pod whose run has told how it ended; none: it had ended before.
pub fn ended(pod: &Pod, outcome: &Outcome, now: Timestamp) -> Option<Value> {
    if has_ended(pod) {
        return None;
    }
    let (phase, code, reason) = match outcome {
        Outcome::Succeeded { .. } => ("Succeeded", 0, "Completed"),
        Outcome::Failed { reason, .. } => ("Failed", reason.exit_code(), "Error"),
    };
    let state = terminated(pod, code, reason, &outcome.to_termination_message(), now);
    Some(whole(pod, phase, state, now))
}

fn second(time: Timestamp) -> String {
    whole_second(time).to_string()
}

fn terminated(pod: &Pod, code: u8, reason: &str, message: &str, now: Timestamp) -> Value {
    let before =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first()?.state.clone());
    let started = before.and_then(|state| state.running?.started_at).map(|time| second(time.0));
    let now = second(now);
    json!({ "terminated": {
        "exitCode": code, "reason": reason, "message": message,
        "startedAt": started.unwrap_or_else(|| now.clone()), "finishedAt": now,
    } })
}

/// Whether the pod says so already.
fn says(pod: &Pod, phase: &str, state: &Value) -> bool {
    let status = serde_json::to_value(&pod.status).unwrap_or_default();
    status["phase"] == phase && status["containerStatuses"][0]["state"] == *state
}

fn whole(pod: &Pod, phase: &str, state: Value, now: Timestamp) -> Value {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let (name, image) = (container.map(|one| &one.name), container.and_then(|one| one.image.as_ref()));
    let runs = phase == "Running";
    let started =
        pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0);
    json!({
        "phase": phase, "startTime": second(started), "conditions": conditions(pod, phase, now),
        "containerStatuses": [{
            "name": name, "image": image, "imageID": "", "ready": runs, "started": runs, "restartCount": 0,
            "state": state,
        }],
    })
}

/// Ours beside those of others, such as the scheduler's; the time of one that has not changed stays.
fn conditions(pod: &Pod, phase: &str, now: Timestamp) -> Vec<Value> {
    let before: Vec<PodCondition> =
        pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let runs = phase == "Running";
    let reason = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        "Running" => None,
        _ => Some("ContainersNotReady"),
    };
    let ours = [("Initialized", true), ("ContainersReady", runs), ("Ready", runs)];
    let own = ours.map(|(type_, holds)| {
        let status = if holds { "True" } else { "False" };
        let same = before.iter().find(|found| found.type_ == type_ && found.status == status);
        let since = same.and_then(|found| found.last_transition_time.as_ref()).map_or(now, |time| time.0);
        let mut condition = json!({ "type": type_, "status": status, "lastTransitionTime": second(since) });
        if let Some(reason) = reason.filter(|_| !holds) {
            condition["reason"] = reason.into();
        }
        condition
    });
    let others = before.iter().filter(|found| ours.iter().all(|(type_, _)| *type_ != found.type_));
    let others = others.filter_map(|found| serde_json::to_value(found).ok());
    others.chain(own).collect()
}
