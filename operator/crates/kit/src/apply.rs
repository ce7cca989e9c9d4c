//! Server-side apply, forced, by one field manager a controller; and nothing written when nothing changes.

use cooperator_core::digest::Digest;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{is_absent, is_forbidden};

/// Annotation with the digest of what was applied last.
pub const APPLIED: &str = "cooperator.dev/applied";

/// Why an object is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused or did not answer.
    #[error("cannot {verb} {kind} `{name}`: {source}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// A name of ours is taken.
    #[error("{kind} `{name}` exists and belongs to something else: delete or rename it")]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The object cannot be JSON.
    #[error("{kind} `{name}` cannot be written as JSON: {source}")]
    Json {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Why not.
        source: serde_json::Error,
    },
}

impl ApplyError {
    /// Whether the API server refused for want of rights.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_forbidden(source))
    }
}

/// Brings an object of a namespace to `wanted` and returns it as the API server has it. Fields that `wanted` does not
/// name are left to others. When the last apply was of the same content and all of it still holds, nothing is written.
///
/// An object of that name without the owner that `wanted` names first is somebody else's, and is left alone.
///
/// # Errors
/// [`ApplyError`]; calling again is safe.
pub async fn apply<K>(client: &Client, manager: &str, mut wanted: K) -> Result<K, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let (kind, name) = (K::kind(&()).into_owned(), wanted.name_any());
    let json = |source| ApplyError::Json { kind: kind.clone(), name: name.clone(), source };
    let content = serde_json::to_value(&wanted).map_err(json)?;
    let digest = Digest::of(content.to_string().as_bytes()).to_string();
    let api: Api<K> = Api::namespaced(client.clone(), &wanted.namespace().unwrap_or_default());
    if let Some(live) = api.get_opt(&name).await.map_err(failed::<K>("get", &name))? {
        if !same_owner(&wanted, &live) {
            return Err(ApplyError::Foreign { kind, name });
        }
        let same = live.annotations().get(APPLIED) == Some(&digest);
        if same && holds(&content, &serde_json::to_value(&live).map_err(json)?) {
            return Ok(live);
        }
    }
    wanted.annotations_mut().insert(APPLIED.to_owned(), digest);
    let mut patch = serde_json::to_value(&wanted).map_err(json)?;
    // The typed object leaves these out; server-side apply needs them.
    patch["apiVersion"] = K::api_version(&()).into();
    patch["kind"] = kind.clone().into();
    let parameters = PatchParams::apply(manager).force();
    api.patch(&name, &parameters, &Patch::Apply(&patch)).await.map_err(failed::<K>("apply", &name))
}

/// Deletes an object that has `owner_uid` among its owners; true while it is still there.
///
/// # Errors
/// [`ApplyError::Api`]; one that is not there, or somebody else's, is no error.
pub async fn delete<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    owner_uid: &str,
) -> Result<bool, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let Some(live) = api.get_opt(name).await.map_err(failed::<K>("get", name))? else { return Ok(false) };
    let ours = live.owner_references().iter().any(|owner| owner.uid == owner_uid);
    if !ours {
        return Ok(false);
    }
    if live.meta().deletion_timestamp.is_none() {
        // The very object that was looked at, not one that took its name since.
        let exactly = Preconditions { uid: live.uid(), resource_version: None };
        let parameters = DeleteParams::background().preconditions(exactly);
        match api.delete(name, &parameters).await {
            Err(error) if is_absent(&error) => return Ok(false),
            deleted => drop(deleted.map_err(failed::<K>("delete", name))?),
        }
    }
    Ok(true)
}

fn same_owner<K: Resource>(wanted: &K, live: &K) -> bool {
    let Some(owner) = wanted.owner_references().first() else { return true };
    live.owner_references().iter().any(|reference| reference.uid == owner.uid)
}

/// Whether all that `wanted` says is so in `live`, which may say more.
fn holds(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted
            .iter()
            .all(|(field, value)| live.get(field).map_or(value.is_null(), |live| holds(value, live))),
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| holds(wanted, live))
        }
        (wanted, live) => wanted == live,
    }
}

fn failed<K: Resource<DynamicType = ()>>(
    verb: &'static str,
    name: &str,
) -> impl FnOnce(kube::Error) -> ApplyError {
    let name = name.to_owned();
    move |source| ApplyError::Api { verb, kind: K::kind(&()).into_owned(), name, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::testing::ApiServer;

    fn map(value: &str, owner: &str) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": { "name": "run", "namespace": "works", "ownerReferences": [
                { "apiVersion": "cooperator.dev/v1alpha1", "kind": "Dataset", "name": "d", "uid": owner }
            ] },
            "data": { "run.json": value },
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn the_first_apply_writes_and_the_second_is_silent() {
        let server = ApiServer::default();
        apply(&server.client(), "test", map("a", "1")).await.unwrap();
        apply(&server.client(), "test", map("a", "1")).await.unwrap();
        assert_eq!(server.writes(), ["PATCH /api/v1/namespaces/works/configmaps/run"]);
        apply(&server.client(), "test", map("b", "1")).await.unwrap();
        assert_eq!(server.writes().len(), 2);
    }

    #[tokio::test]
    async fn what_somebody_changed_is_put_right() {
        let server = ApiServer::default();
        apply(&server.client(), "test", map("a", "1")).await.unwrap();
        server
            .change("/api/v1/namespaces/works/configmaps/run", |live| live["data"]["run.json"] = "x".into());
        let live = apply(&server.client(), "test", map("a", "1")).await.unwrap();
        assert_eq!(live.data.unwrap()["run.json"], "a");
    }

    #[tokio::test]
    async fn an_object_of_another_owner_is_left_alone() {
        let server = ApiServer::default();
        apply(&server.client(), "test", map("a", "1")).await.unwrap();
        let error = apply(&server.client(), "test", map("a", "2")).await.unwrap_err();
        assert!(matches!(error, ApplyError::Foreign { .. }), "{error}");
        assert!(!delete::<ConfigMap>(&server.client(), "works", "run", "2").await.unwrap());
        assert!(delete::<ConfigMap>(&server.client(), "works", "run", "1").await.unwrap());
        assert!(!delete::<ConfigMap>(&server.client(), "works", "run", "1").await.unwrap());
    }

    #[test]
    fn defaults_that_the_server_adds_are_no_difference() {
        let wanted = json!({ "spec": { "ports": [{ "port": 1 }], "none": null } });
        assert!(holds(&wanted, &json!({ "spec": { "ports": [{ "port": 1, "protocol": "TCP" }], "x": 1 } })));
        assert!(!holds(&wanted, &json!({ "spec": { "ports": [{ "port": 2 }] } })));
        assert!(!holds(&wanted, &json!({ "spec": {} })));
    }
}
