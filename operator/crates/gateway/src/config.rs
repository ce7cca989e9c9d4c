//! Makes the [`Snapshot`](crate::snapshot::Snapshot) from the cluster, and keeps budgets there. The only part of the
//! gateway that knows Kubernetes.
//!
//! ApiKeys, Deployments and the Collective are watched; a change is in force as soon as the API server tells it. A
//! watch that has silently died is noticed after [`WATCH_SECONDS`] and made anew. Every [`PROBE`] the Collective is
//! read besides; when neither that nor the watches succeed for [`STALE`], the gateway refuses all calls (503), since
//! it can no longer tell valid keys from revoked ones.

use std::time::Duration;

mod build;
#[cfg(test)]
mod cluster_tests;
mod leases;
mod report;
#[cfg(test)]
mod tests;
mod watch;

pub use build::snapshot;
pub use leases::KubeLeases;
pub use report::{give_back, report};
pub use watch::{WatchError, watch};

/// How long the API server keeps one watch open.
pub const WATCH_SECONDS: u32 = 20;
/// Between two reads of the Collective.
pub const PROBE: Duration = Duration::from_secs(5);
/// How long without word from the cluster a gateway goes on.
pub const STALE: Duration = Duration::from_secs(30);
