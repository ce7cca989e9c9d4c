//! What the operator says of a FineTune.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::common::{Attempt, Conditions, EstimateBasis, Money, Progress};
use crate::preflight::PreflightStatus;

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
    /// What it waits for, while it waits for a machine or money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What the rest is likely to take and cost on the machine that is or would be rented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<TrainingEstimate>,
    /// Machines that were rented for it, the newest last. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub machines: Vec<RentedMachine>,
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

/// What a FineTune waits for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Waiting {
    /// In one line: `a machine of NodePool gpus: 4 of 4 are rented`.
    #[serde(rename = "for")]
    pub for_: String,
    /// Place in the line; 1 is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// What the rest is likely to take and cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainingEstimate {
    /// Decimal string in the treasury's currency.
    pub cost: String,
    /// How long, in seconds.
    pub seconds: i64,
    /// When it ends, RFC 3339.
    pub end: String,
    /// What an hour of the machine costs, decimal string in the treasury's currency.
    pub price_per_hour: String,
    /// Measured: by throughput that was seen. Claimed: by what the vendor claims. Unknown: by the longest an attempt may
    /// take.
    pub basis: EstimateBasis,
}

/// A machine that was rented for a FineTune.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RentedMachine {
    /// Name of its NodeClaim.
    pub claim: String,
    /// `metadata.uid` of its NodeClaim.
    pub uid: String,
    /// Name of the Provider.
    pub provider: String,
    /// The machine: `vast://123`.
    pub instance: String,
    /// Its node, if it became one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Name of the NodePool.
    pub node_pool: String,
    /// What its throughput is remembered by: `2x rtx-4090`, `8 cpu`.
    #[serde(default)]
    pub machine: String,
    /// What it is, for people: `1x rtx-4090, 8 cpu, 32 GiB, US`.
    pub offer: String,
    /// What an hour costs, disk included, decimal string in the treasury's currency.
    pub price_per_hour: String,
    /// From when on it is paid for, RFC 3339.
    pub started_at: String,
    /// Until when it is paid for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How long it is paid for, in seconds, so far.
    #[serde(default)]
    pub seconds: i64,
    /// What it cost so far, decimal string in the treasury's currency.
    pub cost: String,
    /// Whether that will not change any more.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// How fast it trained, as it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<i64>,
    /// What it was measured at before an attempt began on it, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
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
