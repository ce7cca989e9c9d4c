//! `FineTune`: the training of one adapter.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{DeletionPolicy, LocalRef};
use crate::rule;

mod compute;
mod evaluation;
mod lora;
mod status;
mod training;

pub use compute::Compute;
pub use evaluation::{EvaluationSpec, Gate, GateOperator, Metric};
pub use lora::{Lora, TargetModule};
pub use status::{
    AdapterStatus, EvaluationStatus, FineTuneStatus, GateStatus, MemberShare, Quality, RentedMachine,
    TrainingEstimate, Waiting,
};
pub use training::{Checkpoint, Schedule, Training};

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
pub struct FineTuneSpec {
    /// The base model. Immutable.
    #[x_kube(validation = rule::to_short_name())]
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
    /// Attempts after the first that may fail before it is Failed, 0 to 20. A machine that is taken away does not count, nor do
    /// the first 5 that were rented and found unfit (`PreflightFailed`). Default: 3.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
    /// Seconds an attempt may take, 60 to 2592000. Default: 86400.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 60, max = 2_592_000))]
    pub active_deadline_seconds: i64,
    /// Seconds a running pod may report no progress before it counts as hung: it is stopped, and the next attempt goes on
    /// from the newest checkpoint. 60 to 86400. Default: 1800.
    #[serde(default = "default_progress_deadline")]
    #[schemars(range(min = 60, max = 86_400))]
    pub progress_deadline_seconds: i32,
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

fn default_progress_deadline() -> i32 {
    1800
}

fn default_ttl() -> i32 {
    604_800
}

/// A dataset, and optionally which version of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct DatasetRef {
    /// Name of the Dataset, in this namespace. 1 to 40 characters.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rule::object_name())]
    pub name: String,
    /// Digest of a version. Default: the newest when training starts; it is then pinned in status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = rule::digest())]
    pub digest: Option<String>,
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
