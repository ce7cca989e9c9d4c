//! What the adapter is worth: held-out loss with and without it, samples, gates.

use cooperator_contract::manifest::{GateResult, Quality, Record, Sample};
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::run::{Gate, GateOperator, Metric, TrainTask};
use cooperator_data::tokens::Tokens;
use cooperator_models::config::LlamaConfig;
use cooperator_models::tokenizer::Tokenizer;
use cooperator_models::train::{Batch, Measure, TrainModel};
use cooperator_ops::cross_entropy::LossSum;

use super::settings::Settings;
use super::unsupported;
use crate::failure::Failure;
use crate::run::Context;

/// Tokens computed at once.
const BATCH: usize = 2048;
/// Most tokens of a sample.
const SAMPLE: usize = 48;

/// Held-out texts as tokens: the same for both models.
pub(super) struct HeldOut {
    batches: Vec<Batch>,
    tokens: u64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub tokens: u64,
    pub base: Quality,
    pub adapted: Quality,
    pub gates: Vec<GateResult>,
    pub samples: Vec<Sample>,
    /// Losses for the picture; none without held-out tokens.
    pub losses: Option<(f64, f64)>,
}

impl HeldOut {
    /// At most `bound` tokens (0: all) of the held-out records, in the order of their digests, each cut to a training
    /// sequence. The end of a text is not predicted: where records were cut says nothing about a model.
    pub(super) fn new(
        records: &[Record],
        tokens: &Tokens,
        bound: u64,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let mut records: Vec<&Record> = records.iter().collect();
        records.sort_by_key(|record| record.id);
        let (mut batches, mut pieces, mut rows, mut total) = (Vec::new(), Vec::new(), 0, 0);
        for record in records {
            let mut ids = tokens.encode(&record.text).map_err(unsupported)?;
            ids.truncate(settings.length);
            if bound > 0 && total > 0 && total + ids.len() as u64 > bound {
                break;
            }
            if ids.len() < 2 {
                continue;
            }
            total += ids.len() as u64;
            rows += ids.len();
            pieces.push(ids);
            if rows >= BATCH {
                batches.push(Batch::new(&std::mem::take(&mut pieces)).map_err(unsupported)?);
                rows = 0;
            }
        }
        if !pieces.is_empty() {
            batches.push(Batch::new(&pieces).map_err(unsupported)?);
        }
        Ok(Self { batches, tokens: total })
    }
}

/// Measures both models and looks at the gates. Without held-out tokens nothing can be measured, and no gate holds. A
/// loss that is no number is a failure: the last step may be the one that broke the adapter.
#[tracing::instrument(name = "evaluate", skip_all)]
pub(super) async fn measure(
    context: &Context,
    model: &mut TrainModel,
    held_out: &HeldOut,
    tokenizer: &Tokenizer,
    task: &TrainTask,
    config: &LlamaConfig,
) -> Result<Measured, Failure> {
    let mut sums = [LossSum::default(), LossSum::default()];
    for (done, batch) in held_out.batches.iter().enumerate() {
        stop_here(context)?;
        for (sum, measure) in sums.iter_mut().zip([Measure::Base, Measure::Adapted]) {
            *sum += tokio::task::block_in_place(|| model.loss(batch, measure)).map_err(unsupported)?;
        }
        let percentage = 92 + done * 5 / held_out.batches.len();
        context
            .reporter
            .update(|progress| progress.progress_percentage = u8::try_from(percentage).unwrap_or(97));
        // Others get a turn, the reporter among them.
        tokio::task::yield_now().await;
    }
    let [base, adapted] = sums.map(|sum| sum.mean());
    let losses = (held_out.tokens > 0).then_some((base, adapted));
    if losses.is_some() && !(base.is_finite() && adapted.is_finite()) {
        let message = format!(
            "held-out loss is {base} without and {adapted} with the adapter; lower the learning rate; \
             nothing is published"
        );
        return Err(Failure::new(FailureReason::LossNotFinite, message));
    }
    let mut samples = Vec::with_capacity(task.prompts.len());
    for prompt in &task.prompts {
        stop_here(context)?;
        let ids = tokenizer.encode(prompt).map_err(unsupported)?;
        let mut complete = |measure| -> Result<String, Failure> {
            let ids = tokio::task::block_in_place(|| greedy(model, &ids, measure, config))?;
            tokenizer.decode(&ids).map_err(unsupported)
        };
        let (base, adapted) = (complete(Measure::Base)?, complete(Measure::Adapted)?);
        samples.push(Sample { prompt: prompt.clone(), base, adapted });
    }
    let gates = task.gates.iter().map(|gate| judge(gate, losses)).collect::<Result<_, _>>()?;
    let quality = |loss: f64| Quality { loss: decimal(loss), perplexity: decimal(loss.exp()) };
    tracing::info!(base, adapted, tokens = held_out.tokens, "held-out loss");
    Ok(Measured {
        tokens: held_out.tokens,
        base: quality(base),
        adapted: quality(adapted),
        gates,
        samples,
        losses,
    })
}

fn stop_here(context: &Context) -> Result<(), Failure> {
    if !context.stop.is_cancelled() {
        return Ok(());
    }
    let message = "stopped by SIGTERM while evaluating; the next attempt evaluates the finished checkpoint";
    Err(Failure::new(FailureReason::Interrupted, message))
}

/// Four digits; zero where nothing was measured.
fn decimal(number: f64) -> String {
    format!("{:.4}", if number.is_finite() { number } else { 0.0 })
}

/// A gate against the losses of base and adapted model.
fn judge(gate: &Gate, losses: Option<(f64, f64)>) -> Result<GateResult, Failure> {
    let bound: f64 = gate.value.parse().ok().filter(|bound: &f64| bound.is_finite()).ok_or_else(|| {
        Failure::invalid(format!("evaluation.gates: value `{}` must be a decimal", gate.value.escape_debug()))
    })?;
    let Some((base, adapted)) = losses else {
        return Ok(GateResult { gate: gate.clone(), measured: decimal(0.0), passed: false });
    };
    let measured = match gate.metric {
        Metric::HeldOutLoss => adapted,
        Metric::HeldOutLossDrop => base - adapted,
        Metric::HeldOutPerplexity => adapted.exp(),
    };
    // NaN passes neither.
    let passed = match gate.operator {
        GateOperator::GreaterThanOrEqual => measured >= bound,
        GateOperator::LessThanOrEqual => measured <= bound,
    };
    Ok(GateResult { gate: gate.clone(), measured: decimal(measured), passed })
}

/// What the model goes on with, always taking the likeliest token, the first of equals.
fn greedy(
    model: &mut TrainModel,
    prompt: &[u32],
    measure: Measure,
    config: &LlamaConfig,
) -> Result<Vec<u32>, Failure> {
    let mut ids = prompt.to_vec();
    // An empty prompt begins as a text does.
    if ids.is_empty() {
        ids.extend(config.bos_token_id.or(config.eos_token_ids.first().copied()));
    }
    let start = ids.len();
    while ids.len() - start < SAMPLE && ids.len() < config.max_position_embeddings && start > 0 {
        // A batch has at least two rows; the second copy of a single token changes nothing for the first.
        let rows = if ids.len() == 1 { vec![ids[0], ids[0]] } else { ids.clone() };
        let batch = Batch::new(&[rows]).map_err(unsupported)?;
        let logits = model.logits(&batch, measure).map_err(unsupported)?;
        let row = logits.chunks(config.vocab_size).nth(ids.len() - 1).unwrap_or_default();
        let best = row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (id, logit)| {
            if *logit > best.1 { (id, *logit) } else { best }
        });
        let next = u32::try_from(best.0).map_err(Failure::internal)?;
        if config.eos_token_ids.contains(&next) {
            break;
        }
        ids.push(next);
    }
    Ok(ids.split_off(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(metric: Metric, operator: GateOperator, value: &str) -> Gate {
        Gate { metric, operator, value: value.to_owned() }
    }

    #[test]
    fn a_gate_compares_what_was_measured_with_its_own_value() {
        let drop = gate(Metric::HeldOutLossDrop, GateOperator::GreaterThanOrEqual, "0.10");
        let result = judge(&drop, Some((3.548, 3.299))).unwrap();
        assert_eq!((result.measured.as_str(), result.passed), ("0.2490", true));
        assert!(!judge(&drop, Some((3.548, 3.5))).unwrap().passed);
        let perplexity = gate(Metric::HeldOutPerplexity, GateOperator::LessThanOrEqual, "30");
        assert!(judge(&perplexity, Some((0.0, 3.299))).unwrap().passed);
    }

    #[test]
    fn no_gate_holds_where_nothing_was_measured() {
        for operator in [GateOperator::GreaterThanOrEqual, GateOperator::LessThanOrEqual] {
            let gate = gate(Metric::HeldOutLoss, operator, "0");
            assert!(!judge(&gate, None).unwrap().passed);
            assert!(!judge(&gate, Some((f64::NAN, f64::NAN))).unwrap().passed);
        }
        assert!(judge(&gate(Metric::HeldOutLoss, GateOperator::LessThanOrEqual, "inf"), None).is_err());
    }
}
