//! Closes the period and reads the statement.

use anyhow::{Context, Result};
use cooperator_api::collective::Collective;
use cooperator_api::names::ANNOTATION_SETTLE_THROUGH;
use cooperator_api::settlement::Settlement;
use cooperator_cli::storage;
use cooperator_cluster::progress::Progress;
use cooperator_contract::layout;
use cooperator_contract::settle::Statement;
use cooperator_core::digest::Digest;
use jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cluster::Cluster;
use crate::{PRESIDENTS, wait};

/// Closes the open period at this moment and returns its statement, read from the bucket and checked by digest.
///
/// # Errors
/// When the settlement does not come about, or its statement has another digest.
pub async fn close(cluster: &Cluster, progress: &Progress) -> Result<Statement> {
    let collectives: Api<Collective> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    // Whole seconds, rounded up: what was asked a moment ago belongs to the period.
    let through = Timestamp::from_second(Timestamp::now().as_second() + 1)?;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let patch = json!({"metadata": {"annotations": {ANNOTATION_SETTLE_THROUGH: through.to_string()}}});
    collectives.patch(PRESIDENTS, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    let name = settlement_until(cluster, through, progress).await?;
    let settlement: Settlement = wait::condition(cluster, &name, "Verified", progress).await?;
    let bucket = storage::open(&cluster.client, &collectives.get(PRESIDENTS).await?).await?;
    let digest: Digest = settlement.spec.statement.digest.parse()?;
    let key = layout::statement(&settlement.spec.period.name, &digest, "statement.json");
    Ok(bucket.store.get_manifest(&key, &digest).await?)
}

async fn settlement_until(cluster: &Cluster, through: Timestamp, progress: &Progress) -> Result<String> {
    let step = progress.step("Closing the period", None);
    let settlements: Api<Settlement> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    for _ in 0..600 {
        let all = settlements.list(&ListParams::default()).await?;
        let ends = |found: &&Settlement| found.spec.period.end.parse().ok() == Some(through);
        if let Some(found) = all.iter().find(ends) {
            step.done();
            return Ok(found.name_any());
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    None.context(format!(
        "no Settlement ends at {through} after 5 minutes; look: kubectl -n {PRESIDENTS} describe collective {PRESIDENTS}"
    ))
}
