//! Closes the period and reads the statement.

use anyhow::{Context, Result};
use cooperator_api::collective::Collective;
use cooperator_api::names::ANNOTATION_SETTLE_THROUGH;
use cooperator_api::settlement::Settlement;
use cooperator_cluster::progress::Progress;
use cooperator_contract::layout;
use cooperator_contract::settle::Statement;
use cooperator_core::digest::Digest;
use jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cluster::Cluster;
use crate::{PRESIDENTS, upload, wait};

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
    let bucket = upload::open(cluster, &collectives.get(PRESIDENTS).await?).await?;
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

/// The statement as a table for a terminal.
pub fn table(statement: &Statement) -> String {
    let task = &statement.task;
    let mut lines = vec![
        format!("Statement of {}, {} to {}", task.collective, task.period.start, task.period.end),
        format!("  {:<14} {:>10} {:>8} {:>16}", "member", "tokens", "share", task.currency),
    ];
    for payment in &statement.payments {
        let share = f64::from(payment.basis_points) / 100.0;
        lines.push(format!(
            "  {:<14} {:>10} {share:>7.2}% {:>16}",
            payment.member, payment.tokens, payment.amount
        ));
    }
    let row = |name: &str, amount: &str| format!("  {name:<14} {:>10} {:>8} {amount:>16}", "", "");
    lines.push(row("reserve", &statement.reserve));
    lines.push(row("compute cost", &statement.recovered));
    lines.push(row("suspense", &statement.suspense.after));
    lines.push(row("revenue", &statement.gross));
    lines.join("\n")
}
