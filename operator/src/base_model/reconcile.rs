//! The steps, in order.

use std::sync::Arc;

use cooperator_api::base_model::BaseModel;
use kube::runtime::controller::Action;

use super::status::{self, Import};
use super::{build, dereference, validate};
use crate::pipeline::{Error, Pipeline, again, owner, spoiled};
use crate::report::Fields;
use crate::runs::{self, Phase, Rules};

/// Field manager of this controller.
const MANAGER: &str = "cooperator-basemodel";

/// Brings one base model nearer to what its spec asks for.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(model: Arc<BaseModel>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if model.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = pipeline.clock.now();
    let collective = dereference::collective(&pipeline, &model).await?; // client
    let license = validate::license(&model, collective.as_ref()); // pure
    let valid = license.clone().and_then(|()| validate::validate(&model, collective.as_ref())); // pure
    let import = match valid {
        _ if model.status.as_ref().is_some_and(|status| status.digest.is_some()) => Import::Kept,
        Err(hold) => Import::Held(hold),
        Ok(valid) => import(&pipeline, &model, &valid).await?, // client
    };
    let after = match &import {
        Import::Running { phase, .. } => runs::look_again(phase, now),
        Import::Held(_) | Import::Done { .. } | Import::Kept => None,
    };
    let findings = status::findings(&license, &import); // pure
    let status = status::status(&model, import); // pure
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&["progress"]));
    reporter.report(&*model, &status, &findings, now).await?; // client
    Ok(again(after))
}

async fn import(
    pipeline: &Pipeline,
    model: &BaseModel,
    valid: &validate::ValidBaseModel,
) -> Result<Import, Error> {
    let now = pipeline.clock.now();
    let before = model.status.clone().unwrap_or_default();
    let plan = build::plan(owner(model, "basemodel", "basemodels"), valid); // pure
    let renewed = before.observed_generation != model.metadata.generation;
    let rules = Rules { retries: build::RETRIES, renewed, ..Rules::default() };
    let (attempts, phase) =
        runs::advance(&pipeline.client, &pipeline.site, &plan, before.attempts, rules, now).await?; // client
    let Phase::Produced(product) = &phase else { return Ok(Import::Running { attempts, phase }) };
    match dereference::manifest(pipeline, &plan.owner.namespace, &plan.bucket, product).await {
        Ok(manifest) => Ok(Import::Done { attempts, digest: product.digest, manifest: Box::new(manifest) }),
        Err(Error::Store(error)) if spoiled(&error) => {
            let (attempts, phase) = runs::spoil(attempts, error.to_string(), now);
            Ok(Import::Running { attempts, phase })
        }
        Err(error) => Err(error),
    }
}
