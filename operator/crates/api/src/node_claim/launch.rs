//! The ledger of a NodeClaim: what was asked of a vendor, written down before it is asked.

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
    /// When it was decided, before the vendor was asked, RFC 3339.
    pub intended_at: String,
    /// Since when it is not known whether the vendor made a machine, RFC 3339. It is looked for until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful_since: Option<String>,
    /// The vendor's name for the machine, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// From when on it is paid for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the vendor first said that it runs, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_at: Option<String>,
    /// Until when it is paid for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When the vendor confirmed that it is gone, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
    /// Why it ended, or is being ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was bid for an hour of a spot machine, decimal string in the vendor's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bid: Option<String>,
    /// What the vendor says it charged, decimal string in the vendor's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<String>,
    /// What it cost, final, decimal string in the treasury's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
}

/// An object that only the operator reads.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
