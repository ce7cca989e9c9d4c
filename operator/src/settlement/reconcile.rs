//! The steps, in order.

use std::sync::Arc;

use cooperator_api::collective::Collective;
use cooperator_api::settlement::{Settlement, SettlementStatus};
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::status::{self, Found};
use crate::domain;
use crate::pipeline::{Error, Pipeline, again, spoiled};
use crate::report::Fields;

/// Field manager of this controller.
const MANAGER: &str = "cooperator-settlement";

/// Verifies one Settlement and says whether it is paid.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(settlement: Arc<Settlement>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if settlement.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let found = statement(&pipeline, &settlement).await?; // client
    let findings = status::findings(&settlement, &found); // pure
    let status = SettlementStatus {
        observed_generation: settlement.metadata.generation,
        conditions: Vec::new(),
        paid: Vec::new(),
    };
    // `paid` is the treasurer's.
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&["paid"]));
    reporter.report(&*settlement, &status, &findings, pipeline.clock.now()).await?; // client
    Ok(again(None))
}

async fn statement(pipeline: &Pipeline, settlement: &Settlement) -> Result<Found, Error> {
    let namespace = settlement.namespace().unwrap_or_default();
    let spec = &settlement.spec;
    let missing = |reason, message: String| Ok(Found::Missing { reason, message });
    let collective: Option<Collective> = pipeline.get(&namespace, &spec.collective_ref.name).await?;
    let bucket = match domain::bucket(collective.as_ref(), &spec.collective_ref.name) {
        Ok(bucket) => bucket,
        Err(hold) => return missing("StorageNotReady", hold.message),
    };
    let Ok(digest) = spec.statement.digest.parse::<Digest>() else {
        return missing("StatementMismatch", "spec.statement.digest is no digest".into());
    };
    let store = pipeline.store(&namespace, &bucket).await?;
    let key = layout::statement(&spec.period.name, &digest, "statement.json");
    match store.get_manifest(&key, &digest).await {
        Ok(statement) => Ok(Found::Statement(Box::new(statement))),
        Err(error) if spoiled(&error) => missing("StatementUnreadable", error.to_string()),
        Err(error) => Err(error.into()),
    }
}
