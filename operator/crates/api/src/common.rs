//! Types that several kinds share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::preflight::PreflightStatus;
use crate::rule;

/// Condition types, `Ready` first in every kind.
pub mod condition {
    /// The object can be used.
    pub const READY: &str = "Ready";
    /// Collective: its bucket answers.
    pub const STORAGE_READY: &str = "StorageReady";
    /// Collective: its gateway answers.
    pub const GATEWAY_READY: &str = "GatewayReady";
    /// BaseModel: the policy allows its licence.
    pub const LICENSE_ALLOWED: &str = "LicenseAllowed";
    /// BaseModel: it lies in content-addressed storage.
    pub const IMPORTED: &str = "Imported";
    /// Contribution: licence, grants and split sheet pass the policy.
    pub const ACCEPTED: &str = "Accepted";
    /// Dataset: every accepted source was read.
    pub const SOURCES_READ: &str = "SourcesRead";
    /// Dataset: at least one contribution passed licence and consent.
    pub const CONSENT_GIVEN: &str = "ConsentGiven";
    /// FineTune: training and evaluation are done.
    pub const COMPLETE: &str = "Complete";
    /// FineTune: it will not be tried again.
    pub const FAILED: &str = "Failed";
    /// FineTune: `spec.suspend` holds it back.
    pub const SUSPENDED: &str = "Suspended";
    /// Deployment: the server pods are available.
    pub const SERVER_READY: &str = "ServerReady";
    /// Deployment: the gateway routes to it.
    pub const ROUTE_READY: &str = "RouteReady";
    /// ApiKey: it was revoked.
    pub const REVOKED: &str = "Revoked";
    /// ApiKey: it is past `expiresAt`.
    pub const EXPIRED: &str = "Expired";
    /// Settlement: the statement in storage has the digest and the sums of the object.
    pub const VERIFIED: &str = "Verified";
    /// Settlement: every payment is marked as paid.
    pub const PAID: &str = "Paid";
    /// NodeClaim: the vendor has rented the machine out to us.
    pub const LAUNCHED: &str = "Launched";
    /// NodeClaim: the machine has joined as a node.
    pub const REGISTERED: &str = "Registered";
    /// NodeClaim: the node is ready, has the resources that were rented, and its start-up taints are gone.
    pub const INITIALIZED: &str = "Initialized";
    /// NodeClaim: nothing runs on the node.
    pub const EMPTY: &str = "Empty";
    /// NodeClaim: the machine is being given back.
    pub const INSTANCE_TERMINATING: &str = "InstanceTerminating";
    /// NodeClaim: nothing costs any more, and what it cost is final.
    pub const ACCOUNTED: &str = "Accounted";
}

/// Condition reasons that others look at.
pub mod reason {
    /// Reasons of a condition that is not True and yet nobody's fault: normal events. Work goes on, or waits for work.
    pub const UNDER_WAY: [&str; 22] = [
        "Starting",
        "Importing",
        "Building",
        "Training",
        "Suspended",
        "Stopping",
        "Interrupted",
        "Unpaid",
        "Queued",
        "BaseModelNotReady",
        "DatasetNotReady",
        "FineTuneNotReady",
        "StorageNotReady",
        "GatewayNotReady",
        "ProviderNotReady",
        "NodePoolNotReady",
        "WaitingForMachine",
        "WaitingForOffers",
        "Launching",
        "Registering",
        "Initializing",
        "Terminating",
    ];
}

/// A reference by name to an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
pub struct LocalRef {
    /// Name of the object, in this namespace. 1 to 253 characters.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rule::object_name())]
    pub name: String,
}

/// What kind of work or model it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Modality {
    /// Text.
    #[default]
    Text,
    /// Images. The name is reserved: nothing trains on them yet.
    Image,
    /// Audio. The name is reserved: nothing trains on it yet.
    Audio,
}

/// Whether content in object storage outlives the object that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Content stays.
    #[default]
    Retain,
    /// Content that nothing else refers to is deleted with the object.
    Delete,
}

/// Where something lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rule::uri::form(), validation = rule::uri::path())]
#[x_kube(validation = rule::uri::characters(), validation = rule::uri::outside())]
pub struct Source {
    /// `s3://bucket/key` (a trailing `/` means all below it), `https://host/file`, `hf://owner/model[:revision]`, or
    /// `pvc://claim/path`. 3 to 1024 bytes.
    #[schemars(length(min = 3, max = 1024))]
    pub storage_uri: String,
    /// Expected content: `sha256:` and 64 hexadecimal digits of the one file, or for a folder of the sorted lines
    /// `<hex>  <name>`. What differs is refused. Default: whatever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = rule::digest())]
    pub digest: Option<String>,
    /// Secret with credentials for the source: `SOURCE_ACCESS_KEY_ID` and `SOURCE_SECRET_ACCESS_KEY` for `s3://`,
    /// `SOURCE_TOKEN` for `https://` and `hf://`. Default: the Collective's own key, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// An amount of money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Money {
    /// Decimal string, at most 12 decimals.
    #[schemars(length(max = 40), regex(pattern = r"^-?[0-9]+(\.[0-9]{1,12})?$"))]
    pub amount: String,
    /// Currency code.
    pub currency: String,
}

/// How far a run is: the fields of Kubeflow Trainer's `trainerStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// 0 to 100, as a number for `kubectl` columns.
    #[serde(default)]
    pub percentage: i32,
    /// What is being done now: `downloading`, `training`, `evaluating`, ...
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Optimiser steps done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Optimiser steps in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i64>,
    /// Training loss of the last step, nats a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Training throughput.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<i64>,
    /// Seconds until the run ends, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_remaining_seconds: Option<i64>,
    /// What a training measured of its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
    /// When the run last reported, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_time: Option<String>,
}

/// One attempt of a run; attempts are ours, not the Job's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// Name of its Job.
    pub job: String,
    /// sha256 (hexadecimal) of the run token of this attempt; the token itself is only in the pod's Secret.
    pub token_sha256: String,
    /// When it was written down, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Node that ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// NodeClaim whose machine it runs on, where one was rented for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_claim: Option<String>,
    /// Why it ended: `Succeeded`, or a failure reason. Before it ended: why it is being stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether a machine may be rented that the vendor can take away again, for less money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Spot {
    /// Only on demand.
    #[default]
    Never,
    /// Whichever is likely to cost less in the end.
    Prefer,
    /// Only what can be taken away.
    Only,
}

/// What an estimate stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum EstimateBasis {
    /// Throughput that was seen.
    Measured,
    /// What the vendor claims.
    Claimed,
    /// Nothing: the longest it may take.
    #[default]
    Unknown,
}

impl From<cooperator_core::market::throughput::Basis> for EstimateBasis {
    fn from(basis: cooperator_core::market::throughput::Basis) -> Self {
        use cooperator_core::market::throughput::Basis;
        match basis {
            Basis::Measured => Self::Measured,
            Basis::Claimed => Self::Claimed,
            Basis::Unknown => Self::Unknown,
        }
    }
}

/// Conditions, a list-map by `type`.
pub type Conditions = Vec<Condition>;
