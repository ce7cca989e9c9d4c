//! What it runs on, and what that may cost.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{pod, rule};

/// What it may run on, and for how much.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// Resources of the training container. Default: 1 CPU and 4Gi requested, 8Gi at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of nodes it may run on. 1 to 16. Default: any node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod::node_selector")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints it tolerates. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pod::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Most that an hour of the machine may cost, decimal string, 0 to 1000000000, at most 6 decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub max_price_per_hour: Option<String>,
    /// Most that all attempts together may cost, decimal string, below 10^15, at most 6 decimals. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 22))]
    #[x_kube(validation = rule::budget())]
    pub budget: Option<String>,
}
