//! The ledger of a NodeClaim: what was asked of a vendor, written down before it is asked. Its JSON form is that of
//! `cooperator_rental::Record`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One order of a machine, from the intention to the vendor's word that it has ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// From 1.
    pub number: i32,
    /// Name of the Provider.
    pub provider: String,
    /// The offer with its terms, as the operator read it, in the vendor's currency.
    #[schemars(schema_with = "anything")]
    pub offer: serde_json::Value,
    /// Disk asked for, in GiB.
    pub disk_gib: i64,
    /// What was bid for an hour of a spot machine, decimal string in the vendor's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bid: Option<String>,
    /// Units of the treasury's currency for one of the vendor's, when it was decided. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<String>,
    /// When it was decided, before the vendor was asked, RFC 3339.
    pub intended_at: String,
    /// When the vendor's answer was lost, RFC 3339. What it made is looked for until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful_since: Option<String>,
    /// When a list lacked the machine that is looked for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_at: Option<String>,
    /// The machine, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<LaunchedMachine>,
    /// Further machines that the vendor made for it: each is ended, and paid for. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub spares: Vec<LaunchedMachine>,
    /// Why it is to end, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When nothing of it cost anything any more, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
}

/// A machine that a vendor made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LaunchedMachine {
    /// The vendor's name for it.
    pub instance: String,
    /// When it was asked for, RFC 3339: what it costs counts from here until the vendor tells.
    pub made_at: String,
    /// When the operator came to know of it, RFC 3339.
    pub known_at: String,
    /// From when on it is paid for, by the vendor's word, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What an hour costs, by the vendor's word, decimal string in the vendor's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<String>,
    /// When it was first seen running, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_at: Option<String>,
    /// When it was first seen stopped, RFC 3339: its disk alone is paid for from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<String>,
    /// Since when the vendor says that there is no such machine, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<String>,
    /// How often its end was asked for. Default: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deletes: i32,
    /// When its end was last asked for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_asked_at: Option<String>,
    /// When an end was asked for that was not answered, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsure_at: Option<String>,
    /// How often that was written down since the last one that was answered. Default: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub marks: i32,
    /// When the vendor took in that it is to end, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<String>,
    /// When the vendor said that it is gone, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<String>,
    /// Until when it is paid for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When its end was confirmed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
    /// What the vendor charged for it, once final, decimal string in the vendor's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<String>,
    /// When what it cost became final, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounted_at: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// An object that only the operator reads.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
