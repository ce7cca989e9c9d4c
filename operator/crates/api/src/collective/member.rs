//! Who belongs to a Collective.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule;

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name used by contributions, splits and statements: a DNS label of at most 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub name: String,
    /// Name for people. At most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = rule::text())]
    pub display_name: String,
    /// Who may write this member's Contributions. Default: whoever may write Contributions in the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Public keys, each once, to sign without cluster access. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["publicKey".into()]))]
    pub keys: Vec<PublicKey>,
    /// How this member is paid. Default: Manual, without an account.
    #[serde(default)]
    pub payout: Payout,
    /// Roles besides Member, which is implied, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<Role>,
}

/// A Kubernetes or OIDC subject.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("name must be the name of a ServiceAccount of this namespace, without the namespace: lowercase letters, digits, `-` and `.`"))]
pub struct Subject {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,
    /// Name as the API server authenticates it. 1 to 253 characters.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rule::text())]
    pub name: String,
}

/// Kind of a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SubjectKind {
    /// A user name.
    #[default]
    User,
    /// A group name.
    Group,
    /// A ServiceAccount of this namespace.
    ServiceAccount,
}

/// A public key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKey {
    /// `ssh-ed25519`.
    #[serde(rename = "type")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self == 'ssh-ed25519'").message("must be ssh-ed25519: no other kind of key is supported yet"))]
    pub type_: String,
    /// Base64, as in `authorized_keys`: 68 characters.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$')").message("must be the second word of a line of `ssh-keygen -t ed25519`, 68 characters that begin with AAAAC3NzaC1lZDI1NTE5AAAAI"))]
    pub public_key: String,
}

/// How a member is paid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct Payout {
    /// Manual: the treasurer pays and marks it. Default: Manual.
    #[serde(default)]
    pub method: PayoutMethod,
    /// IBAN, address or any text the treasurer needs. At most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = rule::text())]
    pub account: String,
}

/// Way of paying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PayoutMethod {
    /// By hand.
    #[default]
    Manual,
}

/// A role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Role {
    /// Pays and marks payments.
    Treasurer,
    /// Looks after the technical side.
    Maintainer,
}
