//! The steps, in order.

use std::sync::Arc;

use cooperator_api::collective::Collective;
use cooperator_api::contribution::{Contribution, ContributionStatus};
use cooperator_api::dataset::{Dataset, Decision};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::status;
use crate::pipeline::{Error, Pipeline, again};
use crate::report::Fields;

/// Field manager of this controller.
const MANAGER: &str = "cooperator-contribution";

/// Says of one Contribution whether it is accepted, and where it is held.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(contribution: Arc<Contribution>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if contribution.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = contribution.namespace().unwrap_or_default();
    let collective: Option<Collective> =
        pipeline.get(&namespace, &contribution.spec.collective_ref.name).await?; // client
    let datasets = pipeline.list::<Dataset>(&namespace).await?; // client
    let holding = holders(&contribution.name_any(), &datasets); // pure
    let finding = status::finding(&contribution, collective.as_ref(), &holding); // pure
    let status =
        ContributionStatus { observed_generation: contribution.metadata.generation, conditions: Vec::new() };
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&[]));
    reporter.report(&*contribution, &status, &[finding], pipeline.clock.now()).await?; // client
    Ok(again(None))
}

/// Names of the Datasets whose newest version holds the Contribution, sorted.
fn holders(name: &str, datasets: &[Dataset]) -> Vec<String> {
    let holds = |dataset: &&Dataset| {
        let rows = dataset.status.iter().flat_map(|status| &status.contributions);
        rows.into_iter()
            .any(|row| row.name == name && row.state == Decision::Accepted && row.records.is_some())
    };
    let mut names: Vec<String> = datasets.iter().filter(holds).map(|dataset| dataset.name_any()).collect();
    names.sort_unstable();
    names
}
