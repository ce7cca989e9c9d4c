//! How a Collective's revenue is settled and split.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule;

/// Settlement and split of revenue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.currency == oldSelf.currency && self.decimals == oldSelf.decimals").message("treasury.currency and treasury.decimals are immutable: statements carry amounts over from period to period").reason(Reason::FieldValueForbidden))]
pub struct Treasury {
    /// Currency of prices, costs and payments: 3 to 10 capital letters or digits. Immutable.
    #[schemars(length(min = 3, max = 10))]
    #[x_kube(validation = rule::currency())]
    pub currency: String,
    /// Decimal places of the smallest unit that is paid out, 0 to 12. Default: 2. Immutable.
    #[serde(default = "default_decimals")]
    #[schemars(range(min = 0, max = 12))]
    pub decimals: i32,
    /// Length of a settlement period, in UTC. Default: Monthly.
    #[serde(default)]
    pub settlement_period: SettlementPeriod,
    /// How long after its end a period waits for late usage, hours, minutes and seconds, at most 2160h. Default: 24h.
    #[serde(default = "default_close_after")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("0s", "2160h"))]
    pub close_after: String,
    /// Whether compute cost comes off revenue before the split. Default: Full.
    #[serde(default)]
    pub cost_recovery: CostRecovery,
    /// What an hour of a machine already in the cluster is charged at, decimal string in `currency`, 0 to 1000000000,
    /// at most 6 decimals. Default: 0.
    #[serde(default = "zero")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reserve {
    /// 1/10000 of the net, 0 to 10000.
    #[schemars(range(min = 0, max = 10000))]
    pub basis_points: i32,
    /// Account that holds it. 1 to 256 characters.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = rule::text())]
    pub account: String,
}

/// A rule of the split.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.by == 'Fixed') == (has(self.shares) && size(self.shares) > 0)").message("shares must be given with by: Fixed, and only with it"))]
pub struct SplitRule {
    /// Name for people, once. A DNS label of at most 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct Budget {
    /// Decimal string in the treasury's currency, below 10^15, at most 6 decimals.
    #[schemars(length(max = 22))]
    #[x_kube(validation = rule::budget())]
    pub amount: String,
    /// Default: Monthly.
    #[serde(default)]
    pub period: SettlementPeriod,
}
