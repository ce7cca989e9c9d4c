//! How a story ended: every object and every key of the bucket, but for what differs between two tellings.

use std::collections::BTreeMap;

use anyhow::Result;
use cooperator_store::Store;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Map, Value, json};

use crate::call::nameless;
use crate::stage::{Stage, everything};

/// Fields that tell of a time, a place or a chance.
const VOLATILE: [&str; 25] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "selfLink",
    "lastTransitionTime",
    "lastUpdatedTime",
    "startedAt",
    "endedAt",
    "startTime",
    "completionTime",
    "finishedAt",
    "tokenSha256",
    "progress",
    "data",
    "prefix",
    "sha256",
    "endpoint",
    "traceparent",
    "clusterIP",
    "clusterIPs",
    "value",
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
    "cooperator.dev/applied",
];

/// An end, comparable with another.
#[derive(Clone, Debug, PartialEq)]
pub struct End(Value);

impl End {
    /// Where two ends differ, a line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let at =
            |end: &Self, path: &str| end.0.pointer(path).map_or_else(|| "nothing".into(), Value::to_string);
        let patch = json_patch::diff(&self.0, &other.0);
        let line = |path: String| format!("{path}: {} became {}", at(self, &path), at(other, &path));
        patch.0.iter().map(|operation| line(operation.path().to_string())).collect()
    }
}

/// How the story on this stage ended.
///
/// # Errors
/// When a server does not answer.
pub async fn end(stage: &Stage, store: &Store) -> Result<End> {
    let mut objects = BTreeMap::new();
    let mut uids = BTreeMap::new();
    for (kind, api) in everything(&stage.client).await? {
        for object in api.list(&ListParams::default()).await? {
            let id = format!("{kind}/{}", object.name_any());
            uids.insert(object.uid().unwrap_or_default(), id.clone());
            objects.insert(id, serde_json::to_value(object)?);
        }
    }
    let keys: Vec<String> = store.list("").await?.into_iter().map(|object| object.key).collect();
    let named = |text: String| {
        uids.iter().filter(|(uid, _)| !uid.is_empty()).fold(text, |text, (uid, id)| text.replace(uid, id))
    };
    let objects: BTreeMap<String, Value> =
        objects.into_iter().map(|(id, object)| (nameless(&id), without_chance(object, &named))).collect();
    let keys: Vec<String> = keys.into_iter().map(named).collect();
    Ok(End(json!({"objects": objects, "keys": keys})))
}

fn without_chance(value: Value, named: &impl Fn(String) -> String) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
            Value::Object(
                kept.map(|(name, value)| (name, without_chance(value, named))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => items.into_iter().map(|item| without_chance(item, named)).collect(),
        Value::String(text) => Value::String(nameless(&named(text))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_chance_is_not_told_and_all_else_is() {
        let named = |text: String| text.replace("u-1", "FineTune/v1");
        let object = |uid: &str, time: &str, attempts: i32| json!({"metadata": {"uid": uid}, "status": {"startedAt": time, "attempts": attempts, "key": "x/u-1/y"}});
        let one = End(without_chance(object("a", "1", 1), &named));
        let same = End(without_chance(object("b", "2", 1), &named));
        let other = End(without_chance(object("a", "1", 2), &named));
        assert_eq!(one.differences(&same), Vec::<String>::new());
        assert_eq!(one.differences(&other), ["/status/attempts: 1 became 2"]);
        assert_eq!(one.0["status"]["key"], "x/FineTune/v1/y");
    }
}
