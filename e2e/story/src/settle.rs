//! Closes the period and reads the statement.

use anyhow::{Context, Result};
use cooperator_api::collective::Collective;
use cooperator_api::names::ANNOTATION_SETTLE_THROUGH;
use cooperator_api::settlement::Settlement;
use cooperator_cluster::progress::Progress;
use cooperator_contract::layout;
use cooperator_contract::settle::Statement;
use cooperator_core::digest::Digest;
use cooperator_core::money::Amount;
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

/// The statement as a table for a terminal: what each member gave and gets, and that it adds up.
///
/// # Errors
/// When an amount is no decimal or the sum is out of range.
pub fn table(statement: &Statement) -> Result<String> {
    let task = &statement.task;
    let width = statement.payments.iter().map(|payment| payment.member.len()).max().unwrap_or(0).max(14);
    let line = |name: &str, tokens: &str, share: &str, amount: &str| {
        format!("  {name:<width$} {tokens:>10} {share:>8} {amount:>18}")
    };
    let rule = format!("  {}", "-".repeat(width + 39));
    let mut lines = vec![
        format!("Statement of {}, {} to {}", task.collective, task.period.start, task.period.end),
        line("member", "tokens", "share", &task.currency),
        rule.clone(),
    ];
    for payment in &statement.payments {
        let (whole, part) = (payment.basis_points / 100, payment.basis_points % 100);
        let share = format!("{whole}.{part:02} %");
        lines.push(line(&payment.member, &payment.tokens.to_string(), &share, &payment.amount));
    }
    lines.push(line("reserve", "", "", &statement.reserve));
    lines.push(line("compute cost", "", "", &statement.recovered));
    lines.push(line("carried over", "", "", &carried(statement)?.with_places(task.decimals)));
    lines.push(rule);
    lines.push(line("sum", "", "", &sum(statement)?.with_places(task.decimals)));
    lines.push(line("revenue", "", "", &statement.gross));
    Ok(lines.join("\n"))
}

/// All that became of the period's revenue: paid, put aside, recovered, carried over.
///
/// # Errors
/// When an amount is no decimal or the sum is out of range.
pub fn sum(statement: &Statement) -> Result<Amount> {
    let mut amounts = vec![amount(&statement.reserve)?, amount(&statement.recovered)?, carried(statement)?];
    for payment in &statement.payments {
        amounts.push(amount(&payment.amount)?);
    }
    Ok(Amount::sum(amounts)?)
}

/// What this period adds to what is not yet payable.
fn carried(statement: &Statement) -> Result<Amount> {
    Ok(amount(&statement.suspense.after)?.minus(amount(&statement.suspense.before)?)?)
}

fn amount(text: &str) -> Result<Amount> {
    text.parse().with_context(|| format!("`{text}` in the statement is no amount"))
}
