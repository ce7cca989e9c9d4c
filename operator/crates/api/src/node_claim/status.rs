//! What the operator says of a NodeClaim.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClaimedOffer, Launch};
use crate::common::{Conditions, EstimateBasis, LocalRef, Money};

/// Where the machine stands, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Launched, Registered, Initialized, Empty, InstanceTerminating, Accounted.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// The Provider it is rented from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<LocalRef>,
    /// The machine: `vast://123`.
    #[serde(default, rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Its place among the claims that wait for the same pool; 1 is next. Absent once something is rented for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// What was taken, and for how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<ClaimedOffer>,
    /// What the work is likely to take and cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// What all launches cost: so far, and once Accounted in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Resources of the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Resources of the node that pods can have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// What was asked of vendors, the newest last, each number once. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub launches: Vec<Launch>,
    /// How the machine joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
}

/// What the work is likely to take and cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Estimate {
    /// Decimal string in the treasury's currency.
    pub cost: String,
    /// How long, in seconds.
    pub seconds: i64,
    /// When it ends, RFC 3339.
    pub end: String,
    /// Measured, Claimed or Unknown.
    #[serde(default)]
    pub basis: EstimateBasis,
}

/// How the machine joins. The token itself is nowhere here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Public part of its bootstrap token.
    #[serde(rename = "tokenID")]
    pub token_id: String,
    /// When the token ends, RFC 3339.
    pub expires_at: String,
    /// The one CertificateSigningRequest that was approved for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}
