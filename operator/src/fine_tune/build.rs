//! Pure: the training run.

use cooperator_api::fine_tune::{self as api, FineTune};
use cooperator_contract::run::{
    AttributionMethod, Gate, GateOperator, LoraOptions, Metric, Schedule, Task, TrainTask, TrainingOptions,
};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt as _;

use super::gates::Admitted;
use crate::domain::resources;
use crate::runs::{Failure, Machine, Owner, Plan, Program, QUEUE_LABEL, Shape, StorageAccess};

/// A finished Job stays at least as long as another replica needs to take over and read how it ended: one that goes
/// sooner would look like one that was never made.
const LEAST_TTL_SECONDS: i32 = 300;

/// Where its attempt runs.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The rented machine; none: any node.
    pub machine: Option<Machine>,
    /// Why the attempt under way cannot go on there.
    pub leave: Option<Failure>,
}

/// The run of an admitted FineTune. `budget_seconds` ends an attempt before its money is spent.
pub fn plan(
    tune: &FineTune,
    owner: Owner,
    admitted: &Admitted,
    budget_seconds: Option<u64>,
    place: Place,
    image: &str,
) -> Plan {
    let spec = &tune.spec;
    let compute = &spec.compute;
    let most = budget_seconds.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX);
    Plan {
        job_prefix: owner.name.clone(),
        collective: admitted.collective.clone(),
        program: Program::Train,
        bucket: admitted.bucket.clone(),
        storage: if place.machine.is_some() { StorageAccess::Brokered } else { StorageAccess::Key },
        task: Task::Train(Box::new(task(tune, admitted, image))),
        source_secret: None,
        claims: Default::default(),
        shape: Shape {
            resources: compute.resources.clone().unwrap_or_else(default_resources),
            node_selector: compute.node_selector.clone(),
            tolerations: compute.tolerations.clone(),
        },
        machine: place.machine,
        leave: place.leave,
        deadline_seconds: spec.active_deadline_seconds.min(most).max(1),
        ttl_seconds: spec.ttl_seconds_after_finished.max(LEAST_TTL_SECONDS),
        queue: tune.labels().get(QUEUE_LABEL).cloned(),
        owner,
    }
}

/// Resources of a training whose spec names none.
pub fn default_resources() -> ResourceRequirements {
    resources("1", "4Gi", "8Gi")
}

fn task(tune: &FineTune, admitted: &Admitted, image: &str) -> TrainTask {
    let spec = &tune.spec;
    TrainTask {
        fine_tune: tune.name_any(),
        base_model: admitted.pins.base_model,
        dataset: spec.dataset_ref.name.clone(),
        dataset_digest: admitted.pins.dataset,
        lora: lora(&spec.lora),
        training: training(&spec.training),
        checkpoint_every_steps: unsigned(spec.checkpoint.every_steps),
        checkpoint_keep: small(spec.checkpoint.keep),
        prompts: spec.evaluation.prompts.clone(),
        evaluation_tokens: unsigned(spec.evaluation.max_tokens),
        gates: spec.evaluation.gates.iter().map(gate).collect(),
        attribution: match spec.attribution.method {
            api::AttributionMethod::None => AttributionMethod::None,
            api::AttributionMethod::Tokens => AttributionMethod::Tokens,
        },
        builder_image: image.to_owned(),
    }
}

fn lora(lora: &api::Lora) -> LoraOptions {
    let api::Lora { rank, alpha, dropout, target_modules } = lora;
    let mut modules = target_modules.clone();
    modules.sort_unstable();
    modules.dedup();
    LoraOptions {
        rank: small(*rank),
        alpha: small(*alpha),
        dropout: dropout.clone(),
        target_modules: modules.into_iter().map(|module| module.name().to_owned()).collect(),
    }
}

fn training(training: &api::Training) -> TrainingOptions {
    let api::Training {
        max_steps,
        batch_size,
        sequence_length,
        gradient_accumulation,
        learning_rate,
        schedule,
        warmup_steps,
        weight_decay,
        clip_norm,
        seed,
    } = training;
    TrainingOptions {
        max_steps: unsigned(*max_steps),
        batch_size: small(*batch_size),
        sequence_length: small(*sequence_length),
        gradient_accumulation: small(*gradient_accumulation),
        learning_rate: learning_rate.clone(),
        schedule: match schedule {
            api::Schedule::Constant => Schedule::Constant,
            api::Schedule::Linear => Schedule::Linear,
            api::Schedule::Cosine => Schedule::Cosine,
        },
        warmup_steps: unsigned(*warmup_steps),
        weight_decay: weight_decay.clone(),
        clip_norm: clip_norm.clone(),
        seed: unsigned(*seed),
    }
}

fn gate(gate: &api::Gate) -> Gate {
    let api::Gate { metric, operator, value } = gate;
    Gate {
        metric: match metric {
            api::Metric::HeldOutLoss => Metric::HeldOutLoss,
            api::Metric::HeldOutLossDrop => Metric::HeldOutLossDrop,
            api::Metric::HeldOutPerplexity => Metric::HeldOutPerplexity,
        },
        operator: match operator {
            api::GateOperator::GreaterThanOrEqual => GateOperator::GreaterThanOrEqual,
            api::GateOperator::LessThanOrEqual => GateOperator::LessThanOrEqual,
        },
        value: value.clone(),
    }
}

/// The API bounds these from below at zero.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn small(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
