//! Pure: what status says.

use std::collections::BTreeMap;

use cooperator_api::common::{Attempt, Money, condition};
use cooperator_api::fine_tune::{
    AdapterStatus, EvaluationStatus, FineTune, FineTuneStatus, GateStatus, MemberShare, Metric, Quality,
};
use cooperator_contract::manifest::{self, MemberWeight};
use cooperator_contract::run;
use cooperator_core::attribution::apportion;

use super::dereference::Trained;
use super::gates::Pins;
use crate::domain::{Finding, Hold, count};
use crate::runs::{self, Failure, Phase};

/// Attempts that status keeps.
const ATTEMPTS: usize = 21;

/// What a reconcile found out.
#[derive(Clone, Debug)]
pub enum Training {
    /// A gate does not pass.
    Held(Hold),
    /// It is not tried again.
    GivenUp(Failure),
    /// Its run is somewhere.
    Running(Box<Running>),
    /// The adapter is there.
    Done,
}

/// A run under way, or just done.
#[derive(Clone, Debug)]
pub struct Running {
    /// The Collective that pays.
    pub collective: String,
    /// What it trains on.
    pub pins: Pins,
    /// All attempts.
    pub attempts: Vec<Attempt>,
    /// Where it stands.
    pub phase: Phase,
    /// Cost of the attempts that ended.
    pub cost: Money,
    /// What came out, if it has.
    pub trained: Option<Trained>,
}

/// Everything of status but the conditions, which need the ones before.
pub fn status(tune: &FineTune, training: Training) -> FineTuneStatus {
    let before = tune.status.clone().unwrap_or_default();
    let kept = FineTuneStatus {
        observed_generation: tune.metadata.generation,
        conditions: Vec::new(),
        // The progress endpoint writes it; whoever applies this status does not own it.
        progress: None,
        ..before
    };
    let running = match training {
        Training::Running(running) => running,
        // A changed spec has its say only once an attempt may follow it.
        Training::Held(_) => {
            return FineTuneStatus { observed_generation: before.observed_generation, ..kept };
        }
        Training::GivenUp(_) | Training::Done => return kept,
    };
    let Running { collective, pins, attempts, phase: _, cost, trained } = *running;
    // Pins are kept from the first attempt on: before it, a newer dataset version may still be taken.
    let pinned = !attempts.is_empty();
    let status = FineTuneStatus {
        attempts: runs::newest(attempts, ATTEMPTS),
        collective: pinned.then_some(collective),
        base_model_digest: pinned.then(|| pins.base_model.to_string()),
        dataset_digest: pinned.then(|| pins.dataset.to_string()),
        cost: Some(cost),
        ..kept
    };
    let Some(Trained { digest, manifest, evaluation, storage_uri }) = trained else { return status };
    FineTuneStatus {
        adapter: Some(AdapterStatus {
            digest: digest.to_string(),
            storage_uri,
            bytes: count(evaluation.adapter_bytes),
        }),
        evaluation: Some(EvaluationStatus {
            base: quality(evaluation.base),
            adapted: quality(evaluation.adapted),
            gates: evaluation.gates.into_iter().map(gate).collect(),
        }),
        attribution: shares(&manifest.attribution),
        ..status
    }
}

/// What is found, `Ready` first. `after` is the status as [`status`] makes it.
pub fn findings(tune: &FineTune, after: &FineTuneStatus, training: &Training) -> Vec<Finding> {
    if let Some(adapter) = &after.adapter {
        return finished(adapter, after);
    }
    let hold = match training {
        Training::Held(hold) => hold.clone(),
        Training::GivenUp(failure) => Hold::new(failure.kind.to_string(), failure.message.clone()),
        Training::Running(running) => {
            runs::explain(&running.phase, ("Training", "the adapter is being trained"))
        }
        Training::Done => Hold::new("Training", "the adapter is being trained"),
    };
    let gave_up = match training {
        Training::GivenUp(_) => true,
        Training::Running(running) => matches!(running.phase, Phase::GivenUp(_)),
        Training::Held(_) | Training::Done => false,
    };
    let failed = if gave_up {
        Finding::yes(condition::FAILED, hold.reason.clone(), hold.message.clone())
    } else {
        Finding::no(condition::FAILED, "NotFailed", "it is not given up")
    };
    vec![
        Finding::held(condition::READY, &hold),
        Finding::held(condition::COMPLETE, &hold),
        failed,
        suspended(tune, training),
    ]
}

fn finished(adapter: &AdapterStatus, after: &FineTuneStatus) -> Vec<Finding> {
    let gates = after.evaluation.iter().flat_map(|evaluation| &evaluation.gates);
    let failing: Vec<String> = gates
        .filter(|gate| !gate.passed)
        .map(|gate| format!("{:?} is {}", gate.metric, gate.value))
        .collect();
    let ready = if failing.is_empty() {
        Finding::yes(condition::READY, "Trained", format!("adapter {} may be served", adapter.digest))
    } else {
        let message = format!("the adapter is kept but may not be served: {}", failing.join(", "));
        Finding::no(condition::READY, "GateFailed", message)
    };
    vec![
        ready,
        Finding::yes(condition::COMPLETE, "Trained", "training and evaluation are done"),
        Finding::no(condition::FAILED, "NotFailed", "it is not given up"),
        Finding::no(condition::SUSPENDED, "NotSuspended", "nothing holds it back"),
    ]
}

fn suspended(tune: &FineTune, training: &Training) -> Finding {
    let stopping =
        matches!(training, Training::Running(running) if matches!(running.phase, Phase::Draining(_)));
    match (tune.spec.suspend, stopping) {
        (true, true) => Finding::no(condition::SUSPENDED, "Stopping", "the pod writes a checkpoint and ends"),
        (true, false) => Finding::yes(condition::SUSPENDED, "Suspended", "spec.suspend is true"),
        (false, _) => Finding::no(condition::SUSPENDED, "NotSuspended", "nothing holds it back"),
    }
}

fn quality(quality: manifest::Quality) -> Quality {
    let manifest::Quality { loss, perplexity } = quality;
    Quality { loss, perplexity }
}

fn gate(result: manifest::GateResult) -> GateStatus {
    let manifest::GateResult { gate, measured, passed } = result;
    let metric = match gate.metric {
        run::Metric::HeldOutLoss => Metric::HeldOutLoss,
        run::Metric::HeldOutLossDrop => Metric::HeldOutLossDrop,
        run::Metric::HeldOutPerplexity => Metric::HeldOutPerplexity,
    };
    GateStatus { metric, value: measured, passed }
}

/// Weights in basis points, adding up to 10000, for people; money is split by the weights.
fn shares(weights: &[MemberWeight]) -> Vec<MemberShare> {
    let parts: BTreeMap<&str, u128> =
        weights.iter().map(|weight| (weight.member.as_str(), u128::from(weight.weight))).collect();
    let points = apportion(&parts, 10_000);
    parts
        .keys()
        .zip(points)
        .map(|(member, points)| MemberShare {
            member: (*member).to_owned(),
            basis_points: i32::try_from(points).unwrap_or_default(),
        })
        .collect()
}
