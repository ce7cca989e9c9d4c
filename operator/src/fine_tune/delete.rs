//! The steps of a FineTune that is to go, in order.

use std::time::Duration;

use cooperator_api::fine_tune::FineTune;
use cooperator_api::names::FINALIZER;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::build::{self, Place};
use super::cleanup::{self, Farewell};
use super::gates::World;
use super::reconcile::{FIELDS, MANAGER, under_way};
use super::{books, machines};
use crate::pipeline::{Error, Pipeline, again, owner};
use crate::runs;

/// How soon what is on its way out is looked at again.
const SOON: Duration = Duration::from_secs(2);

/// The run is stopped and its machines are given back before its cost is written down and what it writes is removed. Events
/// tell it: there is no status to look at afterwards.
pub async fn delete(pipeline: &Pipeline, tune: &FineTune, world: &World) -> Result<Action, Error> {
    if !tune.finalizers().iter().any(|name| name == FINALIZER) {
        return Ok(Action::await_change());
    }
    let before = tune.status.clone().unwrap_or_default();
    if let Some(admitted) = under_way(world, &before) {
        let owner = owner(tune, "finetune", "finetunes");
        let plan = build::plan(tune, owner, &admitted, None, Place::default(), &pipeline.site.trainer_image);
        if runs::stopping(&pipeline.client, &plan, &before.attempts).await? {
            return Ok(again(Some(SOON)));
        }
    }
    let reporter = pipeline.reporter(MANAGER, FIELDS);
    let claims = machines::of(pipeline, tune).await?; // client
    machines::release(pipeline, &claims.iter().collect::<Vec<_>>()).await?; // client
    let now = pipeline.clock.now();
    let status = books::with_machines(
        cooperator_api::fine_tune::FineTuneStatus { progress: None, ..before },
        tune,
        &claims,
        now,
    ); // pure
    // What machines cost is known once they have ended; their claims wait until it stands here.
    let written = reporter.report(tune, &status, &[], now).await?; // client
    if written || !claims.is_empty() || !books::are_closed(&status) {
        return Ok(again(Some(SOON)));
    }
    match cleanup::remove(pipeline, tune, world).await {
        Ok(Farewell { warning, reason, note }) => reporter.event(tune, warning, reason, note).await,
        Err(error) => {
            let note = format!("it goes as soon as this works: {error}");
            reporter.event(tune, true, "DeletionWaits", note).await;
            return Err(error);
        }
    }
    cleanup::release(pipeline, tune).await?;
    Ok(Action::await_change())
}
