//! What it runs on, and what that may cost.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalRef, Spot};
use crate::requirement::Requirement;
use crate::{pod, rule};

/// What it may run on, and for how much.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.nodePoolRef) || (!has(self.requirements) && !has(self.diskGi) && self.spot == 'Never')").message("requirements, diskGi and spot must be left out without nodePoolRef: they say what is rented"))]
#[x_kube(validation = Rule::new("!has(self.nodePoolRef) || !has(self.nodeSelector)").message("nodeSelector must be left out with nodePoolRef: requirements say what is rented").field_path(".nodeSelector"))]
pub struct Compute {
    /// Resources of the training container. Default: 1 CPU and 4Gi requested, 8Gi at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pod::resources")]
    pub resources: Option<ResourceRequirements>,
    /// The NodePool that a machine is rented from for each attempt. Default: none is rented; it runs on nodes that are
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rule::to_short_name())]
    pub node_pool_ref: Option<LocalRef>,
    /// What a rented machine must be, besides what the pool requires: all of them hold. With nodePoolRef alone. At most
    /// 32. Default: whatever has the resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub requirements: Vec<Requirement>,
    /// Never: on demand. Only: a machine that the vendor can take away again; the next attempt goes on from the newest
    /// checkpoint. Prefer: whichever is likely to cost less in the end. With nodePoolRef alone. Default: Never.
    #[serde(default)]
    pub spot: Spot,
    /// Disk of a rented machine in GiB, 8 to 4096. With nodePoolRef alone. Default: the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub disk_gi: Option<i32>,
    /// Labels of nodes it may run on. 1 to 16. Not with nodePoolRef. Default: any node.
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
