//! `Settlement`: one closed period, made by the operator.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{Conditions, LocalRef};
use crate::rule;

/// Largest count: whole in every JSON reader.
const MOST: i64 = 9_007_199_254_740_991;

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
    #[x_kube(validation = rule::to_collective())]
    pub collective_ref: LocalRef,
    /// The period.
    pub period: Period,
    /// Currency code of every amount.
    #[schemars(length(min = 3, max = 10))]
    #[x_kube(validation = rule::currency())]
    pub currency: String,
    /// Decimal places of the smallest unit that is paid out, 0 to 12.
    #[schemars(range(min = 0, max = 12))]
    pub decimals: i32,
    /// What came in: the sum of `revenue` and `corrections`, decimal string.
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::net_amount())]
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
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::amount())]
    pub recovered: String,
    /// Put aside, decimal string.
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::amount())]
    pub reserve: String,
    /// What each member is paid, each once, those who left included. At most 1024.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    pub payments: Vec<Payment>,
    /// What is left below payable units after this period, decimal string.
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::net_amount())]
    pub suspense: String,
    /// The usage behind it.
    pub usage: UsageProof,
    /// The statement in object storage.
    pub statement: StatementRef,
}

/// A half-open span of event time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("timestamp(self.start) < timestamp(self.end)").message("start must lie before end"))]
pub struct Period {
    /// Name: `2026-11`. 1 to 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub name: String,
    /// First instant, RFC 3339.
    #[schemars(length(max = 40))]
    #[x_kube(validation = rule::instant())]
    pub start: String,
    /// First instant after it, RFC 3339.
    #[schemars(length(max = 40))]
    #[x_kube(validation = rule::instant())]
    pub end: String,
}

/// Revenue of one Deployment with one adapter at one price.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevenueLine {
    /// Name of the Deployment. 1 to 253 characters.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rule::object_name())]
    pub deployment: String,
    /// Digest of the adapter; none: the base model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = rule::digest())]
    pub adapter_digest: Option<String>,
    /// Requests billed.
    #[schemars(range(min = 0, max = MOST))]
    pub requests: i64,
    /// Prompt tokens.
    #[schemars(range(min = 0, max = MOST))]
    pub input_tokens: i64,
    /// Generated tokens.
    #[schemars(range(min = 0, max = MOST))]
    pub output_tokens: i64,
    /// Exact amount, decimal string.
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::net_amount())]
    pub amount: String,
}

/// A compute cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostLine {
    /// Name of the FineTune, or of a rented machine that belonged to none. 1 to 253 characters.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rule::object_name())]
    pub fine_tune: String,
    /// Decimal string.
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::amount())]
    pub amount: String,
}

/// What a member is paid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Member name. 1 to 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub member: String,
    /// Account. At most 256 characters.
    #[serde(default)]
    #[schemars(length(max = 256))]
    #[x_kube(validation = rule::text())]
    pub account: String,
    /// Training tokens given.
    #[schemars(range(min = 0, max = MOST))]
    pub tokens: i64,
    /// Part of all that is split, 1/10000, for people. 0 to 10000.
    #[schemars(range(min = 0, max = 10000))]
    pub basis_points: i32,
    /// Decimal string in whole payable units.
    #[schemars(length(max = 42))]
    #[x_kube(validation = rule::amount())]
    pub amount: String,
}

/// The usage behind a settlement.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageProof {
    /// Rows counted.
    #[schemars(range(min = 0, max = MOST))]
    pub rows: i64,
    /// Digest over all gateways' logs.
    #[schemars(length(max = 71))]
    #[x_kube(validation = rule::digest())]
    pub root_digest: String,
}

/// The statement in object storage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementRef {
    /// Folder with `statement.json` and `statement.csv`. At most 1024 characters.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^s3://[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]/[!-~]*/$') && !self.contains('..')").message("must be a folder, s3://bucket/key/, without `..`"))]
    pub storage_uri: String,
    /// sha256 of `statement.json`.
    #[schemars(length(max = 71))]
    #[x_kube(validation = rule::digest())]
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
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    pub paid: Vec<PaymentMark>,
}

/// A payment made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct PaymentMark {
    /// Member name. 1 to 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub member: String,
    /// When, RFC 3339.
    #[schemars(length(max = 40))]
    #[x_kube(validation = rule::instant())]
    pub at: String,
    /// What the bank or chain calls it. At most 256 characters.
    #[serde(default)]
    #[schemars(length(max = 256))]
    #[x_kube(validation = rule::text())]
    pub reference: String,
}
