//! The program that enforces NetworkPolicies, as a process on the node and as a plugin of its network.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control_plane::{ControlPlane, flag};
use crate::files;
use crate::network;
use crate::processes::{self, Processes};

/// Its name as a plugin.
pub const PLUGIN: &str = "cooperator-enforcer";
/// Where Debian puts the plugins of containernetworking.
const DEBIAN: &str = "/usr/lib/cni";
/// Those a pod's network is made of.
const PLUGINS: [&str; 4] = ["host-local", "loopback", "portmap", "ptp"];
/// How long it has to become ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// An enforcer that did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not become ready.
    #[error(transparent)]
    Process(#[from] processes::Error),
    /// A file could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// An enforcer that runs.
#[derive(Debug)]
pub struct Enforcer {
    /// The folder of the plugins, itself among them.
    pub plugins: PathBuf,
    /// Where it hears of new pods.
    pub socket: PathBuf,
}

impl Enforcer {
    /// Starts it and waits until its first rules are there. The cluster has a copy of `program`: the checkout may be
    /// compiled anew, or removed, while the cluster is up.
    ///
    /// # Errors
    /// When a file cannot be written, or it is not ready in time: with the end of its log.
    pub fn start(
        dir: &Path,
        program: &Path,
        processes: &Processes,
        plane: &ControlPlane<'_>,
    ) -> Result<Self, Error> {
        let (plugins, socket) = (dir.join("plugins"), dir.join("enforcer.sock"));
        files::create_dir(&plugins)?;
        for name in PLUGINS {
            let link = plugins.join(name);
            symlink(Path::new(DEBIAN).join(name), &link).map_err(files::at("link", &link))?;
        }
        let copy = plugins.join(PLUGIN);
        fs::copy(program, &copy).map_err(files::at("copy", program))?;
        let mut enforcer = network::inside(&copy);
        enforcer.arg(flag("kubeconfig", &plane.kubeconfig)).arg(flag("socket", &socket));
        processes.start("enforcer", &enforcer)?;
        processes.wait("enforcer", PATIENCE, || {
            if socket.exists() { Ok(()) } else { Err("it has no rules yet".to_owned()) }
        })?;
        Ok(Self { plugins, socket })
    }
}
