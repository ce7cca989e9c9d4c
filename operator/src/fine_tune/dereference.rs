//! Client: what a FineTune refers to, and what its training made.

use cooperator_api::fine_tune::FineTune;
use cooperator_contract::layout;
use cooperator_contract::manifest::{AdapterManifest, DatasetManifest, Evaluation};
use cooperator_core::digest::Digest;
use kube::ResourceExt as _;

use super::gates::{Admitted, World};
use crate::pipeline::{Error, Pipeline};
use crate::runs::{Bucket, Product};

/// What training made, verified.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Digest of the adapter's manifest.
    pub digest: Digest,
    /// The adapter's manifest.
    pub manifest: AdapterManifest,
    /// What the evaluation found.
    pub evaluation: Evaluation,
    /// Folder in PEFT layout.
    pub storage_uri: String,
}

/// Everything a FineTune refers to. One that has its adapter needs nothing any more but the Collective that pays.
pub async fn world(pipeline: &Pipeline, tune: &FineTune) -> Result<World, Error> {
    let namespace = tune.namespace().unwrap_or_default();
    let status = tune.status.as_ref().filter(|status| status.adapter.is_some());
    if let Some(home) = status.and_then(|status| status.collective.as_ref()) {
        return Ok(World { collective: pipeline.get(&namespace, home).await?, ..World::default() });
    }
    let dataset: Option<cooperator_api::dataset::Dataset> =
        pipeline.get(&namespace, &tune.spec.dataset_ref.name).await?;
    let known = tune.status.as_ref().and_then(|status| status.collective.clone());
    let home = known.or_else(|| dataset.as_ref().map(|dataset| dataset.spec.collective_ref.name.clone()));
    let collective = match &home {
        Some(home) => pipeline.get(&namespace, home).await?,
        None => None,
    };
    let (base_model, contributions) = futures::try_join!(
        pipeline.get(&namespace, &tune.spec.base_model_ref.name),
        pipeline.list(&namespace),
    )?;
    Ok(World { base_model, contributions, dataset, collective })
}

/// The manifest of the dataset version that is to be trained on, verified.
pub async fn version(
    pipeline: &Pipeline,
    tune: &FineTune,
    admitted: &Admitted,
) -> Result<DatasetManifest, Error> {
    let store = pipeline.store(&tune.namespace().unwrap_or_default(), &admitted.bucket).await?;
    let digest = &admitted.pins.dataset;
    Ok(store.get_manifest(&layout::dataset(&tune.spec.dataset_ref.name, digest), digest).await?)
}

/// The adapter and its evaluation. The evaluation must speak of this adapter.
pub async fn result(
    pipeline: &Pipeline,
    namespace: &str,
    bucket: &Bucket,
    product: &Product,
) -> Result<Trained, Error> {
    let store = pipeline.store(namespace, bucket).await?;
    let digest = product.digest;
    let manifest = store.get_manifest(&layout::adapter(&digest, "manifest.json"), &digest).await?;
    let malformed =
        |cause: String| cooperator_store::Error::Malformed { what: store.uri(&product.key), cause };
    let bytes = store.get(&product.key).await?;
    let evaluation: Evaluation =
        serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if evaluation.adapter != digest {
        return Err(malformed(format!("it evaluates adapter {}, not {digest}", evaluation.adapter)).into());
    }
    let storage_uri = store.uri(&layout::adapter(&digest, ""));
    Ok(Trained { digest, manifest, evaluation, storage_uri })
}
