//! `Collective`: the group that owns the model.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule;

mod member;
mod status;
mod storage;
mod treasury;

pub use member::{Member, Payout, PayoutMethod, PublicKey, Role, Subject, SubjectKind};
pub use status::{CollectiveStatus, Departed, Settling, StorageStatus};
pub use storage::Storage;
pub use treasury::{
    Budget, CostRecovery, FixedShare, Reserve, SettlementPeriod, SplitBy, SplitRule, Treasury,
};

/// The group of people that owns works, models and revenue together: its members, its licence policy, its treasury and
/// its object storage. One Collective lives in one namespace; nothing refers across namespaces.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "Collective",
    shortname = "coll",
    category = "coop",
    namespaced,
    status = "CollectiveStatus",
    derive = "PartialEq",
    cel,
    doc = "A group of people that owns works, models and revenue together.",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("metadata.name must be 1 to 40 lowercase letters, digits or `-`, starting with a letter: object names are built from it"),
    validation = Rule::new("!has(oldSelf.spec.storage) || has(self.spec.storage)").message("spec.storage must stay: digests in status point into it; make a new Collective").reason(Reason::FieldValueForbidden),
    validation = Rule::new("has(oldSelf.spec.storage) || !has(self.spec.storage) || !has(oldSelf.status) || !has(oldSelf.status.storage)").message("spec.storage must not be given once the installation's store holds the Collective's objects: make a new Collective").reason(Reason::FieldValueForbidden),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.members"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gatewayUrl", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.treasury.split) || self.treasury.split.all(r, !has(r.shares) || r.shares.all(s, self.members.exists(m, m.name == s.member)))").message("shares[].member must be one of spec.members[].name").field_path(".treasury.split"))]
pub struct CollectiveSpec {
    /// Name for people. At most 128 characters. Default: metadata.name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = rule::text())]
    pub display_name: String,
    /// The members, each name once. 1 to 128.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<Member>,
    /// Which licences and grants a base model and a contribution must have.
    pub policy: Policy,
    /// How revenue is settled and split.
    pub treasury: Treasury,
    /// Most money that may be spent on compute in a period. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Object storage. Default: a bucket of its own in the store the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// The gateway in front of this Collective's Deployments.
    #[serde(default)]
    pub gateway: Gateway,
}

/// Licences and grants that are required.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// SPDX expressions a base model may be under, each once. 1 to 64.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rule::licenses())]
    pub base_model_licenses: Vec<String>,
    /// SPDX expressions a contribution may be under, each once; `LicenseRef-` names are compared as they are. 1 to 64.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rule::licenses())]
    pub contribution_licenses: Vec<String>,
    /// Uses that every contribution must grant, each once. Default: GenerativeTraining.
    #[serde(default = "default_grants")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub required_grants: Vec<Use>,
}

fn default_grants() -> Vec<Use> {
    vec![Use::GenerativeTraining]
}

/// What a work may be used for (CAWG training and data mining assertion, 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum Use {
    /// Training a model that makes new works: `cawg.ai_generative_training`.
    GenerativeTraining,
    /// Training any other model: `cawg.ai_training`.
    Training,
    /// As input when a model answers: `cawg.ai_inference`.
    Inference,
    /// Data mining: `cawg.data_mining`.
    DataMining,
}

/// The gateway of a Collective.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Pods, 0 to 16. Default: 1.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 16))]
    pub replicas: i32,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { replicas: default_replicas() }
    }
}

fn default_replicas() -> i32 {
    1
}
