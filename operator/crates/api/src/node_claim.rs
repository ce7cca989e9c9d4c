//! `NodeClaim`: one rented machine, from the order to the last cent.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, Spot};
use crate::node_pool::default_expire_after;
use crate::preflight::PreflightFloors;
use crate::requirement::Requirement;
use crate::{pod, rule};

mod launch;
mod offer;
mod status;

pub use launch::{Launch, LaunchedMachine};
pub use offer::{CapacityType, ClaimedOffer, OfferedGpus, Shape};
pub use status::{Bootstrap, Estimate, NodeClaimStatus};

/// Largest count: whole in every JSON reader.
const MOST: i64 = 9_007_199_254_740_991;

/// One machine that is rented for one piece of work. Made by the operator, and by whoever wants a machine; deleting it
/// gives the machine back. It goes only once the vendor has confirmed that nothing costs any more.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "NodeClaim",
    plural = "nodeclaims",
    shortname = "claim",
    category = "coop",
    namespaced,
    status = "NodeClaimStatus",
    derive = "PartialEq",
    cel,
    doc = "One rented machine.",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')").message("metadata.name must be at most 63 lowercase letters, digits or `-`, beginning and ending with a letter or digit: the node gets this name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.providerRef.name"),
    printcolumn(name = "Price", type_ = "string", description = "an hour", json_path = ".status.offer.pricePerHour"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.cost.amount"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.nodeName"),
    printcolumn(name = "Instance", type_ = "string", json_path = ".status.providerID", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a NodeClaim is immutable: delete it and make another").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("has(self.fineTuneRef) || !has(self.attempt)").message("attempt must be given with fineTuneRef alone").field_path(".attempt"))]
pub struct NodeClaimSpec {
    /// The NodePool it is rented from.
    #[x_kube(validation = rule::to_short_name())]
    pub node_pool_ref: LocalRef,
    /// The FineTune whose work it is for. Default: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rule::to_short_name())]
    pub fine_tune_ref: Option<LocalRef>,
    /// Attempt of the FineTune, 1 to 2147483647.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub attempt: Option<i32>,
    /// What the machine must be: all of them hold. At most 64. Default: anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub requirements: Vec<Requirement>,
    /// What the work needs of the machine.
    #[serde(default)]
    pub resources: ClaimedResources,
    /// Disk in GiB, 8 to 4096.
    #[schemars(range(min = 8, max = 4096))]
    pub disk_gi: i32,
    /// Most that an hour may cost, disk included, decimal string in the treasury's currency, 0 to 1000000000, at most 6
    /// decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub max_price_per_hour: Option<String>,
    /// Most that this machine may cost in all, decimal string in the treasury's currency, below 10^15, at most 6
    /// decimals. It is given back before. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 22))]
    #[x_kube(validation = rule::budget())]
    pub budget: Option<String>,
    /// Never: on demand. Only: one that the vendor can take away again. Prefer: whichever is likely to cost less in the
    /// end. Default: Never.
    #[serde(default)]
    pub spot: Spot,
    /// What is to be done on it, as far as that is known.
    #[serde(default)]
    pub work: Work,
    /// What the machine must be able to do, measured on it before a run begins. Default: it is measured, and not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightFloors>,
    /// Taints of the node besides `cooperator.dev/rented`, each key and effect once. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::taints")]
    pub taints: Vec<Taint>,
    /// Taints that the node has until somebody takes them away; until then it is not ready for work. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::taints")]
    pub startup_taints: Vec<Taint>,
    /// Longest that it is kept, work or not: hours, minutes and seconds, 10m to 720h. Default: 24h.
    #[serde(default = "default_expire_after")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("10m", "720h"))]
    pub expire_after: String,
}

/// What the work needs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct ClaimedResources {
    /// At least this much, by resource: cpu, memory, ephemeral-storage, devices such as nvidia.com/gpu. 1 to 6.
    /// Default: anything.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::requests")]
    pub requests: BTreeMap<String, Quantity>,
}

/// What is to be done, for the estimate of time and cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Tokens to be trained on, 0 to 9007199254740991. Default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MOST))]
    pub tokens: Option<i64>,
    /// Floating-point operations a token, 1 to 9007199254740991. Default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST))]
    pub flops_per_token: Option<i64>,
    /// Digest of the base model, by which measured throughput is found. Default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = rule::digest())]
    pub base_model: Option<String>,
    /// Throughput of this work where it ran before, 1 to 9007199254740991. Default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST))]
    pub tokens_per_second: Option<i64>,
}
