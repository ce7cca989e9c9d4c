//! Manifests: what an object in content-addressed storage is made of. A manifest is written after everything it
//! names; its digest is the sha256 of its [`crate::canonical`] bytes; whoever reads checks.

use cooperator_core::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::run::{LoraOptions, RefusedContribution, SplitShare, TextOptions, TrainingOptions};

/// A named file kept as a blob or beside its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// File name without folders.
    pub name: String,
    /// sha256 of its bytes.
    pub digest: Digest,
    /// Size.
    pub bytes: u64,
}

/// An imported base model in Hugging Face layout: `config.json`, `tokenizer.json`, `tokenizer_config.json`,
/// `model*.safetensors`, each a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelManifest {
    /// `model_type` of the config: `llama`.
    pub architecture: String,
    /// Number of parameters, tied weights counted once.
    pub parameters: u64,
    /// SPDX expression.
    pub license: String,
    /// Digest of the source as read.
    pub source_digest: Digest,
    /// Sorted by name.
    pub files: Vec<File>,
}

impl ModelManifest {
    /// Of all its files: what whoever uses it downloads.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// One immutable version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatasetManifest {
    /// Base model whose tokenizer counted.
    pub base_model: Digest,
    /// How the texts were read.
    pub text: TextOptions,
    /// Whether exact duplicates were dropped.
    pub deduplicate: bool,
    /// Part held out, in basis points.
    pub holdout_basis_points: u16,
    /// Every contribution that was read, sorted by name.
    pub contributions: Vec<ContributionCount>,
    /// Every contribution that was not, sorted by name.
    pub refused: Vec<RefusedContribution>,
    /// Blobs of [`Record`] lines to train on, in order.
    pub shards: Vec<Shard>,
    /// Blobs of [`Record`] lines held out.
    pub held_out: Vec<Shard>,
    /// Records to train on.
    pub records: u64,
    /// Tokens to train on.
    pub tokens: u64,
}

/// What one contribution gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContributionCount {
    /// Name of the Contribution.
    pub name: String,
    /// Who gave it.
    pub member: String,
    /// SPDX expression.
    pub license: String,
    /// Digest of the source as read.
    pub source_digest: Digest,
    /// Who is credited.
    pub split_sheet: Vec<SplitShare>,
    /// Records to train on.
    pub records: u64,
    /// Tokens to train on.
    pub tokens: u64,
    /// Records dropped as duplicates.
    pub duplicates: u64,
    /// Records held out.
    pub held_out_records: u64,
}

/// A blob of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shard {
    /// sha256 of the blob.
    pub digest: Digest,
    /// Size.
    pub bytes: u64,
    /// Lines.
    pub records: u64,
    /// Tokens in them.
    pub tokens: u64,
}

/// A line of a shard (JSON Lines).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// sha256 of the normalised text.
    pub id: Digest,
    /// Name of the Contribution.
    pub contribution: String,
    /// Normalised text.
    pub text: String,
    /// Its tokens by the base model's tokenizer, no special tokens.
    pub tokens: u32,
}

/// A state from which training goes on exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckpointManifest {
    /// `metadata.uid` of the FineTune.
    pub run: String,
    /// Attempt that wrote it.
    pub attempt: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Digest of the task: a checkpoint of other parameters is not resumed from.
    pub task: Digest,
    /// Blob: adapter tensors (safetensors, f32).
    pub adapter: Digest,
    /// Blob: optimiser moments (safetensors, f32).
    pub optimizer: Digest,
    /// Blob: JSON with data position, random state and the loss curve so far.
    pub state: Digest,
}

/// A trained adapter in PEFT layout. Holds no time and no attempt: the same inputs give the same digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdapterManifest {
    /// Base model.
    pub base_model: Digest,
    /// Dataset version.
    pub dataset: Digest,
    /// LoRA parameters.
    pub lora: LoraOptions,
    /// Optimiser parameters.
    pub training: TrainingOptions,
    /// `adapter_model.safetensors` and `adapter_config.json`, beside the manifest, sorted by name.
    pub files: Vec<File>,
    /// Who gave what, frozen with the adapter: accepted training tokens through the split sheets, sorted by member.
    pub attribution: Vec<MemberWeight>,
}

/// A member's part in an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberWeight {
    /// Member name.
    pub member: String,
    /// Training tokens credited, rounded down.
    pub tokens: u64,
    /// Integer weight; all of an adapter's add up to 1,000,000,000.
    pub weight: u64,
}

/// `evaluation.json` beside an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evaluation {
    /// The adapter.
    pub adapter: Digest,
    /// Size of `adapter_model.safetensors`.
    pub adapter_bytes: u64,
    /// Held-out tokens looked at.
    pub tokens: u64,
    /// The base model alone.
    pub base: Quality,
    /// With the adapter.
    pub adapted: Quality,
    /// Each gate with the value measured.
    pub gates: Vec<GateResult>,
    /// Completions of the prompts.
    pub samples: Vec<Sample>,
    /// Copied from the adapter's manifest.
    pub attribution: Vec<MemberWeight>,
    /// Seconds of training and evaluation in this attempt.
    pub duration_seconds: u64,
}

/// Quality on held-out records. Decimal strings with four digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quality {
    /// Nats a token.
    pub loss: String,
    /// exp(loss).
    pub perplexity: String,
}

/// A gate and what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// The gate.
    #[serde(flatten)]
    pub gate: crate::run::Gate,
    /// Decimal string.
    pub measured: String,
    /// Whether it holds.
    pub passed: bool,
}

/// A prompt and its completions, greedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sample {
    /// The prompt.
    pub prompt: String,
    /// What the base model goes on with.
    pub base: String,
    /// What the adapted model goes on with.
    pub adapted: String,
}
