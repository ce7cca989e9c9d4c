//! Waits for conditions, and says meanwhile what the object says.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cooperator_cluster::progress::Progress;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::PRESIDENTS;
use crate::cluster::Cluster;

/// Longest that anything in the story may stand still.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(500);

/// Waits until the object named `name` is Ready.
///
/// # Errors
/// When it is Failed for good, or says nothing new for ten minutes: with its conditions and the command that tells more.
pub async fn ready<K>(cluster: &Cluster, name: &str, progress: &Progress) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    condition(cluster, name, "Ready", progress).await
}

/// Waits until the object named `name` has the condition.
///
/// # Errors
/// As [`ready`].
pub async fn condition<K>(cluster: &Cluster, name: &str, wanted: &str, progress: &Progress) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    until(cluster, name, progress, |value| is_true(value, wanted) && observed(value)).await
}

/// Waits until the object named `name` is as it should be.
///
/// # Errors
/// As [`ready`].
pub async fn until<K>(
    cluster: &Cluster,
    name: &str,
    progress: &Progress,
    is_so: impl Fn(&Value) -> bool,
) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let kind = K::kind(&()).into_owned();
    let step = progress.step(&format!("{kind} {name}"), None);
    let (mut last, mut since) = (String::new(), tokio::time::Instant::now());
    loop {
        let found = api.get_opt(name).await?;
        let value = serde_json::to_value(&found)?;
        if is_so(&value) {
            step.done();
            return found.with_context(|| format!("{kind} {name} was there a moment ago"));
        }
        let says = says(&value);
        if is_true(&value, "Failed") {
            bail!("{kind} {name} failed: {says}\n{}", go_on(&kind, name));
        }
        if says != last {
            step.note(&says);
            (last, since) = (says, tokio::time::Instant::now());
        }
        if let Some(percent) = percentage(&value) {
            step.at(percent, 100);
            step.left(
                value["status"]["progress"]["estimatedRemainingSeconds"].as_u64().map(Duration::from_secs),
            );
        }
        if since.elapsed() > PATIENCE {
            bail!("{kind} {name} stands still for {PATIENCE:?}: {last}\n{}", go_on(&kind, name));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the condition of the object named `name` has the reason, and returns its message.
///
/// # Errors
/// When it has not after [`PATIENCE`]: with what it has instead.
pub async fn reason<K>(cluster: &Cluster, name: &str, condition: &str, reason: &str) -> Result<String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let kind = K::kind(&()).into_owned();
    let began = tokio::time::Instant::now();
    loop {
        let value = serde_json::to_value(api.get(name).await?)?;
        let found = conditions(&value).find(|found| found["type"] == condition && found["reason"] == reason);
        if let Some(found) = found {
            return Ok(found["message"].as_str().unwrap_or_default().to_owned());
        }
        if began.elapsed() > PATIENCE {
            let says = says(&value);
            bail!("{kind} {name} is not {reason} after {PATIENCE:?}: {says}\n{}", go_on(&kind, name));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn go_on(kind: &str, name: &str) -> String {
    format!(
        "look: kubectl -n {PRESIDENTS} describe {}.cooperator.dev {name}; then run the same command again",
        kind.to_lowercase()
    )
}

fn conditions(value: &Value) -> impl Iterator<Item = &Value> {
    value["status"]["conditions"].as_array().into_iter().flatten()
}

fn is_true(value: &Value, type_: &str) -> bool {
    conditions(value).any(|condition| condition["type"] == type_ && condition["status"] == "True")
}

/// Whether the status speaks of the newest spec.
fn observed(value: &Value) -> bool {
    value["status"]["observedGeneration"].is_null()
        || value["status"]["observedGeneration"] == value["metadata"]["generation"]
}

/// How far the run of an object is, while there is one.
fn percentage(value: &Value) -> Option<u64> {
    value["status"]["progress"]["percentage"].as_u64()
}

/// Progress while there is some, else what `Ready` says: of the other conditions some are well when they are False.
fn says(value: &Value) -> String {
    let progress = &value["status"]["progress"];
    if let (Some(..100), Some(phase)) = (percentage(value), progress["phase"].as_str()) {
        let loss = progress["loss"].as_str().map(|loss| format!(", loss {loss}")).unwrap_or_default();
        return format!("{phase}{loss}");
    }
    match conditions(value).find(|condition| condition["type"] == "Ready") {
        Some(condition) => {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("reason"), text("message"))
        }
        None if value.is_null() => "not there yet".into(),
        None => "no status yet".into(),
    }
}
