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
use super::workload::Workload;
use crate::failure::Failure;
use crate::run::Context;

/// Tokens computed at once.
const BATCH: usize = 2048;
/// Most tokens of a sample.
const SAMPLE: usize = 48;
/// What is measured.
const BOTH: [Measure; 2] = [Measure::Base, Measure::Adapted];

/// What both models are asked.
pub(super) struct Exam<'a> {
    task: &'a TrainTask,
    /// Held-out texts.
    batches: Vec<Batch>,
    /// Of the held-out texts.
    tokens: u64,
    /// Each of the task's.
    prompts: Vec<Vec<u32>>,
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

impl<'a> Exam<'a> {
    /// At most as many tokens as the task says (0: all) of the held-out records, in the order of their digests, each cut to
    /// a training sequence; and its prompts. The end of a text is not predicted: where records were cut says nothing about a
    /// model.
    pub(super) fn new(
        records: &[Record],
        tokens: &Tokens,
        tokenizer: &Tokenizer,
        task: &'a TrainTask,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let bound = task.evaluation_tokens;
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
        let prompts = task.prompts.iter().map(|prompt| tokenizer.encode(prompt).map_err(unsupported));
        let prompts = prompts.collect::<Result<_, _>>()?;
        Ok(Self { task, batches, tokens: total, prompts })
    }

    /// Tokens that go forward for both models.
    pub(super) fn work(&self) -> u64 {
        BOTH.len() as u64 * (self.tokens + self.prompts.iter().map(|prompt| sample_work(prompt)).sum::<u64>())
    }

    /// Measures both models and looks at the gates. Without held-out tokens nothing can be measured, and no gate holds. A
    /// loss that is no number is a failure: the last step may be the one that broke the adapter.
    #[tracing::instrument(name = "evaluate", skip_all)]
    pub(super) async fn measure(
        &self,
        context: &Context,
        model: &mut TrainModel,
        tokenizer: &Tokenizer,
        config: &LlamaConfig,
        workload: &mut Workload,
    ) -> Result<Measured, Failure> {
        let losses = self.losses(context, model, workload).await?;
        let samples = self.samples(context, model, tokenizer, config, workload).await?;
        let gates = self.task.gates.iter().map(|gate| judge(gate, losses)).collect::<Result<_, _>>()?;
        let quality = |loss: f64| Quality { loss: decimal(loss), perplexity: decimal(loss.exp()) };
        let (base, adapted) = losses.unwrap_or((f64::NAN, f64::NAN));
        tracing::info!(base, adapted, tokens = self.tokens, "held-out loss");
        let (base, adapted) = (quality(base), quality(adapted));
        Ok(Measured { tokens: self.tokens, base, adapted, gates, samples, losses })
    }

    /// Mean loss without and with the adapter; None without held-out tokens.
    async fn losses(
        &self,
        context: &Context,
        model: &mut TrainModel,
        workload: &mut Workload,
    ) -> Result<Option<(f64, f64)>, Failure> {
        let mut sums = BOTH.map(|_| LossSum::default());
        for batch in &self.batches {
            for (sum, measure) in sums.iter_mut().zip(BOTH) {
                stop_here(context)?;
                *sum += tokio::task::block_in_place(|| model.loss(batch, measure)).map_err(unsupported)?;
                went(context, workload, batch.tokens() as u64).await;
            }
        }
        let [base, adapted] = sums.map(|sum| sum.mean());
        if self.tokens > 0 && !(base.is_finite() && adapted.is_finite()) {
            let message = format!(
                "held-out loss is {base} without and {adapted} with the adapter; lower the learning rate; \
                 nothing is published"
            );
            return Err(Failure::new(FailureReason::LossNotFinite, message));
        }
        Ok((self.tokens > 0).then_some((base, adapted)))
    }

    /// What each model makes of each prompt.
    async fn samples(
        &self,
        context: &Context,
        model: &mut TrainModel,
        tokenizer: &Tokenizer,
        config: &LlamaConfig,
        workload: &mut Workload,
    ) -> Result<Vec<Sample>, Failure> {
        let mut samples = Vec::with_capacity(self.prompts.len());
        for (prompt, ids) in self.task.prompts.iter().zip(&self.prompts) {
            let mut completions = BOTH.map(|_| String::new());
            for (completion, measure) in completions.iter_mut().zip(BOTH) {
                stop_here(context)?;
                let next = tokio::task::block_in_place(|| greedy(model, ids, measure, config))?;
                *completion = tokenizer.decode(&next).map_err(unsupported)?;
                went(context, workload, sample_work(ids)).await;
            }
            let [base, adapted] = completions;
            samples.push(Sample { prompt: prompt.clone(), base, adapted });
        }
        Ok(samples)
    }
}

/// So many tokens went forward: says so, and gives others a turn, the reporter among them.
async fn went(context: &Context, workload: &mut Workload, tokens: u64) {
    workload.forward(tokens);
    workload.report(&context.reporter);
    tokio::task::yield_now().await;
}

/// Tokens that go forward for a sample: all that is there, once more for each token that comes.
fn sample_work(prompt: &[u32]) -> u64 {
    (SAMPLE * prompt.len() + SAMPLE * (SAMPLE - 1) / 2) as u64
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
