//! What the cluster says of an attempt: pure reading of its Job and pods.

use cooperator_contract::outcome::Outcome;
use cooperator_core::digest::Digest;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::failure::{Failure, FailureKind};
use crate::domain::newest;

/// Most characters of a cluster's message that are passed on.
const MESSAGE_CHARACTERS: usize = 512;

/// Reason of a pod whose image the node cannot pull.
const IMAGE_PULL_FAILED: &str = "ImagePullFailed";

/// Where an attempt stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no Job: not made yet, or taken away.
    Missing,
    /// Its Job is being deleted; the pod may still be writing a checkpoint.
    Stopping,
    /// Its Job is not done.
    Active(Activity),
    /// Its Job is done.
    Ended(Ending),
}

/// A Job that is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Node the pod is on.
    pub node: Option<String>,
    /// Why it does not run yet; none: it runs.
    pub waiting: Option<Waiting>,
    /// The image its pod is to have and the node cannot pull.
    pub unpullable: Option<String>,
    /// Since when its container runs.
    pub since: Option<Timestamp>,
    /// When it counts as hung, unless it reports progress before.
    pub hung_at: Option<Timestamp>,
}

/// Why a pod does not run yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// CamelCase reason.
    pub reason: &'static str,
    /// One line.
    pub message: String,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When; the cluster's time.
    pub at: Option<Timestamp>,
    /// Node it ran on.
    pub node: Option<String>,
    /// What came out.
    pub result: Result<Product, Failure>,
}

/// What a run made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Digest of the result.
    pub digest: Digest,
    /// Key of the details, below the Collective's prefix.
    pub key: String,
}

/// Reads an attempt's Job and its pods, in any order.
pub fn state(job: Option<&Job>, pods: &[Pod]) -> State {
    let Some(job) = job else { return State::Missing };
    if job.metadata.deletion_timestamp.is_some() {
        return State::Stopping;
    }
    let pod = newest(pods);
    let node = pod.and_then(|pod| pod.spec.as_ref()).and_then(|spec| spec.node_name.clone());
    let Some((done, failure)) = finished(job) else {
        let waiting = pod.map_or_else(no_pod, waiting);
        let unpullable = waiting.as_ref().filter(|waiting| waiting.reason == IMAGE_PULL_FAILED);
        let unpullable = unpullable.and(pod).and_then(image);
        return State::Active(Activity {
            node,
            waiting,
            unpullable,
            since: pod.and_then(running_since),
            hung_at: None,
        });
    };
    let at = done.or_else(|| pod.and_then(terminated).and_then(|end| end.finished_at.map(|time| time.0)));
    let result = match failure {
        Some(reason) => Err(why(&reason, pod)),
        None => product(pod),
    };
    State::Ended(Ending { at, node, result })
}

/// When the Job was done, and the reason if it failed.
fn finished(job: &Job) -> Option<(Option<Timestamp>, Option<String>)> {
    let status = job.status.as_ref()?;
    status.conditions.iter().flatten().filter(|condition| condition.status == "True").find_map(|condition| {
        let at = condition.last_transition_time.as_ref().map(|time| time.0);
        match condition.type_.as_str() {
            "Complete" => Some((at, None)),
            "Failed" => Some((at, Some(condition.reason.clone().unwrap_or_default()))),
            _ => None,
        }
    })
}

fn product(pod: Option<&Pod>) -> Result<Product, Failure> {
    match pod.and_then(outcome) {
        Some(Outcome::Succeeded { digest, key }) => Ok(Product { digest, key }),
        Some(Outcome::Failed { reason, message }) => Err(Failure::new(FailureKind::Run(reason), message)),
        None => Err(Failure::new(
            FailureKind::Crashed,
            "the pod ended well but left no outcome in its termination message: it is tried again",
        )),
    }
}

/// Why a Job failed. What the pod itself says counts most, except that a deadline explains its own SIGTERM.
fn why(job_reason: &str, pod: Option<&Pod>) -> Failure {
    if job_reason == "DeadlineExceeded" {
        return Failure::new(
            FailureKind::DeadlineExceeded,
            "activeDeadlineSeconds ran out: raise it, or take fewer steps",
        );
    }
    let Some(pod) = pod else {
        return Failure::new(FailureKind::NodeLost, "the pod is gone with its node: it is tried again");
    };
    if let Some(Outcome::Failed { reason, message }) = outcome(pod) {
        return Failure::new(FailureKind::Run(reason), message);
    }
    let end = terminated(pod);
    if end.as_ref().and_then(|end| end.reason.as_deref()) == Some("OOMKilled") {
        return Failure::new(
            FailureKind::OutOfMemory,
            "killed at its memory limit: raise the memory limit, or lower batch size and sequence length",
        );
    }
    if let Some(failure) = pod.status.as_ref().and_then(disruption) {
        return failure;
    }
    let code = end.map_or_else(|| "no exit code".into(), |end| format!("exit code {}", end.exit_code));
    Failure::new(FailureKind::Crashed, format!("the pod ended without an outcome ({code}): see its log"))
}

fn disruption(status: &PodStatus) -> Option<Failure> {
    let target = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    if status.reason.as_deref() == Some("NodeLost")
        || target.and_then(|target| target.reason.as_deref()) == Some("DeletionByPodGC")
    {
        return Some(Failure::new(FailureKind::NodeLost, "the node is gone: it is tried again"));
    }
    if status.reason.as_deref() != Some("Evicted") && target.is_none() {
        return None;
    }
    let message = target.and_then(|target| target.message.as_deref()).or(status.message.as_deref());
    Some(Failure::new(FailureKind::Evicted, line(message.unwrap_or("the pod was evicted from its node"))))
}

fn terminated(pod: &Pod) -> Option<ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find_map(|container| container.state.as_ref()?.terminated.clone())
}

fn running_since(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let running = statuses.iter().find_map(|container| container.state.as_ref()?.running.clone())?;
    running.started_at.map(|time| time.0)
}

/// How a pod's run says it ended.
pub fn outcome(pod: &Pod) -> Option<Outcome> {
    serde_json::from_str(&terminated(pod)?.message?).ok()
}

fn no_pod() -> Option<Waiting> {
    Some(Waiting { reason: "Starting", message: "the Job has no pod yet".into() })
}

/// The image of a pod's one container, as its spec has it.
fn image(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.containers.first()?.image.clone()
}

/// Why a pod does not run; none if it does, or has just ended.
pub fn waiting(pod: &Pod) -> Option<Waiting> {
    let status = pod.status.as_ref()?;
    let container = status.container_statuses.iter().flatten().next();
    if let Some(held) = container.and_then(|container| container.state.as_ref()?.waiting.as_ref()) {
        let said = line(held.message.as_deref().unwrap_or_default());
        return Some(match held.reason.as_deref().unwrap_or_default() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                Waiting { reason: IMAGE_PULL_FAILED, message: unpullable(pod, &said) }
            }
            "CrashLoopBackOff" => Waiting { reason: "CrashLoopBackOff", message: crashes(container, &said) },
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                Waiting { reason: "ContainerRefused", message: said }
            }
            _ => Waiting { reason: "Starting", message: "the container is being made".into() },
        });
    }
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unschedulable {
        let message = line(condition.message.as_deref().unwrap_or("no node fits the pod"));
        return Some(Waiting { reason: "Unschedulable", message });
    }
    (status.phase.as_deref() == Some("Pending"))
        .then(|| Waiting { reason: "Starting", message: "the pod is being started".into() })
}

fn unpullable(pod: &Pod, said: &str) -> String {
    format!(
        "image `{}` cannot be pulled ({said}): correct it in the chart's values, or give the namespace's default \
         ServiceAccount the registry's imagePullSecret; nothing here need be made anew",
        image(pod).unwrap_or_default()
    )
}

/// Why a container that is started again and again ended last, and what it said.
fn crashes(container: Option<&ContainerStatus>, said: &str) -> String {
    let last = container.and_then(|container| container.last_state.as_ref()?.terminated.as_ref());
    let Some(last) = last else { return said.to_owned() };
    let told = last.message.as_deref().and_then(|message| serde_json::from_str(message).ok());
    match (last.reason.as_deref(), told) {
        (Some("OOMKilled"), _) => {
            "killed at its memory limit again and again: raise spec.resources.limits.memory".into()
        }
        (_, Some(Outcome::Failed { message, .. })) => format!("it ends again and again: {}", line(&message)),
        _ => format!("it ends again and again with exit code {}: see its log", last.exit_code),
    }
}

/// The first line of what a cluster said, bounded.
fn line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(MESSAGE_CHARACTERS).collect()
}
