//! How a story ended: every object and every key of the bucket, but for what differs between two tellings.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

use crate::call::nameless;
use crate::stage::Stage;
use crate::story;

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
pub async fn end(stage: &Stage) -> Result<End> {
    let mut objects = BTreeMap::new();
    let mut uids = BTreeMap::new();
    for (kind, object) in stage.objects().await? {
        let id = format!("{}/{}", kind.kind, object.name_any());
        uids.insert(object.uid().unwrap_or_default(), id.clone());
        objects.insert(id, serde_json::to_value(object)?);
    }
    let keys: Vec<String> =
        story::store(stage).await?.list("").await?.into_iter().map(|object| object.key).collect();
    let chances = Chances { uids };
    let objects = objects.into_iter().map(|(id, object)| (nameless(&id), chances.without(object)));
    let keys: Vec<String> = keys.into_iter().map(|key| chances.named(key)).collect();
    Ok(End(json!({"objects": together(objects), "keys": keys})))
}

/// Objects by name, those of one name in the order of what they are: which was made first is in none of them.
fn together(objects: impl Iterator<Item = (String, Value)>) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (id, object) in objects {
        all.entry(id).or_default().push(object);
    }
    all.values_mut().for_each(|namesakes| namesakes.sort_by_cached_key(Value::to_string));
    all
}

/// What a stage and a telling have by chance.
struct Chances {
    /// Of which object each uid is.
    uids: BTreeMap<String, String>,
}

/// Below it lie the ports that a spec means; from it on those that a server here was given because they were free.
const FIRST_FREE_PORT: u64 = 32_768;

impl Chances {
    fn named(&self, text: String) -> String {
        let known = self.uids.iter().filter(|(uid, _)| !uid.is_empty());
        known.fold(text, |text, (uid, id)| text.replace(uid, id))
    }

    fn without(&self, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
                let told = |name: &str, value: Value| match value.as_u64() {
                    Some(FIRST_FREE_PORT..) if name == "port" => Value::String("a free port".into()),
                    _ => self.without(value),
                };
                Value::Object(
                    kept.map(|(name, value)| (name.clone(), told(&name, value))).collect::<Map<_, _>>(),
                )
            }
            Value::Array(items) => items.into_iter().map(|item| self.without(item)).collect(),
            Value::String(text) => Value::String(nameless(&self.named(text))),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_chance_is_not_told_and_all_else_is() {
        let end = |uid: &str, time: &str, port: u16, attempts: i32| {
            let chances = Chances { uids: [(uid.to_owned(), "FineTune/v1".to_owned())].into() };
            End(chances.without(json!({
                "metadata": {"uid": uid}, "port": port,
                "status": {"startedAt": time, "attempts": attempts, "key": format!("x/{uid}/y")},
            })))
        };
        let one = end("u-1", "1", 40001, 1);
        assert_eq!(one.differences(&end("u-2", "2", 40002, 1)), Vec::<String>::new());
        assert_eq!(one.differences(&end("u-1", "1", 40001, 2)), ["/status/attempts: 1 became 2"]);
        assert_eq!(one.differences(&end("u-1", "1", 443, 1)), ["/port: \"a free port\" became 443"]);
        assert_eq!(one.0["status"]["key"], "x/FineTune/v1/y");
    }

    #[test]
    fn objects_whose_names_differ_by_a_digest_alone_are_all_told_in_one_order() {
        let object = |number: i32| ("Job/songs-*-1".to_owned(), json!({"spec": number}));
        let (one, other) = ([object(1), object(2)], [object(2), object(1)]);
        assert_eq!(together(one.clone().into_iter())["Job/songs-*-1"].len(), 2);
        assert_eq!(together(one.into_iter()), together(other.into_iter()));
    }
}
