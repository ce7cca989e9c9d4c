//! The steps, in order: one period at a time, written down before its Job is made.

use std::sync::Arc;

use cooperator_api::collective::{Collective, CollectiveStatus, Settling};
use cooperator_api::common::Attempt;
use cooperator_api::settlement::Settlement;
use cooperator_contract::layout;
use cooperator_contract::settle::Statement;
use cooperator_core::period::Period;
use cooperator_kit::answer::is_there;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use super::due::{self, Due};
use super::expense::Expense;
use super::task::{self, Ledger};
use crate::domain;
use crate::pipeline::{Error, Pipeline, again, owner};
use crate::report::Fields;
use crate::runs::{self, Phase, Plan, Product, Rules};
use crate::settlement::build;

/// Field manager of this controller.
const MANAGER: &str = "cooperator-periods";

/// Closes the period of one Collective that is due, if one is.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(collective: Arc<Collective>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    let name = collective.name_any();
    let Ok(bucket) = domain::bucket(Some(&collective), &name) else { return Ok(Action::await_change()) };
    if collective.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = pipeline.clock.now();
    let ledger = ledger(&pipeline, &collective).await?; // client
    let unsettled = task::unsettled(&collective, &ledger); // pure
    if collective.status.as_ref().is_some_and(|status| status.departed != unsettled) {
        pipeline.set_departed(&collective, &unsettled).await?; // client
        return Ok(Action::await_change());
    }
    let due = due::due(&collective, &ledger.settlements, now); // pure
    let due = due.map_err(|error| Error::Domain(format!("Collective `{name}`: {error}")))?;
    let (settling, newest, after) = match due {
        Due::At(at) => (None, None, Some(at.duration_since(now).try_into().unwrap_or_default())),
        Due::Now(period) => {
            let owner = owner(&*collective, "collective", "collectives");
            let plan = task::plan(owner, bucket, task::task(&collective, &period, &ledger)); // pure
            settle(&pipeline, &collective, &period, &plan).await? // client
        }
    };
    // Not by what was written down alone: an operator that died after making one has written nothing down.
    let known = || ledger.newest(&name).map(|settlement| settlement.name_any());
    let before = || collective.status.as_ref().and_then(|status| status.last_settlement.clone());
    let last = newest.or_else(known).or_else(before);
    let status = CollectiveStatus {
        settling,
        last_settlement: last,
        spent: Some(task::spent(&collective, &ledger, now)), // pure
        ..CollectiveStatus::default()
    };
    let reporter = pipeline.reporter(MANAGER, Fields::Only(&["settling", "lastSettlement", "spent"]));
    reporter.report(&*collective, &status, &[], now).await?; // client
    if let Some(refused) = due::refused(&collective, now) {
        tracing::warn!(collective = name, refused, "the period is not closed early");
    }
    Ok(again(after))
}

async fn ledger(pipeline: &Pipeline, collective: &Collective) -> Result<Ledger, Error> {
    let namespace = collective.namespace().unwrap_or_default();
    let mut expenses = Vec::new();
    let (settlements, datasets, ()) = futures::try_join!(
        pipeline.list(&namespace),
        pipeline.list(&namespace),
        pipeline.each(&namespace, |tune| expenses.extend(Expense::of(tune))),
    )?;
    Ok(Ledger { settlements, expenses, datasets })
}

/// What status is to say, the Settlement made if one was, and when to look again.
type Settled = (Option<Settling>, Option<String>, Option<std::time::Duration>);

async fn settle(
    pipeline: &Pipeline,
    collective: &Collective,
    period: &Period,
    plan: &Plan,
) -> Result<Settled, Error> {
    let now = pipeline.clock.now();
    let begun = collective.status.as_ref().and_then(|status| status.settling.clone());
    let begun = begun.filter(|begun| begun.period == period.name());
    let attempts: Vec<Attempt> = begun.iter().map(|begun| attempt(plan, begun)).collect();
    let rules = Rules { retries: u32::MAX, ..Rules::default() };
    let (attempts, phase) =
        runs::advance(&pipeline.client, &pipeline.site, plan, attempts, rules, now).await?;
    if let Phase::Produced(product) = &phase {
        let name = publish(pipeline, collective, period, plan, product).await?;
        return Ok((None, Some(name), Some(std::time::Duration::ZERO)));
    }
    let message = match &phase {
        Phase::Paused { failure, .. } => Some(failure.message.clone()),
        Phase::GivenUp(failure) => {
            let job = attempts.last().map_or("", |newest| &newest.job);
            Some(format!(
                "{}: {}; once that is mended, delete Job `{job}` to try again",
                failure.kind, failure.message
            ))
        }
        Phase::Active(runs::Activity { waiting: Some(waiting), .. }) => Some(waiting.message.clone()),
        _ => None,
    };
    let settling = Settling {
        period: period.name(),
        start: period.start().to_string(),
        end: period.end().to_string(),
        attempt: attempts.last().map_or(1, |newest| newest.number),
        message,
    };
    Ok((Some(settling), None, runs::look_again(&phase, now)))
}

/// The attempt that status holds; how it ended is read from its Job each time.
fn attempt(plan: &Plan, begun: &Settling) -> Attempt {
    Attempt { number: begun.attempt, job: plan.job(begun.attempt), ..Attempt::default() }
}

/// Makes the Settlement of a statement; one that is there already must say the same.
async fn publish(
    pipeline: &Pipeline,
    collective: &Collective,
    period: &Period,
    plan: &Plan,
    product: &Product,
) -> Result<String, Error> {
    let namespace = collective.namespace().unwrap_or_default();
    let store = pipeline.store(&namespace, &plan.bucket).await?;
    let folder = |file: &str| layout::statement(&period.name(), &product.digest, file);
    let statement: Statement = store.get_manifest(&folder("statement.json"), &product.digest).await?;
    let wanted = build::settlement(&namespace, &statement, &product.digest, store.uri(&folder("")));
    let name = wanted.name_any();
    let api: Api<Settlement> = Api::namespaced(pipeline.client.clone(), &namespace);
    let failed = |error| Error::write(format!("Settlement `{name}`"))(error);
    match api.create(&PostParams::default(), &wanted).await {
        Ok(_) => {
            let note = format!("period {} is settled: Settlement `{name}`", period.title());
            let reporter = pipeline.reporter(MANAGER, Fields::Only(&[]));
            reporter.event(collective, false, "PeriodSettled", note).await;
        }
        Err(error) if is_there(&error) => {
            let there = api.get(&name).await.map_err(failed)?;
            if there.spec != wanted.spec {
                let what = format!(
                    "Settlement `{name}` exists and says something else than the statement {}",
                    product.digest
                );
                return Err(Error::Domain(what));
            }
        }
        Err(source) => return Err(failed(source)),
    }
    Ok(name)
}
