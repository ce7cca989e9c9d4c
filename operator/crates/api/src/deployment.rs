//! `Deployment`: an adapter that is served, at a price.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Conditions, LocalRef, Money};
use crate::{pod, rule};

/// Serves the adapter of a FineTune behind the Collective's gateway, at a price a token. (`deployments.cooperator.dev`,
/// short `codeploy`; plain `deployment` stays that of `apps/v1`.)
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "Deployment",
    shortname = "codeploy",
    category = "coop",
    namespaced,
    status = "DeploymentStatus",
    derive = "PartialEq",
    cel,
    doc = "An adapter that is served, at a price.",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("metadata.name must be 1 to 40 lowercase letters, digits or `-`, starting with a letter: a Service is named after it"),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.modelName"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Requests", type_ = "integer", json_path = ".status.usage.requests"),
    printcolumn(name = "Revenue", type_ = "string", json_path = ".status.revenue.amount"),
    printcolumn(name = "Adapter", type_ = "string", json_path = ".status.adapterDigest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// What callers name as `model`. 1 to 128 characters. Default: metadata.name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$')").message("must be letters, digits, `.`, `_` or `-`, in parts between `/` that begin with a letter or digit, such as `band/songs-v1`"))]
    pub model_name: Option<String>,
    /// The FineTune whose adapter is served.
    #[x_kube(validation = rule::to_short_name())]
    pub fine_tune_ref: LocalRef,
    /// What serves. Default: candle, the only runtime so far.
    #[serde(default = "default_runtime")]
    #[x_kube(validation = Rule::new("self.name == 'candle'").message("runtimeRef.name must be candle: no other runtime is supported yet"))]
    pub runtime_ref: LocalRef,
    /// Server pods, 0 to 100. Default: 1.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Resources of a server container. Default: 500m CPU and 512Mi requested, 4Gi at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Who may call it.
    #[serde(default)]
    pub access: Access,
    /// What a token costs, in the treasury's currency. Default: nothing.
    #[serde(default)]
    pub price: Price,
    /// Bounds of a request and of a key.
    #[serde(default)]
    pub limits: Limits,
}

fn default_runtime() -> LocalRef {
    LocalRef { name: "candle".into() }
}

fn default_replicas() -> i32 {
    1
}

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Access {
    /// ApiKey: a key of the Collective is needed. Public: no key; limits hold for all such callers together, and what
    /// they use is metered at price 0. Default: ApiKey.
    #[serde(default)]
    pub mode: AccessMode,
}

/// Way of access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AccessMode {
    /// With a key.
    #[default]
    ApiKey,
    /// Without.
    Public,
}

/// What a token costs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// A million prompt tokens, decimal string, 0 to 1000000000, at most 6 decimals. Default: 0.
    #[serde(default = "zero")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub input_tokens_per_million: String,
    /// A million generated tokens, decimal string, 0 to 1000000000, at most 6 decimals. Default: 0.
    #[serde(default = "zero")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub output_tokens_per_million: String,
}

impl Default for Price {
    fn default() -> Self {
        Self { input_tokens_per_million: zero(), output_tokens_per_million: zero() }
    }
}

fn zero() -> String {
    "0".into()
}

/// Bounds of a request and of a key.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most prompt tokens of a request, 1 to 1000000. Default: 1024.
    #[serde(default = "default_input")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_input_tokens: i32,
    /// Most generated tokens of a request, 1 to 1000000. Default: 512.
    #[serde(default = "default_output")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_output_tokens: i32,
    /// Requests a minute and key, 1 to 1000000. Default: 600.
    #[serde(default = "default_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: i32,
    /// Tokens a minute and key, 1 to 1000000000. Default: 100000.
    #[serde(default = "default_tokens")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_per_minute: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_tokens: default_input(),
            max_output_tokens: default_output(),
            requests_per_minute: default_requests(),
            tokens_per_minute: default_tokens(),
        }
    }
}

fn default_input() -> i32 {
    1024
}

fn default_output() -> i32 {
    512
}

fn default_requests() -> i32 {
    600
}

fn default_tokens() -> i32 {
    100_000
}

/// Where it answers and what it earned.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, ServerReady, RouteReady.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Collective whose gateway routes to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collective: Option<String>,
    /// What callers name as `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// Base URL for OpenAI clients, inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the gateway finds the server pods: `http://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Digest of the adapter that all available pods serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_digest: Option<String>,
    /// Pods wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Label selector of the pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Settled usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,
    /// Settled revenue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revenue: Option<Money>,
}

/// Settled usage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// Requests billed.
    pub requests: i64,
    /// Prompt tokens.
    pub input_tokens: i64,
    /// Generated tokens.
    pub output_tokens: i64,
    /// Name of the newest Settlement that is counted.
    pub through: String,
}
