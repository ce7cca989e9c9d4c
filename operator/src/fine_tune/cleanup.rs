//! Client: what `deletionPolicy: Delete` promises. With `Retain` there is nothing to undo and no finalizer.

use cooperator_api::common::DeletionPolicy;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names::FINALIZER;
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::gates::World;
use crate::domain;
use crate::pipeline::{Error, Pipeline};
use crate::runs::Bucket;

/// Whether the finalizer is as the policy wants it; if not, it is brought there. False: it was changed just now.
pub async fn finalizer_is_right(pipeline: &Pipeline, tune: &FineTune) -> Result<bool, Error> {
    let wanted = tune.spec.deletion_policy == DeletionPolicy::Delete;
    if wanted == tune.finalizers().iter().any(|name| name == FINALIZER) {
        return Ok(true);
    }
    set_finalizer(pipeline, tune, wanted).await?;
    Ok(false)
}

/// Removes the adapter, unless another FineTune of the namespace has the same one, and the checkpoints; then the
/// finalizer. Where the Collective or its key is gone, its bucket is out of our hands and nothing is left to do.
pub async fn remove(pipeline: &Pipeline, tune: &FineTune, world: &World) -> Result<(), Error> {
    if let Some(bucket) = located(world) {
        match contents(pipeline, tune, &bucket).await {
            Err(Error::NoCredentials { name }) => {
                tracing::warn!(
                    fine_tune = tune.name_any(),
                    secret = name,
                    "no key: adapter and checkpoints stay"
                );
            }
            other => other?,
        }
    }
    set_finalizer(pipeline, tune, false).await
}

fn located(world: &World) -> Option<Bucket> {
    let storage = world.collective.as_ref()?.status.as_ref()?.storage.as_ref()?;
    Some(domain::located(storage))
}

async fn contents(pipeline: &Pipeline, tune: &FineTune, bucket: &Bucket) -> Result<(), Error> {
    let namespace = tune.namespace().unwrap_or_default();
    let store = pipeline.store(&namespace, bucket).await?;
    if let Some(digest) = adapter(tune) {
        let others = pipeline.list::<FineTune>(&namespace).await?;
        let shared = others.iter().any(|other| other.uid() != tune.uid() && adapter(other) == Some(digest));
        if !shared {
            store.delete_all(&layout::adapter(&digest, "")).await?;
        }
    }
    store.delete_all(&layout::checkpoints(&tune.uid().unwrap_or_default())).await?;
    Ok(())
}

fn adapter(tune: &FineTune) -> Option<Digest> {
    tune.status.as_ref()?.adapter.as_ref()?.digest.parse().ok()
}

/// Our finalizer alone is set or taken away. It is refused if the object has changed since it was read.
async fn set_finalizer(pipeline: &Pipeline, tune: &FineTune, wanted: bool) -> Result<(), Error> {
    let mut names: Vec<&str> =
        tune.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if wanted {
        names.push(FINALIZER);
    }
    let name = tune.name_any();
    let patch = json!({ "metadata": { "finalizers": names, "resourceVersion": tune.resource_version() } });
    let api: Api<FineTune> = Api::namespaced(pipeline.client.clone(), &tune.namespace().unwrap_or_default());
    match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error::Write { what: format!("FineTune `{name}`"), source: Box::new(source) }),
    }
}
