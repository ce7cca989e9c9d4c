//! `Provider`: an account with a vendor of machines, or machines of our own.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::LocalRef;
use crate::rule;

mod limits;
mod machine;
mod status;

pub use limits::{Breaker, ProviderLimits, Timeouts};
pub use machine::{Machine, MachineGpus};
pub use status::{BlockedHost, Cheapest, ProviderStatus, Stray};

/// An account with a vendor that rents machines out by the hour, or a list of machines that are there already. Nothing is
/// rented by it: a NodePool says what may be.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "Provider",
    shortname = "prov",
    category = "coop",
    namespaced,
    status = "ProviderStatus",
    derive = "PartialEq",
    cel,
    doc = "An account with a vendor of machines, or machines of our own.",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must be at most 40 characters: labels of nodes are made of it"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Offers", type_ = "integer", json_path = ".status.offers"),
    printcolumn(name = "Cheapest", type_ = "string", description = "an hour", json_path = ".status.cheapest.pricePerHour"),
    printcolumn(name = "Machines", type_ = "integer", json_path = ".status.machines"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.collectiveRef == oldSelf.collectiveRef && self.type == oldSelf.type").message("collectiveRef and type are immutable: machines are rented by them; make another Provider").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("has(self.secretRef) == (self.type != 'Static')").message("secretRef must be given, but not with type: Static").field_path(".secretRef"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !(self.type in ['SSH', 'Static'])").message("endpoint must be left out with type: SSH or Static: there is no API to ask").field_path(".endpoint"))]
#[x_kube(validation = Rule::new("(self.type in ['SSH', 'Static']) == (has(self.machines) && size(self.machines) > 0)").message("machines must be given with type: SSH or Static, and only with those").field_path(".machines"))]
#[x_kube(validation = Rule::new("self.type != 'SSH' || !has(self.machines) || self.machines.all(m, has(m.address) && has(m.user) && has(m.hostKey) && !has(m.node))").message("machines of type: SSH must have address, user and hostKey, and no node").field_path(".machines"))]
#[x_kube(validation = Rule::new("self.type != 'Static' || !has(self.machines) || self.machines.all(m, has(m.node) && !has(m.address) && !has(m.port) && !has(m.user) && !has(m.hostKey))").message("machines of type: Static must have node, the name of a Node of the cluster, and no address, port, user or hostKey").field_path(".machines"))]
pub struct ProviderSpec {
    /// The Collective whose account it is, and whose money. Immutable.
    #[x_kube(validation = rule::to_collective())]
    pub collective_ref: LocalRef,
    /// Vast, RunPod, Lambda or Hetzner: that vendor. SSH: `machines`, reached by SSH. Static: `machines` that are nodes
    /// of the cluster already. Immutable.
    #[serde(rename = "type")]
    pub type_: ProviderType,
    /// Base URL of the vendor's API, 8 to 256 characters, without user info or query. Not with SSH or Static. Default:
    /// the vendor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 256))]
    #[x_kube(validation = rule::base_url())]
    pub endpoint: Option<String>,
    /// Secret with `apiKey`, the key of the account; with SSH `privateKey`, in OpenSSH's form. Needed but with Static.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// Currency that the vendor bills in: 3 to 10 capital letters or digits. Default: USD.
    #[serde(default = "default_currency")]
    #[schemars(length(min = 3, max = 10))]
    #[x_kube(validation = rule::currency())]
    pub currency: String,
    /// Units of the treasury's currency for one unit of `currency`, decimal string above 0, below 10^9, at most 6
    /// decimals. Needed where the two differ. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::rate())]
    pub exchange_rate: Option<String>,
    /// What may be rented by it at once, by all NodePools together.
    #[serde(default)]
    pub limits: ProviderLimits,
    /// How long a machine may take to be of use.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When renting is paused because it fails.
    #[serde(default)]
    pub breaker: Breaker,
    /// The machines, each name once. With SSH or Static alone. 1 to 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub machines: Vec<Machine>,
}

fn default_currency() -> String {
    "USD".into()
}

/// Who rents machines out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ProviderType {
    /// Vast.ai.
    Vast,
    /// RunPod.
    RunPod,
    /// Lambda Cloud.
    Lambda,
    /// Hetzner Cloud.
    Hetzner,
    /// Machines of our own, reached by SSH.
    #[serde(rename = "SSH")]
    Ssh,
    /// Nodes that are there already.
    Static,
}

impl ProviderType {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Vast, Self::RunPod, Self::Lambda, Self::Hetzner, Self::Ssh, Self::Static];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vast => "Vast",
            Self::RunPod => "RunPod",
            Self::Lambda => "Lambda",
            Self::Hetzner => "Hetzner",
            Self::Ssh => "SSH",
            Self::Static => "Static",
        }
    }
}
