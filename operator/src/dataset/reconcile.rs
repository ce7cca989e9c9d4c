//! The steps, in order.

use std::sync::Arc;

use cooperator_api::common::Attempt;
use cooperator_api::dataset::{Dataset, Decision};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::build::{self, Due};
use super::dereference;
use super::status::{self, Build};
use super::validate::{self, Selection, ValidDataset};
use crate::pipeline::{Error, Pipeline, again, owner, spoiled};
use crate::report::{Fields, Reporter};
use crate::runs::{self, Phase, Rules};

/// Field manager of this controller.
const MANAGER: &str = "cooperator-dataset";

/// Brings one Dataset nearer to what its spec and its Contributions ask for.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(dataset: Arc<Dataset>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if dataset.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = pipeline.clock.now();
    let world = dereference::world(&pipeline, &dataset).await?; // client
    let selection = validate::select(&dataset, &world); // pure
    let valid = selection.clone().and_then(|selection| validate::validate(&dataset, &world, &selection)); // pure
    let build = match valid {
        Err(hold) => Build::Held(hold),
        Ok(valid) => step(&pipeline, &dataset, &valid).await?, // client
    };
    let after = match &build {
        Build::Running { phase, .. } => runs::look_again(phase, now),
        Build::Held(_) | Build::Kept | Build::Done { .. } => None,
    };
    let findings = status::findings(&dataset, &selection, &build); // pure
    let status = status::status(&dataset, &selection, build); // pure
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&["progress"]));
    if reporter.report(&*dataset, &status, &findings, now).await? {
        // client
        tell_refusals(&reporter, &dataset, &selection.unwrap_or_default()).await;
    }
    Ok(again(after))
}

async fn step(pipeline: &Pipeline, dataset: &Dataset, valid: &ValidDataset) -> Result<Build, Error> {
    let plan = build::plan(owner(dataset, "dataset", "datasets"), valid); // pure
    let attempts: Vec<Attempt> = match build::due(dataset, valid) {
        Due::Nothing => return Ok(Build::Kept),
        Due::Build(attempts) => attempts,
        Due::Begin { obsolete } => {
            if let Some(job) = obsolete {
                runs::stop(&pipeline.client, &plan, &job).await?; // client
            }
            Vec::new()
        }
    };
    let now = pipeline.clock.now();
    let observed = dataset.status.as_ref().and_then(|status| status.observed_generation);
    let renewed = observed != dataset.metadata.generation;
    let rules = Rules { retries: build::RETRIES, renewed, ..Rules::default() };
    let (attempts, phase) =
        runs::advance(&pipeline.client, &pipeline.site, &plan, attempts, rules, now).await?; // client
    let inputs = valid.inputs;
    let Phase::Produced(product) = &phase else { return Ok(Build::Running { inputs, attempts, phase }) };
    match dereference::manifest(pipeline, &plan, product).await {
        Ok(manifest) => {
            Ok(Build::Done { inputs, attempts, digest: product.digest, manifest: Box::new(manifest) })
        }
        Err(Error::Store(error)) if spoiled(&error) => {
            let (attempts, phase) = runs::spoil(attempts, error.to_string(), now);
            Ok(Build::Running { inputs, attempts, phase })
        }
        Err(error) => Err(error),
    }
}

/// An event for each Contribution that is refused now and was not before, or for another reason.
async fn tell_refusals(reporter: &Reporter, dataset: &Dataset, selection: &Selection) {
    let rows = dataset.status.as_ref().map(|status| status.contributions.as_slice()).unwrap_or_default();
    for refused in &selection.refused {
        let known = rows.iter().any(|row| {
            row.name == refused.name
                && row.state == Decision::Refused
                && row.reason.as_ref() == Some(&refused.reason)
        });
        if !known {
            let note = format!(
                "Contribution `{}` of `{}` is left out: {}",
                refused.name, refused.member, refused.message
            );
            reporter.event(dataset, true, &refused.reason, note).await;
            tracing::info!(
                dataset = dataset.name_any(),
                contribution = refused.name,
                reason = refused.reason,
                "refused"
            );
        }
    }
}
