//! `Collective`: the group that owns the model.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Conditions, LocalRef, Money};

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
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.members"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gatewayUrl", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.treasury.split) || self.treasury.split.all(r, !has(r.shares) || r.shares.all(s, self.members.exists(m, m.name == s.member)))").message("treasury.split[].shares[].member must be one of spec.members"))]
pub struct CollectiveSpec {
    /// Name for people. At most 128 characters. Default: metadata.name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
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

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name used by contributions, splits and statements: a DNS label of at most 63 characters.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name for people. At most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// Who may write this member's Contributions. Default: whoever may write Contributions in the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Public keys, to sign without cluster access. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub keys: Vec<PublicKey>,
    /// How this member is paid. Default: Manual, without an account.
    #[serde(default)]
    pub payout: Payout,
    /// Roles besides Member, which is implied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub roles: Vec<Role>,
}

/// A Kubernetes or OIDC subject.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Subject {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,
    /// Name as the API server authenticates it. 1 to 253 characters.
    #[schemars(length(min = 1, max = 253))]
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKey {
    /// `ssh-ed25519`.
    #[serde(rename = "type")]
    #[schemars(regex(pattern = r"^ssh-ed25519$"))]
    pub type_: String,
    /// Base64, as in `authorized_keys`. At most 256 characters.
    #[schemars(length(min = 1, max = 256))]
    pub public_key: String,
}

/// How a member is paid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Payout {
    /// Manual: the treasurer pays and marks it. Default: Manual.
    #[serde(default)]
    pub method: PayoutMethod,
    /// IBAN, address or any text the treasurer needs. At most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
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

/// Licences and grants that are required.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// SPDX expressions a base model may be under. 1 to 64.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub base_model_licenses: Vec<String>,
    /// SPDX expressions a contribution may be under; `LicenseRef-` names are compared as they are. 1 to 64.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub contribution_licenses: Vec<String>,
    /// Uses that every contribution must grant. Default: GenerativeTraining.
    #[serde(default = "default_grants")]
    #[schemars(length(max = 4))]
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

/// Settlement and split of revenue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.currency == oldSelf.currency && self.decimals == oldSelf.decimals").message("treasury.currency and treasury.decimals are immutable: statements carry amounts over from period to period").reason(Reason::FieldValueForbidden))]
pub struct Treasury {
    /// Currency of prices, costs and payments: 3 to 10 capital letters or digits. Immutable.
    #[schemars(length(min = 3, max = 10), regex(pattern = r"^[A-Z][A-Z0-9]{2,9}$"))]
    pub currency: String,
    /// Decimal places of the smallest unit that is paid out, 0 to 12. Default: 2. Immutable.
    #[serde(default = "default_decimals")]
    #[schemars(range(min = 0, max = 12))]
    pub decimals: i32,
    /// Length of a settlement period, in UTC. Default: Monthly.
    #[serde(default)]
    pub settlement_period: SettlementPeriod,
    /// How long after its end a period waits for late usage. Default: 24h.
    #[serde(default = "default_close_after")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub close_after: String,
    /// Whether compute cost comes off revenue before the split. Default: Full.
    #[serde(default)]
    pub cost_recovery: CostRecovery,
    /// What an hour of a machine already in the cluster is charged at, decimal string in `currency`, at most 6
    /// decimals. Default: 0.
    #[serde(default = "zero")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub price_per_node_hour: String,
    /// Part of the net that is put aside. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
    /// How the net is divided: basis points must add up to 10000. 1 to 16 rules, each name once.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[x_kube(validation = Rule::new("self.map(r, r.basisPoints).sum() == 10000").message("treasury.split[].basisPoints must add up to 10000"))]
    pub split: Vec<SplitRule>,
}

fn default_decimals() -> i32 {
    2
}

fn default_close_after() -> String {
    "24h".into()
}

fn zero() -> String {
    "0".into()
}

/// Length of a settlement period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SettlementPeriod {
    /// From the full hour.
    Hourly,
    /// From midnight.
    Daily,
    /// From Monday, midnight.
    Weekly,
    /// From the first of the month.
    #[default]
    Monthly,
    /// From the first of January, April, July, October.
    Quarterly,
}

/// Whether compute cost is recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum CostRecovery {
    /// The split is of the revenue.
    None,
    /// Cost comes off first; what a period does not cover is carried to the next.
    #[default]
    Full,
}

/// Part of the net that is put aside.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reserve {
    /// 1/10000 of the net, 0 to 10000.
    #[schemars(range(min = 0, max = 10000))]
    pub basis_points: i32,
    /// Account that holds it. 1 to 256 characters.
    #[schemars(length(min = 1, max = 256))]
    pub account: String,
}

/// A rule of the split.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.by == 'Fixed') == (has(self.shares) && size(self.shares) > 0)").message("shares must be given with by: Fixed, and only with it"))]
pub struct SplitRule {
    /// Name for people, once. A DNS label of at most 63 characters.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// 1/10000 of the net, 1 to 10000.
    #[schemars(range(min = 1, max = 10000))]
    pub basis_points: i32,
    /// Contribution: by what each member gave to the adapter that earned it. Membership: equally. Fixed: by `shares`.
    pub by: SplitBy,
    /// The parts of a Fixed rule, each member once. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["member".into()]))]
    pub shares: Vec<FixedShare>,
}

/// How a rule divides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SplitBy {
    /// By attribution.
    #[default]
    Contribution,
    /// Equally.
    Membership,
    /// By fixed parts.
    Fixed,
}

/// A fixed part.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct FixedShare {
    /// Member name. At most 63 characters.
    #[schemars(length(min = 1, max = 63))]
    pub member: String,
    /// Parts of the sum of all parts, 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub parts: i32,
}

/// A bound of money in a period.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Budget {
    /// Decimal string in the treasury's currency, at most 6 decimals.
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,6})?$"))]
    pub amount: String,
    /// Default: Monthly.
    #[serde(default)]
    pub period: SettlementPeriod,
}

/// Object storage that speaks S3.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("storage is immutable: digests in status point into it; make a new Collective").reason(Reason::FieldValueForbidden))]
pub struct Storage {
    /// Bucket, 3 to 63 characters. It must exist.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
    /// Key prefix, empty or ending in `/`, at most 256 characters. Default: empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256), regex(pattern = r"^([^/].*/)?$"))]
    pub prefix: String,
    /// URL of the S3 endpoint; addressed path-style.
    #[schemars(length(min = 8, max = 256), regex(pattern = r"^https?://[^@/\s]+/?$"))]
    pub endpoint: String,
    /// Region to sign for. Default: us-east-1.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub secret_ref: LocalRef,
}

fn default_region() -> String {
    "us-east-1".into()
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

/// What the operator has seen and made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectiveStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, StorageReady, GatewayReady.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Number of members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<i32>,
    /// Where the Collective's objects lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,
    /// Base URL of the gateway inside the cluster; the OpenAI API lies below `/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_url: Option<String>,
    /// Compute cost of the current budget period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Money>,
    /// Name of the newest Settlement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_settlement: Option<String>,
    /// Run of the settlement under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settling: Option<Settling>,
    /// What FineTunes cost that were deleted before their period was settled: it is recovered all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub departed: Vec<Departed>,
}

/// The cost of a FineTune that is no more.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Departed {
    /// Its `metadata.uid`.
    pub uid: String,
    /// Its name.
    pub fine_tune: String,
    /// Cost of all its attempts, decimal string in the treasury's currency.
    pub cost: String,
    /// When its last attempt ended, RFC 3339.
    pub ended_at: String,
}

/// A settlement under way, written down before its Job is made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settling {
    /// Name of the period.
    pub period: String,
    /// First instant, RFC 3339.
    pub start: String,
    /// First instant after it, RFC 3339.
    pub end: String,
    /// Attempt of the settle Job, from 1.
    pub attempt: i32,
    /// Why the last attempt failed, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where a Collective's objects lie.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// S3 endpoint as pods reach it.
    pub endpoint: String,
    /// Region.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Key prefix, empty or ending in `/`.
    #[serde(default)]
    pub prefix: String,
    /// Secret with the Collective's key.
    pub secret_name: String,
}
