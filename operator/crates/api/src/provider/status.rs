//! What the operator says of a Provider.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Conditions;
use crate::node_claim::LaunchedMachine;

/// Whether it answers, what it has, and what went wrong lately.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: `Reachable`, or why nothing is rented: CredentialsInvalid, SecretNotFound, Unreachable, HostKeyMismatch,
    /// CurrencyMismatch, Paused, AccountLimit.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Offers when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<i32>,
    /// The cheapest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheapest: Option<Cheapest>,
    /// Machines that are rented by it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines: Option<i32>,
    /// What an hour of all of them costs, decimal string in the treasury's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<String>,
    /// When it last gave a good answer, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// When launches failed within the breaker's window, RFC 3339, the newest last. At most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub failures: Vec<String>,
    /// Nothing is rented before this instant, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    /// Hosts that are not rented for a while. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["host".into()]))]
    pub blocked_hosts: Vec<BlockedHost>,
    /// Machines of ours that belonged to no NodeClaim and were ended, the newest last. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub strays: Vec<Stray>,
    /// What those cost that are not in the list any more, decimal string in the vendor's currency. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strayed_earlier: Option<String>,
}

/// The cheapest offer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cheapest {
    /// What it is, for people: `1x rtx-4090, 8 cpu, 32 GiB, US`.
    pub description: String,
    /// What an hour of it costs, decimal string in the treasury's currency.
    pub price_per_hour: String,
}

/// A host that failed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct BlockedHost {
    /// The vendor's name for it.
    pub host: String,
    /// Until when it is not rented, RFC 3339.
    pub until: String,
    /// Why, in one line.
    pub reason: String,
}

/// A machine of ours without a NodeClaim. Its JSON form is that of `cooperator_rental::Stray`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Stray {
    /// Its name at the vendor.
    pub name: String,
    /// What is known of it.
    pub machine: LaunchedMachine,
    /// What was put into the Collective's books for it, once that is final, decimal string in the treasury's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booked: Option<String>,
}
