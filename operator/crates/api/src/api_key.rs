//! `ApiKey`: one consumer's key.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Conditions, LocalRef, Money};

/// Field of the Secret that holds the key.
pub const SECRET_FIELD: &str = "apiKey";

/// A consumer's key for a Collective's Deployments: limits and a prepaid budget. The key itself is put into a Secret once;
/// only its SHA-256 is kept.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "ApiKey",
    plural = "apikeys",
    shortname = "akey",
    category = "coop",
    namespaced,
    status = "ApiKeyStatus",
    derive = "PartialEq",
    cel,
    doc = "A consumer's key for a Collective's Deployments.",
    printcolumn(name = "Consumer", type_ = "string", json_path = ".spec.consumer"),
    printcolumn(name = "Prefix", type_ = "string", json_path = ".status.prefix"),
    printcolumn(name = "Spent", type_ = "string", json_path = ".status.spent.amount"),
    printcolumn(name = "Budget", type_ = "string", json_path = ".spec.budget.amount"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.collectiveRef == oldSelf.collectiveRef && self.consumer == oldSelf.consumer && self.secretRef == oldSelf.secretRef").message("collectiveRef, consumer and secretRef are immutable: make another ApiKey").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(oldSelf.revoked) || !oldSelf.revoked || (has(self.revoked) && self.revoked)").message("revoked cannot be taken back: make another ApiKey").reason(Reason::FieldValueForbidden))]
pub struct ApiKeySpec {
    /// The Collective whose Deployments it opens. Immutable.
    pub collective_ref: LocalRef,
    /// Who uses and pays, as it stands in the usage log. 1 to 128 characters. Immutable.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._@/-]*$"))]
    pub consumer: String,
    /// Names of the Deployments it opens, at most 64. Default: all of the Collective's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub deployments: Vec<String>,
    /// Bounds of this key, besides those of a Deployment.
    #[serde(default)]
    pub limits: KeyLimits,
    /// Prepaid money that it may spend in all. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<KeyBudget>,
    /// When it stops working, RFC 3339. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 40),
        regex(
            pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
        )
    )]
    pub expires_at: Option<String>,
    /// True ends it within 5 seconds. It cannot be taken back. Default: false.
    #[serde(default)]
    pub revoked: bool,
    /// Secret the key is put into, under `apiKey`; the operator makes it. Immutable.
    pub secret_ref: LocalRef,
}

/// Bounds of a key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyLimits {
    /// Requests a minute, 1 to 1000000. Default: the Deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: Option<i32>,
    /// Tokens a minute, 1 to 1000000000. Default: the Deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_per_minute: Option<i32>,
}

/// Prepaid money.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct KeyBudget {
    /// Decimal string in the treasury's currency, at most 6 decimals.
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub amount: String,
}

/// The key's mark, and what it has spent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Revoked, Expired.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// First characters of the key, to tell keys apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// SHA-256 of the key, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it has spent in all, as the gateways report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Money>,
    /// Parts of the budget that gateways hold; written by them with compare-and-swap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gateway".into()]))]
    pub leases: Vec<BudgetLease>,
}

/// A part of a key's budget that one gateway may spend. A gateway that ends gives the rest back; one that was lost with
/// its node keeps it, since nobody else knows what it had spent: raise `spec.budget.amount` by `granted - spent` then.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLease {
    /// Gateway id.
    pub gateway: String,
    /// What it has been given in all, decimal string.
    pub granted: String,
    /// What it has reported as spent, decimal string.
    pub spent: String,
}
