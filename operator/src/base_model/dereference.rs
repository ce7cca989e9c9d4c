//! Client: what a base model refers to, and what its import made.

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_contract::layout;
use cooperator_contract::manifest::ModelManifest;
use kube::ResourceExt as _;

use crate::pipeline::{Error, Pipeline};
use crate::runs::{Bucket, Product};

/// Its Collective; none if it does not exist.
pub async fn collective(pipeline: &Pipeline, model: &BaseModel) -> Result<Option<Collective>, Error> {
    pipeline.get(&model.namespace().unwrap_or_default(), &model.spec.collective_ref.name).await
}

/// The manifest an import wrote, verified against its digest.
pub async fn manifest(
    pipeline: &Pipeline,
    namespace: &str,
    bucket: &Bucket,
    product: &Product,
) -> Result<ModelManifest, Error> {
    let store = pipeline.store(namespace, bucket).await?;
    Ok(store.get_manifest(&layout::model(&product.digest), &product.digest).await?)
}
