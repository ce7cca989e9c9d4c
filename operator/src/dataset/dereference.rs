//! Client: what a Dataset refers to, and what its build made.

use cooperator_api::dataset::Dataset;
use cooperator_contract::layout;
use cooperator_contract::manifest::DatasetManifest;
use kube::ResourceExt as _;

use super::validate::World;
use crate::pipeline::{Error, Pipeline};
use crate::runs::{Plan, Product};

/// Everything a Dataset refers to.
pub async fn world(pipeline: &Pipeline, dataset: &Dataset) -> Result<World, Error> {
    let namespace = dataset.namespace().unwrap_or_default();
    let (collective, base_model, contributions) = futures::try_join!(
        pipeline.get(&namespace, &dataset.spec.collective_ref.name),
        pipeline.get(&namespace, &dataset.spec.base_model_ref.name),
        pipeline.list(&namespace),
    )?;
    Ok(World { collective, base_model, contributions })
}

/// The manifest a build wrote, verified against its digest.
pub async fn manifest(pipeline: &Pipeline, plan: &Plan, product: &Product) -> Result<DatasetManifest, Error> {
    let store = pipeline.store(&plan.owner.namespace, &plan.bucket).await?;
    Ok(store.get_manifest(&layout::dataset(&plan.owner.name, &product.digest), &product.digest).await?)
}
