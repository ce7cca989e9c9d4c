//! A row of the usage log, the ground of every bill. Its event id is `gateway` + `sequence`: unique for ever.

use cooperator_core::digest::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Response header in which a server names the adapter that answered, by digest. During a rollout pods of two adapters
/// answer; what each request earned goes to those whose work answered it.
pub const ADAPTER_HEADER: &str = "x-cooperator-adapter";

/// One finished request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageRow {
    /// Gateway that metered it.
    pub gateway: String,
    /// From 1, without gaps, in the order of the gateway's log.
    pub sequence: u64,
    /// When the request ended (event time, UTC).
    pub time: Timestamp,
    /// `metadata.uid` of the ApiKey; empty for public access.
    pub key: String,
    /// Who pays: `spec.consumer` of the ApiKey.
    pub consumer: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// Adapter that answered; none: the base model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Digest>,
    /// Prompt tokens billed.
    pub input_tokens: u64,
    /// Generated tokens billed: those sent to the client.
    pub output_tokens: u64,
    /// The price they are billed at.
    pub price: PriceTag,
    /// How the request ended.
    pub status: UsageStatus,
}

/// Prices of one row, so that the log alone can be recomputed. Decimal strings per million tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceTag {
    /// Currency code.
    pub currency: String,
    /// Per million prompt tokens.
    pub input: String,
    /// Per million generated tokens.
    pub output: String,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UsageStatus {
    /// Answered in full: prompt and generated tokens are billed.
    Completed,
    /// The client left mid-stream: the prompt and the tokens it was sent are billed.
    Disconnected,
    /// The upstream failed: nothing is billed, both counts are zero.
    Failed,
}
