//! How much may be rented by a Provider, how long that may take, and when it is paused.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rule;

/// What may be rented at once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderLimits {
    /// Most machines, 0 to 1000; 0 rents none. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub machines: Option<i32>,
    /// Most that an hour of all of them may cost, decimal string in the treasury's currency, 0 to 1000000000, at most 6
    /// decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub price_per_hour: Option<String>,
}

/// How long a machine may take, and what it costs be unsure. One that takes longer is given back, and another is tried.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct Timeouts {
    /// From the order until the vendor says that it runs: hours, minutes and seconds, 30s to 24h. Default: 10m.
    #[serde(default = "default_launch")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("30s", "24h"))]
    pub launch: String,
    /// From then until it is a node, or its container reports: hours, minutes and seconds, 30s to 24h. Default: 15m.
    #[serde(default = "default_registration")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("30s", "24h"))]
    pub registration: String,
    /// From then, or from the end of its last pod, without any pod until it is given back, unless
    /// `disruption.consolidateAfter` of its NodePool is longer: hours, minutes and seconds, 30s to 24h. Default: 5m.
    #[serde(default = "default_idle")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("30s", "24h"))]
    pub idle: String,
    /// From its end until what its vendor says it cost is taken for final, at vendors that never say so themselves, such as
    /// Vast.ai. A FineTune that is deleted stays for so long: hours, minutes and seconds, 30s to 24h. Default: 30m.
    #[serde(default = "default_billing")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("30s", "24h"))]
    pub billing: String,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            launch: default_launch(),
            registration: default_registration(),
            idle: default_idle(),
            billing: default_billing(),
        }
    }
}

fn default_launch() -> String {
    "10m".into()
}

fn default_registration() -> String {
    "15m".into()
}

fn default_idle() -> String {
    "5m".into()
}

fn default_billing() -> String {
    "30m".into()
}

/// So many failed launches within a window, and nothing is rented for a while.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct Breaker {
    /// Failed launches that open it, 1 to 100. Default: 5.
    #[serde(default = "default_failures")]
    #[schemars(range(min = 1, max = 100))]
    pub failures: i32,
    /// Within which time: hours, minutes and seconds, 30s to 24h. Default: 10m.
    #[serde(default = "ten_minutes")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("30s", "24h"))]
    pub window: String,
    /// How long nothing is rented then: hours, minutes and seconds, 30s to 24h. Default: 10m.
    #[serde(default = "ten_minutes")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("30s", "24h"))]
    pub pause: String,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: default_failures(), window: ten_minutes(), pause: ten_minutes() }
    }
}

fn default_failures() -> i32 {
    5
}

fn ten_minutes() -> String {
    "10m".into()
}
