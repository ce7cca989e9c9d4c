//! `Settlement`: one closed period, made by the operator.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Conditions, LocalRef};

/// One closed period of one Collective: what came in, what it cost, and what each member is paid. Made by the operator; its
/// spec never changes. A correction is a line of a later period.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "Settlement",
    shortname = "settle",
    category = "coop",
    namespaced,
    status = "SettlementStatus",
    derive = "PartialEq",
    cel,
    doc = "One closed period: what came in and who is paid.",
    printcolumn(name = "Start", type_ = "string", json_path = ".spec.period.start"),
    printcolumn(name = "End", type_ = "string", json_path = ".spec.period.end"),
    printcolumn(name = "Gross", type_ = "string", json_path = ".spec.gross"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Verified\")].status"
    ),
    printcolumn(
        name = "Paid",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Paid\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a Settlement is immutable: a correction is a line of a later period").reason(Reason::FieldValueForbidden))]
pub struct SettlementSpec {
    /// The Collective.
    pub collective_ref: LocalRef,
    /// The period.
    pub period: Period,
    /// Currency code of every amount.
    pub currency: String,
    /// Decimal places of the smallest unit that is paid out.
    pub decimals: i32,
    /// What came in: the sum of `revenue` and `corrections`, decimal string.
    pub gross: String,
    /// By Deployment, adapter and price. At most 1024.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub revenue: Vec<RevenueLine>,
    /// Late usage of earlier periods. At most 1024.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub corrections: Vec<RevenueLine>,
    /// Compute costs of the period. At most 1024.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub costs: Vec<CostLine>,
    /// Cost recovered before the split, decimal string.
    pub recovered: String,
    /// Put aside, decimal string.
    pub reserve: String,
    /// What each member is paid, each once. At most 256.
    #[serde(default)]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    pub payments: Vec<Payment>,
    /// What is left below payable units after this period, decimal string.
    pub suspense: String,
    /// The usage behind it.
    pub usage: UsageProof,
    /// The statement in object storage.
    pub statement: StatementRef,
}

/// A half-open span of event time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Period {
    /// Name: `2026-11`.
    pub name: String,
    /// First instant, RFC 3339.
    pub start: String,
    /// First instant after it, RFC 3339.
    pub end: String,
}

/// Revenue of one Deployment with one adapter at one price.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevenueLine {
    /// Name of the Deployment.
    pub deployment: String,
    /// Digest of the adapter; none: the base model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_digest: Option<String>,
    /// Requests billed.
    pub requests: i64,
    /// Prompt tokens.
    pub input_tokens: i64,
    /// Generated tokens.
    pub output_tokens: i64,
    /// Exact amount, decimal string.
    pub amount: String,
}

/// A compute cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostLine {
    /// Name of the FineTune.
    pub fine_tune: String,
    /// Decimal string.
    pub amount: String,
}

/// What a member is paid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Member name.
    pub member: String,
    /// Account.
    #[serde(default)]
    pub account: String,
    /// Training tokens given.
    pub tokens: i64,
    /// Part of all that is split, 1/10000, for people.
    pub basis_points: i32,
    /// Decimal string in whole payable units.
    pub amount: String,
}

/// The usage behind a settlement.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageProof {
    /// Rows counted.
    pub rows: i64,
    /// Digest over all gateways' logs.
    pub root_digest: String,
}

/// The statement in object storage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementRef {
    /// Folder with `statement.json` and `statement.csv`.
    pub storage_uri: String,
    /// sha256 of `statement.json`.
    pub digest: String,
}

/// What was verified and paid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettlementStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Verified, Paid.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Payments that the treasurer has made, each member once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    pub paid: Vec<PaymentMark>,
}

/// A payment made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct PaymentMark {
    /// Member name.
    pub member: String,
    /// When, RFC 3339.
    pub at: String,
    /// What the bank or chain calls it. At most 256 characters.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub reference: String,
}
