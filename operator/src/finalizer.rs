//! Client: our finalizer alone, set or taken away.

use std::fmt::Debug;

use cooperator_api::names::FINALIZER;
use cooperator_kit::answer::is_absent;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::pipeline::{Error, Pipeline};

/// Brings it about. It is refused if the object has changed since it was read; that the object is gone is no error.
///
/// # Errors
/// [`Error::Write`]
pub async fn set<K>(pipeline: &Pipeline, object: &K, wanted: bool) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let mut names: Vec<&str> =
        object.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if wanted {
        names.push(FINALIZER);
    }
    let name = object.name_any();
    let patch = json!({ "metadata": { "finalizers": names, "resourceVersion": object.resource_version() } });
    let api: Api<K> = Api::namespaced(pipeline.client.clone(), &object.namespace().unwrap_or_default());
    match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(Error::write(format!("{} `{name}`", K::kind(&())))(error)),
    }
}
