//! Where each object lies below a Collective's bucket and prefix (DESIGN, section 7). A key has a single writer.

use cooperator_core::digest::Digest;

/// Content-addressed bytes: shards, weights, checkpoint files.
pub fn blob(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", &hex[..2])
}

/// Manifest of an imported base model, see [`crate::manifest::ModelManifest`].
pub fn model(digest: &Digest) -> String {
    format!("models/{}.json", digest.hex())
}

/// Manifest of one dataset version, see [`crate::manifest::DatasetManifest`].
pub fn dataset(name: &str, digest: &Digest) -> String {
    format!("datasets/{name}/{}.json", digest.hex())
}

/// All checkpoints of one FineTune, every attempt.
pub fn checkpoints(uid: &str) -> String {
    format!("finetunes/{uid}/")
}

/// Manifest of a checkpoint, see [`crate::manifest::CheckpointManifest`]. Zero-padded, so that listing sorts.
pub fn checkpoint(uid: &str, attempt: u32, step: u64) -> String {
    format!("finetunes/{uid}/{attempt:05}/{step:010}.json")
}

/// What an attempt writes and takes away again before it begins, to see that it may.
pub fn preflight(uid: &str, attempt: u32) -> String {
    format!("finetunes/{uid}/{attempt:05}/preflight")
}

/// A file of an adapter; `manifest.json` is written last and its sha256 is the adapter's digest.
pub fn adapter(digest: &Digest, file: &str) -> String {
    format!("adapters/{}/{file}", digest.hex())
}

/// Result details of a run that has no content digest of its own.
pub fn run_detail(uid: &str, attempt: u32) -> String {
    format!("runs/{uid}/{attempt:05}.json")
}

/// All usage of all gateways.
pub const USAGE: &str = "usage/";

/// A chunk of a gateway's write-ahead log that is not yet compacted.
pub fn usage_chunk(gateway: &str, first_sequence: u64, digest: &Digest) -> String {
    format!("usage/{gateway}/open/{first_sequence:020}-{}.ndjson.zst", digest.hex())
}

/// An hour of a gateway, compacted by its only writer. `hour` is UTC, written `yyyy/mm/dd/hh`.
pub fn usage_hour(gateway: &str, hour: &str, digest: &Digest) -> String {
    format!("usage/{gateway}/{hour}-{}.parquet", digest.hex())
}

/// A file of a settled period's statement.
pub fn statement(period: &str, digest: &Digest, file: &str) -> String {
    format!("settlements/{period}/{}/{file}", digest.hex())
}
