//! `NodePool`: what may be rented, from whom, and for how much.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collective::Budget;
use crate::common::{Conditions, LocalRef, Money};
use crate::preflight::PreflightFloors;
use crate::requirement::Requirement;
use crate::{pod, rule};

/// What machines may be rented, from which Providers, and for how much. Nothing is rented before work names the pool.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "NodePool",
    plural = "nodepools",
    shortname = "pool",
    category = "coop",
    namespaced,
    status = "NodePoolStatus",
    derive = "PartialEq",
    cel,
    doc = "What machines may be rented, from whom, and for how much.",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must be at most 40 characters: NodeClaim names are built from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Machines", type_ = "integer", json_path = ".status.machines"),
    printcolumn(name = "Price", type_ = "string", description = "an hour of all machines", json_path = ".status.pricePerHour"),
    printcolumn(name = "Spent", type_ = "string", description = "in the budget's period", json_path = ".status.spent.amount"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.collectiveRef == oldSelf.collectiveRef").message("collectiveRef is immutable: make another NodePool").reason(Reason::FieldValueForbidden))]
pub struct NodePoolSpec {
    /// The Collective that pays. Immutable.
    #[x_kube(validation = rule::to_collective())]
    pub collective_ref: LocalRef,
    /// The Providers that may be rented from, each once. 1 to 16.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub provider_refs: Vec<ProviderRef>,
    /// What a machine must be, and how it becomes a node.
    #[serde(default)]
    pub template: NodeTemplate,
    /// Most that an hour of one machine may cost, its disk included, decimal string in the treasury's currency, 0 to
    /// 1000000000, at most 6 decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub max_price_per_hour: Option<String>,
    /// What may be rented at once and in a period.
    #[serde(default)]
    pub limits: NodePoolLimits,
    /// When a machine is given back.
    #[serde(default)]
    pub disruption: Disruption,
    /// What a machine must be able to do, measured on it before a run begins. What a FineTune has already claimed keeps the
    /// floors that it was claimed with.
    #[serde(default)]
    pub preflight: PreflightFloors,
    /// Disk of a machine in GiB, 8 to 4096. Default: 40.
    #[serde(default = "default_disk")]
    #[schemars(range(min = 8, max = 4096))]
    pub disk_gi: i32,
    /// By how much a bid for a spot machine may exceed the lowest that would be taken, 1/10000, 0 to 10000. Default: 2000.
    #[serde(default = "default_headroom")]
    #[schemars(range(min = 0, max = 10_000))]
    pub price_headroom: i32,
}

fn default_disk() -> i32 {
    40
}

fn default_headroom() -> i32 {
    2000
}

/// A Provider that may be rented from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct ProviderRef {
    /// Name of the Provider, in this namespace. 1 to 40 characters.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rule::object_name())]
    pub name: String,
    /// Of two offers that cost the same, the one of the greater weight is taken. 1 to 100. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
}

fn one() -> i32 {
    1
}

/// The form of a NodeClaim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct NodeTemplate {
    /// Labels and annotations of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<NodeMetadata>,
    /// What a machine must be, and how it becomes a node.
    #[serde(default)]
    pub spec: NodeTemplateSpec,
}

/// Labels and annotations of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct NodeMetadata {
    /// Labels, 1 to 16, of no domain of Kubernetes or Cooperator but `node-restriction.kubernetes.io`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::node_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, 1 to 16, each at most 1024 characters. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// What a machine must be, and how it becomes a node.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeTemplateSpec {
    /// Taints of the node besides `cooperator.dev/rented`, each key and effect once. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::taints")]
    pub taints: Vec<Taint>,
    /// Taints that the node has until somebody takes them away; until then it is not ready for work. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::taints")]
    pub startup_taints: Vec<Taint>,
    /// What a machine must be: all of them hold, and those of the work as well. At most 32. Default: anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub requirements: Vec<Requirement>,
    /// Longest that a machine is kept, work or not: hours, minutes and seconds, 10m to 720h. Default: 24h.
    #[serde(default = "default_expire_after")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("10m", "720h"))]
    pub expire_after: String,
}

impl Default for NodeTemplateSpec {
    fn default() -> Self {
        Self {
            taints: Vec::new(),
            startup_taints: Vec::new(),
            requirements: Vec::new(),
            expire_after: default_expire_after(),
        }
    }
}

pub(crate) fn default_expire_after() -> String {
    "24h".into()
}

/// What may be rented at once and in a period.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolLimits {
    /// Most machines at once, 1 to 1000. Default: 4.
    #[serde(default = "default_machines")]
    #[schemars(range(min = 1, max = 1000))]
    pub machines: i32,
    /// Most that an hour of all of them may cost, decimal string in the treasury's currency, 0 to 1000000000, at most 6
    /// decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub price_per_hour: Option<String>,
    /// Most money that its machines may cost in a period. Default: no bound but the Collective's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

impl Default for NodePoolLimits {
    fn default() -> Self {
        Self { machines: default_machines(), price_per_hour: None, budget: None }
    }
}

fn default_machines() -> i32 {
    4
}

/// When a machine is given back.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// WhenEmpty: once nothing runs on it. Default: WhenEmpty.
    #[serde(default)]
    pub consolidation_policy: ConsolidationPolicy,
    /// How long it is kept without any pod, for work that may come, if that is longer than `timeouts.idle` of its Provider:
    /// hours, minutes and seconds, 0s to 24h. What a FineTune needs no more goes at once. Default: 0s.
    #[serde(default = "default_consolidate_after")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("0s", "24h"))]
    pub consolidate_after: String,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            consolidation_policy: ConsolidationPolicy::WhenEmpty,
            consolidate_after: default_consolidate_after(),
        }
    }
}

fn default_consolidate_after() -> String {
    "0s".into()
}

/// Which machines are given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ConsolidationPolicy {
    /// Those without work.
    #[default]
    WhenEmpty,
}

/// What is rented, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Machines that are rented now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines: Option<i32>,
    /// What an hour of all of them costs, decimal string in the treasury's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<String>,
    /// What machines cost in the budget's period; without a budget, in the Collective's, else in this month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Money>,
    /// What each machine cost that was rented in that period, those included that are gone. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub bills: Vec<Bill>,
    /// How fast kinds of machines trained, as measured, each base model and machine once. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["baseModel".into(), "machine".into()]))]
    pub throughput: Vec<Throughput>,
}

/// What one machine costs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// `metadata.uid` of its NodeClaim.
    pub uid: String,
    /// When it was rented, RFC 3339.
    pub started_at: String,
    /// So far, or in the end: decimal string in the treasury's currency.
    pub cost: String,
}

/// How fast one kind of machine trains one base model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Throughput {
    /// Digest of the base model.
    pub base_model: String,
    /// Kind of machine: `2x rtx-4090`, `8 cpu`.
    pub machine: String,
    /// Training throughput.
    pub tokens_per_second: i64,
    /// Runs that it was measured in.
    pub runs: i32,
}
