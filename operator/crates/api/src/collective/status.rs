//! What the operator says of a Collective.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Conditions, Money};

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
    /// What FineTunes cost that were deleted before their period was settled, and rented machines that nobody's work was
    /// done on: it is recovered all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub departed: Vec<Departed>,
}

/// The cost of a FineTune that is no more, or of a machine that belonged to none.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Departed {
    /// Its `metadata.uid`; of a machine `stray/`, uid of its Provider, the vendor's name for it, and what was booked before.
    pub uid: String,
    /// Its name; of a machine its name at the vendor, and what tells it from others of that name.
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
