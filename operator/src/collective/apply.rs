//! Client: brings the gateway's objects to what `build` wants.

use cooperator_api::collective::Collective;
use cooperator_kit::{apply as bring, delete};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;

use super::build::Wanted;
use super::reconcile::MANAGER;
use super::status::gateway_name;
use crate::context::{Context, Error};

/// Network first, so that no pod is ever without it. Returns the Deployment as the API server has it.
pub async fn apply(context: &Context, collective: &Collective, wanted: Wanted) -> Result<Deployment, Error> {
    let client = &context.pipeline.client;
    let Wanted { policies, account, binding, service, budget, deployment } = wanted;
    for policy in policies {
        bring(client, MANAGER, policy).await?;
    }
    bring(client, MANAGER, account).await?;
    bring(client, MANAGER, binding).await?;
    bring(client, MANAGER, service).await?;
    match budget {
        Some(budget) => drop(bring(client, MANAGER, budget).await?),
        None => {
            let (namespace, name) = (collective.namespace().unwrap_or_default(), gateway_name(collective));
            let uid = collective.uid().unwrap_or_default();
            delete::<PodDisruptionBudget>(client, &namespace, &name, &uid).await?;
        }
    }
    Ok(bring(client, MANAGER, deployment).await?)
}
