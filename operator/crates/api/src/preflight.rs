//! What a machine must be able to do before it is trained on, and what it was measured at.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule;

/// What a rented machine must be able to do. A run measures it on the machine in about two seconds, before it fetches anything.
/// One that does less is given back, its host is not rented again for 24 h, and the attempt goes on on another machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightFloors {
    /// Least speed of its CPUs at multiplying matrices as training does, in 10^9 floating-point operations a second, with
    /// what `compute.resources` of the FineTune leaves of them. 0 (no floor) to 1000000. Default: 1.
    #[serde(default = "default_gflops")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_gflops: i32,
    /// Least speed of its disk, written with fsync or read back, whichever is slower, in MiB a second. 0 (no floor) to
    /// 100000. Default: 2.
    #[serde(default = "default_disk")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_disk_mib_per_second: i32,
    /// Least speed at which it reads from object storage, in megabits a second: that of an object of at most 4 MiB, waiting
    /// for the answer included, so that a fast line shows less than it has. 0 (no floor) to 100000. Default: 2.
    #[serde(default = "default_network")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_download_mbit_per_second: i32,
    /// The same for writing, which checkpoints and the adapter depend on. 0 (no floor) to 100000. Default: 2.
    #[serde(default = "default_network")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_upload_mbit_per_second: i32,
    /// Longest that the base model may take to be downloaded, at the speed that was measured: hours, minutes and seconds, 1m
    /// to 24h. Default: 1h.
    #[serde(default = "default_model_download")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rule::duration("1m", "24h"))]
    pub max_model_download: String,
}

impl Default for PreflightFloors {
    fn default() -> Self {
        Self {
            min_gflops: default_gflops(),
            min_disk_mib_per_second: default_disk(),
            min_download_mbit_per_second: default_network(),
            min_upload_mbit_per_second: default_network(),
            max_model_download: default_model_download(),
        }
    }
}

fn default_gflops() -> i32 {
    1
}

fn default_disk() -> i32 {
    2
}

fn default_network() -> i32 {
    2
}

fn default_model_download() -> String {
    "1h".into()
}

/// What an attempt measured of its machine before it fetched anything, each rounded down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightStatus {
    /// The attempt.
    pub attempt: i32,
    /// Multiplying matrices on all CPUs that it has, in 10^9 floating-point operations a second.
    pub gflops: i64,
    /// Disk, written with fsync or read back, whichever is slower, in MiB a second.
    pub disk_mib_per_second: i64,
    /// From object storage, in megabits a second.
    pub download_mbit_per_second: i64,
    /// To object storage, in megabits a second.
    pub upload_mbit_per_second: i64,
    /// How long the base model takes at that, in seconds.
    pub model_download_seconds: i64,
}
