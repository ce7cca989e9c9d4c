//! The settlement of one period: what the settle run is told, and the statement it writes.

use cooperator_core::digest::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a settle run is told. Everything else it reads from object storage: the usage log, and the attribution in
/// the manifest of every adapter the log names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleTask {
    /// Name of the Collective.
    pub collective: String,
    /// The period.
    pub period: Period,
    /// Currency code; rows in another currency are an error.
    pub currency: String,
    /// Decimal places of the smallest unit that is paid out, 0 to 12.
    pub decimals: u8,
    /// Members at the close of the period, sorted by name.
    pub members: Vec<Payee>,
    /// Compute costs of the period, in money, to be recovered first when `recover_costs`.
    pub costs: Vec<CostLine>,
    /// Whether costs come off before the split.
    pub recover_costs: bool,
    /// Part of the net that is put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
    /// Split rules, adding up to 10,000 basis points.
    pub split: Vec<SplitRule>,
    /// Statement of the period before, whose carries go on; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<StatementRef>,
}

/// A half-open span of event time, `[start, end)`, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Period {
    /// Name, usable in object keys and Kubernetes names: `2026-11`.
    pub name: String,
    /// First instant in it.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
}

/// Who is paid, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payee {
    /// Member name.
    pub member: String,
    /// Account as the member gave it; free text.
    pub account: String,
}

/// A cost of the period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CostLine {
    /// Name of the FineTune.
    pub fine_tune: String,
    /// Decimal string in the Collective's currency.
    pub amount: String,
}

/// Part of the net that is put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reserve {
    /// 0 to 10,000.
    pub basis_points: u16,
    /// Account that holds it.
    pub account: String,
}

/// A rule of the split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitRule {
    /// Name, for people.
    pub name: String,
    /// Part of the net it divides.
    pub basis_points: u16,
    /// How it divides it.
    #[serde(flatten)]
    pub by: SplitBy,
}

/// How a rule divides its part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by")]
pub enum SplitBy {
    /// By the attribution of the adapter that earned it.
    Contribution,
    /// Equally among the members.
    Membership,
    /// By fixed parts.
    Fixed {
        /// The parts, at least one of them above zero.
        shares: Vec<FixedShare>,
    },
}

/// A fixed part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FixedShare {
    /// Member name.
    pub member: String,
    /// Parts of the sum of all parts.
    pub parts: u32,
}

/// A statement in object storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatementRef {
    /// Period name.
    pub period: String,
    /// sha256 of `statement.json`.
    pub digest: Digest,
}

/// `statement.json`: all that a member needs, with the usage log, to recompute the split. It holds no clock time of
/// its own making: running the settlement again gives the same bytes. Amounts are decimal strings, exact to 10^-12.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// The inputs, as given.
    pub task: SettleTask,
    /// Revenue by Deployment, adapter and price, sorted.
    pub revenue: Vec<RevenueLine>,
    /// Late rows of earlier periods, at the prices and attribution they had.
    pub corrections: Vec<RevenueLine>,
    /// Sum of `revenue` and `corrections`.
    pub gross: String,
    /// Cost recovered now, in whole payable units.
    pub recovered: String,
    /// Cost still to recover in later periods.
    pub unrecovered: String,
    /// Put aside now, in whole payable units.
    pub reserve: String,
    /// Per member, sorted by name; whole payable units.
    pub payments: Vec<Payment>,
    /// What is left below payable units, with that of the periods before.
    pub suspense: Suspense,
    /// The usage behind it.
    pub usage: UsageProof,
}

/// Revenue of one Deployment with one adapter at one price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevenueLine {
    /// Name of the Deployment.
    pub deployment: String,
    /// The adapter; none: the base model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Digest>,
    /// Requests billed.
    pub requests: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// The price.
    pub price: crate::usage::PriceTag,
    /// Exact amount.
    pub amount: String,
}

/// What a member gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payment {
    /// Member name.
    pub member: String,
    /// Account.
    pub account: String,
    /// Training tokens given, over the adapters that earned in this period.
    pub tokens: u64,
    /// Part of all that is split, in basis points, for people; amounts are not computed from it.
    pub basis_points: u16,
    /// Whole payable units.
    pub amount: String,
}

/// What is not yet payable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Suspense {
    /// Before this period.
    pub before: String,
    /// After it: before + gross = recovered + reserve + payments + after.
    pub after: String,
    /// Per payee (member name, or `reserve` / `costs` in angle brackets), the numerator carried over, as an integer
    /// string in units of 10^-12 / 10^17.
    pub carries: Vec<Carry>,
}

/// A payee's carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Carry {
    /// Member name, `<reserve>` or `<costs>`.
    pub payee: String,
    /// Integer string.
    pub numerator: String,
}

/// Which part of the usage log a statement has counted. A row belongs to a period by its time; a row found later
/// with a sequence above `through_sequence` is late and becomes a correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageProof {
    /// Rows counted. How they were packed is not told: after a compaction the statement must have the same bytes.
    pub rows: u64,
    /// sha256 over the sorted lines `<gateway> <through_sequence> <head>\n`.
    pub root_digest: Digest,
    /// Per gateway, sorted.
    pub gateways: Vec<GatewayProof>,
}

/// How far one gateway's log was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayProof {
    /// Gateway id.
    pub gateway: String,
    /// Sequence of the last row before the period's end; 0 when there is none.
    pub through_sequence: u64,
    /// Head of the hash chain after that row.
    pub head: Digest,
}
