//! How it is trained, and when what was learnt is saved.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Optimiser parameters.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.warmupSteps <= self.maxSteps").message("warmupSteps must not exceed maxSteps").field_path(".warmupSteps"))]
pub struct Training {
    /// Optimiser steps, 1 to 10000000. Default: 100.
    #[serde(default = "default_max_steps")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_steps: i64,
    /// Sequences a micro-batch, 1 to 1024. Default: 2.
    #[serde(default = "default_batch_size")]
    #[schemars(range(min = 1, max = 1024))]
    pub batch_size: i32,
    /// Tokens a sequence, 8 to 131072; no more than the base model allows. Default: 256.
    #[serde(default = "default_sequence_length")]
    #[schemars(range(min = 8, max = 131_072))]
    pub sequence_length: i32,
    /// Micro-batches a step, 1 to 1024. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub gradient_accumulation: i32,
    /// Peak learning rate, decimal string from 1e-10 to 1, such as `1e-3` or `0.0002`. Default: 1e-3.
    #[serde(default = "default_learning_rate")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[0-9]+(\.[0-9]+)?(e-?[0-9]{1,2})?$') && double(self) >= 1e-10 && double(self) <= 1.0").message("must be a decimal string from 1e-10 to 1, such as `1e-3` or `0.0002`"))]
    pub learning_rate: String,
    /// Constant, Linear or Cosine, after warm-up. Default: Cosine.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps of linear warm-up, 0 to 1000000. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub warmup_steps: i64,
    /// AdamW weight decay, decimal string from 0 to 10. Default: 0.01.
    #[serde(default = "default_weight_decay")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[0-9]+(\.[0-9]+)?$') && double(self) <= 10.0").message("must be a decimal string from 0 to 10, such as `0.01`"))]
    pub weight_decay: String,
    /// Bound of the gradient's norm, decimal string from 0 to 1000000; 0 does not clip. Default: 1.0.
    #[serde(default = "default_clip_norm")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[0-9]+(\.[0-9]+)?$') && double(self) <= 1000000.0").message("must be a decimal string from 0 (no clipping) to 1000000, such as `1.0`"))]
    pub clip_norm: String,
    /// Seeds initialisation, order and dropout, 0 to 9007199254740991. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            max_steps: default_max_steps(),
            batch_size: default_batch_size(),
            sequence_length: default_sequence_length(),
            gradient_accumulation: one(),
            learning_rate: default_learning_rate(),
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            weight_decay: default_weight_decay(),
            clip_norm: default_clip_norm(),
            seed: 0,
        }
    }
}

fn default_max_steps() -> i64 {
    100
}

fn default_batch_size() -> i32 {
    2
}

fn default_sequence_length() -> i32 {
    256
}

fn one() -> i32 {
    1
}

fn default_learning_rate() -> String {
    "1e-3".into()
}

fn default_weight_decay() -> String {
    "0.01".into()
}

fn default_clip_norm() -> String {
    "1.0".into()
}

/// Learning-rate schedule after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Falls linearly to zero.
    Linear,
    /// Falls to zero by half a cosine.
    #[default]
    Cosine,
}

/// When checkpoints are written, besides on SIGTERM.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Steps between checkpoints, 0 to 1000000; 0 writes none. Default: 50.
    #[serde(default = "default_every_steps")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub every_steps: i64,
    /// Checkpoints kept, 1 to 100. Default: 2.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: i32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every_steps: default_every_steps(), keep: default_keep() }
    }
}

fn default_every_steps() -> i64 {
    50
}

fn default_keep() -> i32 {
    2
}
