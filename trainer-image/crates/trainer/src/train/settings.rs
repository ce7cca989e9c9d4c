//! The task's parameters, parsed once.

use cooperator_contract::canonical;
use cooperator_contract::run::{LoraOptions, Schedule as Shape, TrainTask, TrainingOptions};
use cooperator_core::digest::Digest;
use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::LoraConfig;
use cooperator_models::optimizer::{AdamWConfig, Decay, Schedule};
use serde::Serialize;

use super::policy::Policy;
use crate::failure::Failure;

/// Parameters of a training, within their bounds.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub lora: LoraConfig,
    pub optimizer: AdamWConfig,
    pub schedule: Schedule,
    pub clip_norm: f64,
    pub seed: u64,
    pub steps: u64,
    /// Sequences a micro-batch.
    pub batch: usize,
    /// Tokens a sequence.
    pub length: usize,
    /// Micro-batches a step.
    pub accumulation: u64,
    pub policy: Policy,
    /// Of everything that decides what each step computes.
    pub task: Digest,
}

/// What [`Settings::task`] is the digest of: what only decides when to save, or what to do afterwards, is not in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Course<'a> {
    base_model: &'a Digest,
    dataset: &'a Digest,
    lora: &'a LoraOptions,
    training: &'a TrainingOptions,
}

impl Settings {
    pub(super) fn parse(task: &TrainTask) -> Result<Self, Failure> {
        let (lora, training) = (&task.lora, &task.training);
        let course = Course { base_model: &task.base_model, dataset: &task.dataset_digest, lora, training };
        let weight_decay = decimal("training.weightDecay", &training.weight_decay, 0.0, 10.0)?;
        let clip_norm = decimal("training.clipNorm", &training.clip_norm, 0.0, 1e9)?;
        Ok(Self {
            lora: LoraConfig {
                rank: lora.rank as usize,
                alpha: f64::from(lora.alpha),
                dropout: decimal("lora.dropout", &lora.dropout, 0.0, 0.999)?,
                target_modules: lora.target_modules.clone(),
            },
            optimizer: AdamWConfig { weight_decay, ..AdamWConfig::default() },
            schedule: Schedule {
                peak: decimal("training.learningRate", &training.learning_rate, 0.0, 1e3)?,
                warmup: training.warmup_steps,
                total: training.max_steps,
                decay: match training.schedule {
                    Shape::Constant => Decay::Constant,
                    Shape::Linear => Decay::Linear,
                    Shape::Cosine => Decay::Cosine,
                },
            },
            clip_norm,
            seed: training.seed,
            steps: whole("training.maxSteps", training.max_steps, 1)?,
            batch: size("training.batchSize", training.batch_size, 1)?,
            length: size("training.sequenceLength", training.sequence_length, 2)?,
            accumulation: whole("training.gradientAccumulation", training.gradient_accumulation.into(), 1)?,
            policy: Policy {
                every: task.checkpoint_every_steps,
                total: training.max_steps,
                keep: task.checkpoint_keep,
            },
            task: Digest::of(&canonical(&course).map_err(Failure::internal)?),
        })
    }

    /// Refuses what this base model cannot do.
    pub(super) fn check(&self, config: &LlamaConfig) -> Result<(), Failure> {
        let (length, bound) = (self.length, config.max_position_embeddings);
        if length <= bound {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "training.sequenceLength is {length}; the base model's context is {bound} tokens, so set {bound} or less"
        )))
    }
}

fn decimal(field: &str, text: &str, least: f64, most: f64) -> Result<f64, Failure> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        Failure::invalid(format!(
            "{field} is `{}`; it must be a decimal from {least} to {most}",
            text.escape_debug()
        ))
    })
}

fn whole(field: &str, number: u64, least: u64) -> Result<u64, Failure> {
    if number >= least {
        Ok(number)
    } else {
        Err(Failure::invalid(format!("{field} is {number}; it must be at least {least}")))
    }
}

fn size(field: &str, number: u32, least: u64) -> Result<usize, Failure> {
    whole(field, number.into(), least)?;
    usize::try_from(number).map_err(Failure::internal)
}
