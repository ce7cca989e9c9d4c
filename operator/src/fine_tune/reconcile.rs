//! The steps, in order.

use std::sync::Arc;

use cooperator_api::collective::Collective;
use cooperator_api::common::Attempt;
use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_api::node_claim::NodeClaim;
use cooperator_core::money::PricePerHour;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::build::Place;
use super::gates::{self, Admitted, Pins, World};
use super::machine::{self, Need};
use super::status::{self, Running, Training};
use super::{books, build, cleanup, cost, delete, dereference, machines};
use crate::domain::{self, Hold};
use crate::pipeline::{Error, Pipeline, again, owner, spoiled};
use crate::report::Fields;
use crate::runs::{self, Phase, Plan, Rules, Silence};

/// Field manager of this controller.
pub(super) const MANAGER: &str = "cooperator-finetune";
/// What of status another controller does not own.
pub(super) const FIELDS: Fields = Fields::AllBut(&["progress"]);

/// Brings one FineTune nearer to what its spec asks for.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(tune: Arc<FineTune>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    let world = dereference::world(&pipeline, &tune).await?; // client
    if tune.metadata.deletion_timestamp.is_some() {
        return delete::delete(&pipeline, &tune, &world).await;
    }
    if !cleanup::finalizer_is_right(&pipeline, &tune, &world).await? {
        return Ok(Action::await_change());
    }
    let now = pipeline.clock.now();
    let claims = machines::of(&pipeline, &tune).await?; // client
    let training = train(&pipeline, &tune, &world, &claims).await?;
    let after = match &training {
        Training::Running(running) => runs::look_again(&running.phase, now),
        Training::Held(_) | Training::GivenUp(_) | Training::Done => None,
    };
    let status = status::status(&tune, training.clone()); // pure
    let status = books::with_machines(status, &tune, &claims, now); // pure
    let status = waiting(status, &tune, &training, &claims, now); // pure
    machines::release(&pipeline, &machine::idle(&tune, &status, &training, &claims)).await?; // client
    let findings = status::findings(&tune, &status, &training); // pure
    let reporter = pipeline.reporter(MANAGER, FIELDS);
    reporter.report(&*tune, &status, &findings, now).await?; // client
    Ok(again(after))
}

async fn train(
    pipeline: &Pipeline,
    tune: &FineTune,
    world: &World,
    claims: &[NodeClaim],
) -> Result<Training, Error> {
    let before = tune.status.clone().unwrap_or_default();
    if before.adapter.is_some() {
        return Ok(Training::Done);
    }
    let rules = rules(tune, &before, pipeline.listening_since);
    if let Some(failure) = runs::given_up(&before.attempts, rules) {
        return Ok(Training::GivenUp(failure));
    }
    let need = machine::need(tune, claims, &before.attempts); // pure
    let price = machine::price(&need, claims); // pure
    let (admitted, seconds) = match under_way(world, &before) {
        Some(admitted) => {
            let left = world.collective.as_ref().and_then(|home| seconds_left(tune, home, price));
            (admitted, left)
        }
        None => match admit(pipeline, tune, world, price).await? {
            Ok(admitted) => admitted,
            Err(hold) => return Ok(held(tune, hold)),
        },
    };
    if tune.spec.suspend && !is_open(&before) && matches!(need, Need::Claim(_) | Need::Wait(_)) {
        return Ok(held(tune, Hold::new("Suspended", "")));
    }
    let place = match machines::provide(pipeline, tune, world, &admitted, need).await? {
        Need::None | Need::Claim(_) => Place::default(),
        Need::Use(machine) => Place { machine: Some(machine), leave: None },
        Need::Leave(machine, why) => Place { machine: Some(machine), leave: Some(why) },
        Need::Wait(hold) => return Ok(held(tune, hold)),
    }; // client
    let owner = owner(tune, "finetune", "finetunes");
    let plan = build::plan(tune, owner, &admitted, seconds, place, &pipeline.site.trainer_image); // pure
    run(pipeline, tune, world, plan, admitted.pins, rules).await
}

/// Whether an attempt is under way.
fn is_open(before: &FineTuneStatus) -> bool {
    before.attempts.last().is_some_and(|newest| newest.ended_at.is_none())
}

/// What it waits for, where it rents machines, and what the rest is likely to take.
fn waiting(
    status: FineTuneStatus,
    tune: &FineTune,
    training: &Training,
    claims: &[NodeClaim],
    now: Timestamp,
) -> FineTuneStatus {
    let rents = tune.spec.compute.node_pool_ref.is_some();
    let hold = match training {
        Training::Held(hold) if rents => Some(hold),
        _ => None,
    };
    let position =
        machine::newest(claims, &status.attempts).and_then(|claim| claim.status.as_ref()?.position);
    FineTuneStatus {
        waiting: books::waiting(tune, hold, position, now),
        estimate: books::estimate(claims, &status.attempts).filter(|_| rents && status.adapter.is_none()),
        ..status
    }
}

fn rules(tune: &FineTune, before: &FineTuneStatus, listening_since: Timestamp) -> Rules {
    let reported = before.progress.as_ref().and_then(|progress| progress.last_updated_time.as_deref());
    let reported = reported.and_then(|time| time.parse().ok()).unwrap_or(listening_since);
    Rules {
        retries: u32::try_from(tune.spec.backoff_limit).unwrap_or_default(),
        suspend: tune.spec.suspend,
        renewed: before.observed_generation != tune.metadata.generation,
        silence: Some(Silence {
            most: SignedDuration::from_secs(tune.spec.progress_deadline_seconds.into()),
            since: listening_since.max(reported),
        }),
    }
}

/// The gates. An attempt that is under way has passed them.
async fn admit(
    pipeline: &Pipeline,
    tune: &FineTune,
    world: &World,
    price: Option<PricePerHour>,
) -> Result<Result<(Admitted, Option<u64>), Hold>, Error> {
    let admitted = match gates::references(tune, world) {
        Ok(admitted) => admitted,
        Err(hold) => return Ok(Err(hold)),
    }; // pure
    let manifest = match dereference::version(pipeline, tune, &admitted).await {
        Ok(manifest) => manifest,
        Err(Error::Store(error)) if spoiled(&error) => {
            return Ok(Err(Hold::new("DatasetUnreadable", error.to_string())));
        }
        Err(error) => return Err(error),
    }; // client
    let Some(collective) = &world.collective else { return Ok(Err(Hold::new("CollectiveNotFound", ""))) };
    let seconds = gates::consent(&manifest, world).and_then(|()| gates::money(tune, collective, price)); // pure
    Ok(seconds.map(|seconds| (admitted, seconds)))
}

/// What an attempt that was written down may take; a budget that has been spent since leaves it a second.
fn seconds_left(tune: &FineTune, collective: &Collective, price: Option<PricePerHour>) -> Option<u64> {
    gates::money(tune, collective, price).unwrap_or(Some(1))
}

/// What an attempt that has not ended trains on.
pub(super) fn under_way(world: &World, before: &FineTuneStatus) -> Option<Admitted> {
    before.attempts.last().filter(|newest| newest.ended_at.is_none())?;
    let collective = world.collective.as_ref()?;
    Some(Admitted {
        collective: collective.name_any(),
        bucket: domain::located(collective.status.as_ref()?.storage.as_ref()?),
        pins: Pins {
            base_model: before.base_model_digest.as_deref()?.parse().ok()?,
            dataset: before.dataset_digest.as_deref()?.parse().ok()?,
        },
    })
}

/// A hold, but suspension comes first.
fn held(tune: &FineTune, hold: Hold) -> Training {
    if tune.spec.suspend {
        return Training::Held(Hold::new("Suspended", "spec.suspend is true: set it to false to go on"));
    }
    Training::Held(hold)
}

async fn run(
    pipeline: &Pipeline,
    tune: &FineTune,
    world: &World,
    plan: Plan,
    pins: Pins,
    rules: Rules,
) -> Result<Training, Error> {
    let now = pipeline.clock.now();
    let before = tune.status.clone().unwrap_or_default();
    let (mut attempts, mut phase) =
        runs::advance(&pipeline.client, &pipeline.site, &plan, before.attempts, rules, now).await?; // client
    let mut trained = None;
    if let Phase::Produced(product) = phase.clone() {
        match dereference::result(pipeline, &plan.owner.namespace, &plan.bucket, &product).await {
            Ok(result) => trained = Some(result),
            Err(Error::Store(error)) if spoiled(&error) => {
                (attempts, phase) = runs::spoil(attempts, error.to_string(), now);
            }
            Err(error) => return Err(error),
        }
    }
    let cost = cost_of(tune, world, &attempts)?; // pure
    let collective = plan.collective;
    Ok(Training::Running(Box::new(Running { collective, pins, attempts, phase, cost, trained })))
}

fn cost_of(
    tune: &FineTune,
    world: &World,
    attempts: &[Attempt],
) -> Result<cooperator_api::common::Money, Error> {
    let collective = world.collective.as_ref();
    let currency = collective.map_or("", |collective| &collective.spec.treasury.currency);
    Ok(cost::with_ended(tune, attempts, cost::price(collective)?, currency))
}
