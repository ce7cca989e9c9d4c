//! What operator, trainer, server and gateway say to each other: the run file a pod starts from, the progress it
//! posts, the outcome it ends with, the manifests it writes, the usage log and the statement.
//!
//! Everything here is plain data with a fixed JSON form (camelCase, unknown fields refused where a machine wrote
//! them). No Kubernetes, no async runtime, no tensor library: whoever trains or serves knows only this crate and
//! object storage.

pub mod broker;
pub mod hosted;
pub mod layout;
pub mod manifest;
pub mod outcome;
pub mod preflight;
pub mod progress;
pub mod run;
pub mod settle;
pub mod usage;

/// Names of the environment variables by which secrets reach a pod. They are never in a run file.
pub mod env {
    /// Access key of the Collective's bucket.
    pub const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
    /// Secret key of the Collective's bucket.
    pub const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
    /// Bearer token for the progress URL and the storage broker, made for one attempt.
    pub const RUN_TOKEN: &str = "COOPERATOR_RUN_TOKEN";
    /// Optional access key for a source outside the Collective's bucket (`secretRef` of the source).
    pub const SOURCE_ACCESS_KEY_ID: &str = "SOURCE_ACCESS_KEY_ID";
    /// Optional secret key for such a source.
    pub const SOURCE_SECRET_ACCESS_KEY: &str = "SOURCE_SECRET_ACCESS_KEY";
    /// Optional bearer token for `hf://` and `https://` sources.
    pub const SOURCE_TOKEN: &str = "SOURCE_TOKEN";
}

/// Serialises to the canonical bytes whose sha256 is the object's digest: compact JSON, fields in declaration order,
/// maps sorted by key. Manifests hold no floats and no clock time, so equal content gives equal bytes.
///
/// # Errors
/// Only if a value cannot be JSON (a map with non-string keys): a programming error, reported, not panicked.
pub fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(value)
}
