//! What a training measures of its machine before it fetches anything, and below what a rented machine is given back. Neither
//! is an input of the training: they stand in no digest and in no provenance.

use serde::{Deserialize, Serialize};

/// Bytes of the largest object that a preflight writes: enough that a fast line is told from a slow one.
pub const MOST_BYTES: u64 = 4 << 20;

/// Bounds of a rented machine, inclusive. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Floors {
    /// Least of [`Measured::gflops`].
    pub gflops: u64,
    /// Least of [`Measured::disk_mib_per_second`].
    pub disk_mib_per_second: u64,
    /// Least of [`Measured::download_mbit_per_second`].
    pub download_mbit_per_second: u64,
    /// Least of [`Measured::upload_mbit_per_second`].
    pub upload_mbit_per_second: u64,
    /// Most of [`Measured::model_download_seconds`].
    pub model_download_seconds: u64,
}

/// What was measured, rounded down: an integer bound holds for it exactly if it holds for the fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measured {
    /// Products of matrices as training makes them, on all CPUs that the run has, in 10^9 floating-point operations a
    /// second.
    pub gflops: u64,
    /// The work folder: writing with fsync or reading back, whichever is slower.
    pub disk_mib_per_second: u64,
    /// From object storage, waiting for the answer included.
    pub download_mbit_per_second: u64,
    /// To object storage, waiting for the answer included.
    pub upload_mbit_per_second: u64,
    /// How long the base model takes at that.
    pub model_download_seconds: u64,
}
