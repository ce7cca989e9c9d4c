//! `Contribution`: a member's work, with licence and consent.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collective::Use;
use crate::common::{Conditions, LocalRef, Modality, Source};
use crate::rule;

/// One member's work and the consent to use it, written by that member. By itself it makes nothing: Datasets select it.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "Contribution",
    shortname = "contrib",
    category = "coop",
    namespaced,
    status = "ContributionStatus",
    derive = "PartialEq",
    cel,
    doc = "A member's work, its licence, and what it may be used for.",
    printcolumn(name = "Member", type_ = "string", json_path = ".spec.memberRef.name"),
    printcolumn(name = "License", type_ = "string", json_path = ".spec.license"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].reason"
    ),
    printcolumn(name = "Revoked", type_ = "boolean", json_path = ".spec.revoked", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.collectiveRef == oldSelf.collectiveRef && self.memberRef == oldSelf.memberRef").message("collectiveRef and memberRef are immutable: revoke this Contribution and make another").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(oldSelf.revoked) || !oldSelf.revoked || (has(self.revoked) && self.revoked)").message("revoked cannot be taken back: make another Contribution").reason(Reason::FieldValueForbidden))]
pub struct ContributionSpec {
    /// The Collective it is given to. Immutable.
    #[x_kube(validation = rule::to_collective())]
    pub collective_ref: LocalRef,
    /// The member who gives it. Immutable.
    #[x_kube(validation = rule::to_member())]
    pub member_ref: LocalRef,
    /// Text, Image or Audio. Default: Text.
    #[serde(default)]
    pub modality: Modality,
    /// Where the work lies: `s3://`, `https://` or `pvc://`.
    #[x_kube(validation = Rule::new("!self.storageUri.startsWith('hf://')").message("source.storageUri of a Contribution must be s3://, https:// or pvc://"))]
    pub source: Source,
    /// SPDX expression it is under. 1 to 128 characters.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rule::license())]
    pub license: String,
    /// What it may be used for, each use once. A use that is not listed is not allowed. At most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["use".into()]))]
    pub grants: Vec<Grant>,
    /// Who is credited, each member once, adding up to 10000 basis points. Default: `memberRef` alone. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    #[x_kube(validation = Rule::new("size(self) == 0 || self.map(s, s.basisPoints).sum() == 10000").message("splitSheet[].basisPoints must add up to 10000"))]
    pub split_sheet: Vec<SplitShare>,
    /// True takes the work out of every later Dataset build. It cannot be taken back. Default: false.
    #[serde(default)]
    pub revoked: bool,
}

/// A use that is allowed or not.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Grant {
    /// The use.
    #[serde(rename = "use")]
    pub use_: Use,
    /// Whether it is allowed.
    pub allowed: bool,
}

/// A line of a split sheet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SplitShare {
    /// Member name. At most 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub member: String,
    /// 1/10000 of the work, 1 to 10000.
    #[schemars(range(min = 1, max = 10000))]
    pub basis_points: i32,
}

/// What the operator thinks of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContributionStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, with the reason where it is not.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
}
