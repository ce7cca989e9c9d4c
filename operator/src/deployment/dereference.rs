//! Client: what a Deployment refers to.

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::deployment::Deployment;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::settlement::Settlement;
use kube::ResourceExt as _;

use crate::pipeline::{Error, Pipeline};

/// Everything a Deployment refers to, as far as it exists.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The FineTune it serves.
    pub fine_tune: Option<FineTune>,
    /// The base model of that.
    pub base_model: Option<BaseModel>,
    /// The Collective of that.
    pub collective: Option<Collective>,
    /// Every Deployment of the namespace, itself included.
    pub siblings: Vec<Deployment>,
    /// The closed periods of the Collective.
    pub settlements: Vec<Settlement>,
}

/// Reads them.
///
/// # Errors
/// [`Error::Read`].
pub async fn references(pipeline: &Pipeline, deployment: &Deployment) -> Result<References, Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let mut found = References { siblings: pipeline.list(&namespace).await?, ..References::default() };
    found.fine_tune = pipeline.get(&namespace, &deployment.spec.fine_tune_ref.name).await?;
    if let Some(fine_tune) = &found.fine_tune {
        found.base_model = pipeline.get(&namespace, &fine_tune.spec.base_model_ref.name).await?;
    }
    if let Some(model) = &found.base_model {
        let name = &model.spec.collective_ref.name;
        found.collective = pipeline.get(&namespace, name).await?;
        found.settlements = pipeline.list(&namespace).await?;
        found.settlements.retain(|settlement: &Settlement| settlement.spec.collective_ref.name == *name);
    }
    Ok(found)
}
