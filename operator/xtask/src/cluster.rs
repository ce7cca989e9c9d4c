//! `cargo xtask cluster up|down` and `cargo xtask down`: the local cluster.

use anyhow::Result;
use clap::Subcommand;
use cooperator_cluster::{Cluster, Progress, paths, tools};

use crate::{demo, plugin};

/// What to do with the local cluster.
#[derive(Clone, Copy, Subcommand)]
pub enum Action {
    /// Start it, or find the one that is up; builds what it is made of first (cold: 15 minutes, warm: 10 s)
    Up,
    /// Remove it with all it made; what was built for it stays in the cache
    Down,
}

/// Does it.
///
/// # Errors
/// When the cluster does not start or something of it stays.
pub fn cluster(action: Action, progress: &Progress) -> Result<()> {
    match action {
        Action::Up => {
            let enforcer = demo::made(&[], progress)?.path(demo::ENFORCER)?.to_owned();
            let cluster = Cluster::up(&paths::cluster_state(), &enforcer, progress)?;
            progress.say(&way_on(&cluster));
            Ok(())
        }
        Action::Down => down(progress),
    }
}

/// Removes the local cluster: processes, mounts, namespaces, interfaces, cgroups, files.
///
/// # Errors
/// When something of it stays: it is named.
pub fn down(progress: &Progress) -> Result<()> {
    Ok(progress.during("Taking the local cluster down", None, || Cluster::down(&paths::cluster_state()))?)
}

/// The lines to go on by hand.
#[must_use]
pub fn way_on(cluster: &Cluster) -> String {
    format!(
        "The cluster is up. Go on by hand:\n  export KUBECONFIG={}\n  export PATH=$PATH:{}:{}:{}\n  kubectl get coop --all-namespaces\n  \
         kubectl coop --namespace presidents status\nRemove all of it: cargo xtask down",
        cluster.kubeconfig.display(),
        tools::KUBERNETES.folder().display(),
        tools::HELM.folder().display(),
        plugin::folder().display(),
    )
}
