//! The run file: all that a pod of ours knows. It holds no secret; those come by [`crate::env`].

use cooperator_core::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::preflight::Floors;
use crate::settle::SettleTask;

/// Where a run file is mounted.
pub const PATH: &str = "/run/cooperator/run.json";
/// Where a kubelet reads the termination message from.
pub const OUTCOME_PATH: &str = "/dev/termination-log";
/// The only version of the run file so far.
pub const VERSION: u32 = 1;

/// One run: of an import, an ingest, a training attempt, a server, or a settlement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunFile {
    /// [`VERSION`].
    pub version: u32,
    /// Which run this is.
    pub run: RunId,
    /// The Collective's object storage.
    pub storage: StorageLocation,
    /// Who grants access to that storage, a URL at a time, on a machine that is not trusted with its key; none: the key
    /// is in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_broker: Option<BrokerAccess>,
    /// Where to post [`crate::progress::Progress`]; none: report nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_url: Option<String>,
    /// What a rented machine must be able to do; none: what is measured is told, and nothing is refused. It is no part of
    /// the task: what an adapter is made of does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Floors>,
    /// W3C trace context of the reconcile that made the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Where the [`crate::outcome::Outcome`] goes.
    pub outcome_path: String,
    /// What to do.
    pub task: Task,
}

/// Which run of which object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunId {
    /// Namespace of the object, which is its Collective's.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// `metadata.uid` of the object.
    pub uid: String,
    /// From 1. A later attempt fences out an earlier one.
    pub attempt: u32,
}

/// A bucket, and the prefix below which all keys of [`crate::layout`] lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageLocation {
    /// URL of the S3 endpoint; always addressed path-style.
    pub endpoint: String,
    /// Region to sign for.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Empty, or ends in `/`.
    #[serde(default)]
    pub prefix: String,
}

/// The broker of a run, asked with its token ([`crate::env::RUN_TOKEN`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokerAccess {
    /// Where to post a [`crate::broker::Ask`].
    pub url: String,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Task {
    /// Bring a base model into content-addressed storage. Result: [`crate::manifest::ModelManifest`].
    Import(ImportTask),
    /// Build a dataset version. Result: [`crate::manifest::DatasetManifest`].
    Ingest(IngestTask),
    /// Train and evaluate an adapter. Result: [`crate::manifest::AdapterManifest`], details
    /// [`crate::manifest::Evaluation`].
    Train(Box<TrainTask>),
    /// Serve a base model with an adapter over the OpenAI API.
    Serve(ServeTask),
    /// Settle a period. Result: [`crate::settle::Statement`].
    Settle(Box<SettleTask>),
}

/// Something to read from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `s3://bucket/key` (trailing `/`: all below it), `https://`, `hf://owner/model[:revision]`,
    /// `pvc://claim/path` (mounted at `/mnt/pvc/<claim>`).
    pub storage_uri: String,
    /// Expected sha256 of the one file, or of the sorted lines `<hex>  <name>\n` of a folder's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Import of a base model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportTask {
    /// A Hugging Face folder or one GGUF file.
    pub source: Source,
    /// SPDX expression of the model's licence, copied to the manifest.
    pub license: String,
}

/// Build of a dataset version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngestTask {
    /// Name of the Dataset.
    pub dataset: String,
    /// Manifest digest of the base model whose tokenizer counts.
    pub base_model: Digest,
    /// Contributions that passed licence and consent, sorted by name.
    pub contributions: Vec<IngestContribution>,
    /// Contributions refused before the build, repeated in the manifest.
    #[serde(default)]
    pub refused: Vec<RefusedContribution>,
    /// How text is read and cut.
    pub text: TextOptions,
    /// Drop records that another contribution (first by name keeps it), or the same, already has.
    pub deduplicate: bool,
    /// Part of the records held out for evaluation, chosen by content hash, in basis points.
    pub holdout_basis_points: u16,
}

/// One contribution to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngestContribution {
    /// Name of the Contribution.
    pub name: String,
    /// Who gave it.
    pub member: String,
    /// Where it lies.
    pub source: Source,
    /// SPDX expression.
    pub license: String,
    /// Who is credited for it, adding up to 10,000 basis points.
    pub split_sheet: Vec<SplitShare>,
}

/// A line of a split sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitShare {
    /// Member name.
    pub member: String,
    /// 0 to 10,000.
    pub basis_points: u16,
}

/// A contribution that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefusedContribution {
    /// Name of the Contribution.
    pub name: String,
    /// Who gave it.
    pub member: String,
    /// CamelCase reason.
    pub reason: String,
    /// One line for people.
    pub message: String,
}

/// How text sources become records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TextOptions {
    /// How files are read.
    pub format: TextFormat,
    /// Field of a JSONL row that holds the text.
    pub text_field: String,
    /// Most tokens in a record; longer texts are cut at paragraph, sentence, then word bounds.
    pub record_tokens: u32,
}

/// How text files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextFormat {
    /// By the name: `.jsonl`, `.ndjson` are rows, everything else plain text.
    Auto,
    /// One JSON object a line.
    JsonLines,
    /// UTF-8 text.
    Plain,
}

/// Training of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainTask {
    /// Name of the FineTune.
    pub fine_tune: String,
    /// Manifest digest of the base model.
    pub base_model: Digest,
    /// Name of the Dataset.
    pub dataset: String,
    /// Manifest digest of the dataset version.
    pub dataset_digest: Digest,
    /// LoRA parameters.
    pub lora: LoraOptions,
    /// Optimiser parameters.
    pub training: TrainingOptions,
    /// Steps between checkpoints; 0: only on SIGTERM.
    pub checkpoint_every_steps: u64,
    /// Checkpoints kept.
    pub checkpoint_keep: u32,
    /// Prompts to complete with base and adapted model, for the model card.
    pub prompts: Vec<String>,
    /// Most held-out tokens to evaluate on; 0: all.
    pub evaluation_tokens: u64,
    /// What the adapter must reach.
    pub gates: Vec<Gate>,
    /// How the adapter's manifest credits members.
    pub attribution: AttributionMethod,
    /// Image that trains, by digest where known, for the provenance.
    pub builder_image: String,
}

/// How credit is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributionMethod {
    /// Not at all: the manifest credits nobody, and what the adapter earns is split equally among the members.
    None,
    /// By accepted training tokens, through the split sheets.
    Tokens,
}

/// LoRA parameters (PEFT's names).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoraOptions {
    /// r.
    pub rank: u32,
    /// alpha; the update is scaled by alpha/r.
    pub alpha: u32,
    /// Dropout probability as a decimal string.
    pub dropout: String,
    /// Of `q_proj k_proj v_proj o_proj gate_proj up_proj down_proj`.
    pub target_modules: Vec<String>,
}

/// Optimiser parameters. Decimals are strings, so that a manifest holds no float.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainingOptions {
    /// Optimiser steps.
    pub max_steps: u64,
    /// Sequences a micro-batch.
    pub batch_size: u32,
    /// Tokens a sequence.
    pub sequence_length: u32,
    /// Micro-batches a step.
    pub gradient_accumulation: u32,
    /// Peak learning rate.
    pub learning_rate: String,
    /// Shape of the learning rate after warm-up.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// AdamW weight decay.
    pub weight_decay: String,
    /// Bound of the gradient's global norm; `0`: no clipping.
    pub clip_norm: String,
    /// Seeds initialisation, order and dropout.
    pub seed: u64,
}

/// Learning-rate schedule after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Falls linearly to zero.
    Linear,
    /// Falls to zero by half a cosine.
    Cosine,
}

/// A bound that an evaluation must keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// What is compared.
    pub metric: Metric,
    /// How.
    pub operator: GateOperator,
    /// With what, a decimal string.
    pub value: String,
}

/// What a gate looks at, measured on held-out records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Loss of the adapted model, nats a token.
    HeldOutLoss,
    /// Loss of the base model less that of the adapted model, nats a token.
    HeldOutLossDrop,
    /// exp(HeldOutLoss).
    HeldOutPerplexity,
}

/// How a gate compares the measured value with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateOperator {
    /// >=
    GreaterThanOrEqual,
    /// <=
    LessThanOrEqual,
}

/// Serving of a base model with an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServeTask {
    /// What `/v1/models` says and requests name.
    pub model_name: String,
    /// Manifest digest of the base model.
    pub base_model: Digest,
    /// Manifest digest of the adapter; none: the base model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Digest>,
    /// `address:port` to listen on.
    pub listen: String,
    /// Requests worked on at once.
    pub max_concurrency: u32,
    /// Requests waiting beyond those; the next one is answered 429.
    pub max_queue: u32,
    /// Most prompt tokens.
    pub max_input_tokens: u32,
    /// Most tokens generated.
    pub max_output_tokens: u32,
}
