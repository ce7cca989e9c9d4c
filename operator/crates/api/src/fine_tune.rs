//! `FineTune`: the training of one adapter.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Attempt, Conditions, DeletionPolicy, LocalRef, Money, Progress};

/// Trains a LoRA adapter of a base model on a dataset version, evaluates it, and keeps it in PEFT layout.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "FineTune",
    plural = "finetunes",
    shortname = "ft",
    category = "coop",
    namespaced,
    status = "FineTuneStatus",
    derive = "PartialEq",
    cel,
    doc = "The training and evaluation of one LoRA adapter.",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must be at most 40 characters: Job names are built from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Progress", type_ = "integer", description = "percent", json_path = ".status.progress.percentage"),
    printcolumn(name = "Loss", type_ = "string", json_path = ".status.progress.loss"),
    printcolumn(name = "ETA", type_ = "integer", description = "seconds", json_path = ".status.progress.estimatedRemainingSeconds"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.cost.amount"),
    printcolumn(name = "Adapter", type_ = "string", json_path = ".status.adapter.digest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.baseModelRef == oldSelf.baseModelRef && self.datasetRef == oldSelf.datasetRef && self.runtimeRef == oldSelf.runtimeRef && self.lora == oldSelf.lora && self.training == oldSelf.training && self.evaluation == oldSelf.evaluation && self.attribution == oldSelf.attribution").message("baseModelRef, datasetRef, runtimeRef, lora, training, evaluation and attribution are immutable: make another FineTune").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("self.training.warmupSteps <= self.training.maxSteps").message("training.warmupSteps must not exceed training.maxSteps"))]
pub struct FineTuneSpec {
    /// The base model. Immutable.
    pub base_model_ref: LocalRef,
    /// The dataset. Immutable.
    pub dataset_ref: DatasetRef,
    /// What trains. Default: candle, the only runtime so far. Immutable.
    #[serde(default = "default_runtime")]
    #[x_kube(validation = Rule::new("self.name == 'candle'").message("runtimeRef.name must be candle: no other runtime is supported yet"))]
    pub runtime_ref: LocalRef,
    /// LoRA parameters. Immutable.
    #[serde(default)]
    pub lora: Lora,
    /// Optimiser parameters. Immutable.
    #[serde(default)]
    pub training: Training,
    /// When checkpoints are written.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// Samples and gates. Immutable.
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    /// Who is credited with what the adapter earns. Immutable.
    #[serde(default)]
    pub attribution: Attribution,
    /// What it may run on, and for how much.
    #[serde(default)]
    pub compute: Compute,
    /// True stops training after a checkpoint; false goes on from it. Default: false.
    #[serde(default)]
    pub suspend: bool,
    /// Attempts after the first that may fail before it is Failed, 0 to 20. Default: 3.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
    /// Seconds an attempt may take, 60 to 2592000. Default: 86400.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 60, max = 2_592_000))]
    pub active_deadline_seconds: i64,
    /// Seconds a finished Job stays, 0 to 2592000. Default: 604800.
    #[serde(default = "default_ttl")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub ttl_seconds_after_finished: i32,
    /// What becomes of the adapter when this object is deleted. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn default_runtime() -> LocalRef {
    LocalRef { name: "candle".into() }
}

fn default_backoff_limit() -> i32 {
    3
}

fn default_deadline() -> i64 {
    86_400
}

fn default_ttl() -> i32 {
    604_800
}

/// A dataset, and optionally which version of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct DatasetRef {
    /// Name of the Dataset, in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Digest of a version. Default: the newest when training starts; it is then pinned in status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

/// LoRA parameters, PEFT's names.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lora {
    /// r, 1 to 256. Default: 8.
    #[serde(default = "default_rank")]
    #[schemars(range(min = 1, max = 256))]
    pub rank: i32,
    /// alpha, 1 to 1024; the update is scaled by alpha / rank. Default: 16.
    #[serde(default = "default_alpha")]
    #[schemars(range(min = 1, max = 1024))]
    pub alpha: i32,
    /// Dropout before the adapter, decimal string from 0.0 up to 0.9. Default: 0.0.
    #[serde(default = "zero")]
    #[schemars(length(max = 12), regex(pattern = r"^0(\.[0-8][0-9]*|\.9)?$"))]
    pub dropout: String,
    /// Linear layers that get an adapter. 1 to 7. Default: all of them.
    #[serde(default = "default_targets")]
    #[schemars(length(min = 1, max = 7))]
    pub target_modules: Vec<TargetModule>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: default_rank(),
            alpha: default_alpha(),
            dropout: zero(),
            target_modules: default_targets(),
        }
    }
}

fn default_rank() -> i32 {
    8
}

fn default_alpha() -> i32 {
    16
}

fn zero() -> String {
    "0.0".into()
}

fn default_targets() -> Vec<TargetModule> {
    use TargetModule::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
    vec![QProj, KProj, VProj, OProj, GateProj, UpProj, DownProj]
}

/// A linear layer of a Llama block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetModule {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// Attention output.
    OProj,
    /// MLP gate.
    GateProj,
    /// MLP up.
    UpProj,
    /// MLP down.
    DownProj,
}

impl TargetModule {
    /// The layer's name in weights and PEFT configs.
    pub fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }
}

/// Optimiser parameters.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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
    /// Peak learning rate, decimal string above 0, such as `1e-3` or `0.0002`. Default: 1e-3.
    #[serde(default = "default_learning_rate")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+(\.[0-9]+)?(e-?[0-9]{1,2})?$"))]
    pub learning_rate: String,
    /// Constant, Linear or Cosine, after warm-up. Default: Cosine.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps of linear warm-up, 0 to 1000000. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub warmup_steps: i64,
    /// AdamW weight decay, decimal string. Default: 0.01.
    #[serde(default = "default_weight_decay")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub weight_decay: String,
    /// Bound of the gradient's norm, decimal string; 0 does not clip. Default: 1.0.
    #[serde(default = "default_clip_norm")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
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

/// Samples and gates.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationSpec {
    /// Prompts that base and adapted model complete for the model card. At most 16, each at most 2048 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    pub prompts: Vec<String>,
    /// Most held-out tokens to look at, 0 to 1000000000; 0 takes all. Default: 16384.
    #[serde(default = "default_evaluation_tokens")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_tokens: i64,
    /// Bounds that the adapter must keep to become Ready. An adapter that fails one is kept. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub gates: Vec<Gate>,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self { prompts: Vec::new(), max_tokens: default_evaluation_tokens(), gates: Vec::new() }
    }
}

fn default_evaluation_tokens() -> i64 {
    16_384
}

/// A bound that an evaluation must keep.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Gate {
    /// HeldOutLoss, HeldOutLossDrop (base less adapted), both in nats a token, or HeldOutPerplexity.
    pub metric: Metric,
    /// GreaterThanOrEqual or LessThanOrEqual.
    pub operator: GateOperator,
    /// Decimal string.
    #[schemars(length(max = 16), regex(pattern = r"^-?[0-9]+(\.[0-9]+)?$"))]
    pub value: String,
}

/// What a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Metric {
    /// Loss of the adapted model.
    HeldOutLoss,
    /// Loss of the base model less that of the adapted model.
    HeldOutLossDrop,
    /// exp(HeldOutLoss).
    HeldOutPerplexity,
}

/// How a gate compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum GateOperator {
    /// At least.
    GreaterThanOrEqual,
    /// At most.
    LessThanOrEqual,
}

/// Who is credited.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Attribution {
    /// Tokens: accepted training tokens through the split sheets. None: what it earns is split among all members
    /// equally. Default: Tokens.
    #[serde(default)]
    pub method: AttributionMethod,
}

/// How credit is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AttributionMethod {
    /// Not at all.
    None,
    /// By accepted training tokens.
    #[default]
    Tokens,
}

/// What it may run on, and for how much.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// Resources of the training container. Default: 1 CPU and 4Gi requested, 8Gi at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of nodes it may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints it tolerates. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Most that an hour of the machine may cost, decimal string, at most 6 decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub max_price_per_hour: Option<String>,
    /// Most that all attempts together may cost, decimal string, at most 6 decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub budget: Option<String>,
}

/// How far it is and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FineTuneStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (the adapter may be served), Complete, Failed, Suspended.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// How far training is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Attempts, the newest last, at most 21.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 21))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub attempts: Vec<Attempt>,
    /// The Collective that pays for it and owns it, known from the first attempt on: its Dataset may go before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collective: Option<String>,
    /// Digest of the base model, pinned when the first attempt is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model_digest: Option<String>,
    /// Digest of the dataset version, pinned when the first attempt is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
    /// Compute cost of all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// The adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterStatus>,
    /// What the evaluation found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationStatus>,
    /// Who is credited, frozen with the adapter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    pub attribution: Vec<MemberShare>,
}

/// The adapter in object storage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdapterStatus {
    /// Digest of its manifest.
    pub digest: String,
    /// Folder in PEFT layout.
    pub storage_uri: String,
    /// Size of `adapter_model.safetensors`.
    pub bytes: i64,
}

/// What the evaluation found on held-out records.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct EvaluationStatus {
    /// The base model alone.
    pub base: Quality,
    /// With the adapter.
    pub adapted: Quality,
    /// Each gate and what was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateStatus>,
}

/// Quality on held-out records.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Quality {
    /// Nats a token.
    pub loss: String,
    /// exp(loss).
    pub perplexity: String,
}

/// A gate and what was measured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct GateStatus {
    /// The metric.
    pub metric: Metric,
    /// What was measured.
    pub value: String,
    /// Whether the gate holds.
    pub passed: bool,
}

/// A member's part.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberShare {
    /// Member name.
    pub member: String,
    /// 1/10000 of the credit.
    pub basis_points: i32,
}
