//! The steps, in order.

use std::sync::Arc;

use cooperator_api::deployment::Deployment;
use cooperator_kit::apply as bring;
use k8s_openapi::api::apps::v1;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};

use super::status::{self, Serving};
use super::{build, dereference, earned, validate};
use crate::pipeline::{Error, Pipeline, again};
use crate::report::Fields;
use crate::runs::{self, Waiting};

/// Field manager of this controller.
const MANAGER: &str = "cooperator-deployment";

/// Brings one Deployment nearer to what its spec asks for. While something it needs is missing, the pods of the last good
/// state go on serving.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(deployment: Arc<Deployment>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if deployment.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let found = dereference::references(&pipeline, &deployment).await?; // client
    let serving = match validate::validate(&deployment, &found) {
        Err(hold) => Serving::Held(hold),                         // pure
        Ok(valid) => apply(&pipeline, &deployment, valid).await?, // client
    };
    let findings = status::findings(&serving, found.collective.as_ref()); // pure
    let earned = earned::earned(&deployment.name_any(), &found.settlements); // pure
    let earned = earned.map_err(|error| Error::Domain(error.to_string()))?;
    let status = status::status(&deployment, &serving, found.collective.as_ref(), earned); // pure
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&[]));
    reporter.report(&*deployment, &status, &findings, pipeline.clock.now()).await?; // client
    Ok(again(None))
}

async fn apply(
    pipeline: &Pipeline,
    deployment: &Deployment,
    valid: validate::ValidDeployment,
) -> Result<Serving, Error> {
    let owner = deployment.controller_owner_ref(&()).unwrap_or_default();
    let built =
        build::build(&valid, &owner, &pipeline.site).map_err(|error| Error::Domain(error.to_string()))?;
    let build::Built { config_map, deployment: pods, service, network_policy } = built;
    bring(&pipeline.client, MANAGER, network_policy).await?;
    bring(&pipeline.client, MANAGER, config_map).await?;
    bring(&pipeline.client, MANAGER, service).await?;
    let pods = bring(&pipeline.client, MANAGER, pods).await?;
    let waiting = match status::rolled_out(&pods, valid.replicas) {
        true => None,
        false => waiting(pipeline, &pods).await?,
    };
    Ok(Serving::Applied { valid: Box::new(valid), pods: Box::new(pods), waiting })
}

/// Why a pod of theirs does not run; one that only starts says nothing.
async fn waiting(pipeline: &Pipeline, pods: &v1::Deployment) -> Result<Option<Waiting>, Error> {
    let found = pipeline.pods(&pods.namespace().unwrap_or_default(), &status::selector(pods)).await?;
    Ok(found.iter().filter_map(runs::waiting).find(|waiting| waiting.reason != "Starting"))
}
