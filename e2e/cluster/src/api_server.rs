//! kube-apiserver and etcd alone, on loopback: what tests of the API need. No root, no node, no controller.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::control_plane::{self, ControlPlane, Listen};
use crate::files;
use crate::ports;
use crate::processes::{Life, Processes};
use crate::progress::Progress;
use crate::tools;

/// Other programs may take a free port between our look and our use of it: then all is tried again.
const ATTEMPTS: usize = 3;

/// An API server that did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool could not be built.
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// No free port was found.
    #[error("no free port on 127.0.0.1: {0}")]
    Ports(#[from] io::Error),
    /// A program did not become ready.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),
    /// The folder could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// A running API server; it is stopped when this is dropped, or when the process ends in any way.
/// Any number can run beside each other, each in a folder of its own.
#[derive(Debug)]
pub struct ApiServer {
    processes: Processes,
    /// The kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
}

impl ApiServer {
    /// Starts one with its state in `dir`; builds etcd and Kubernetes first if the cache lacks them.
    ///
    /// # Errors
    /// When a build fails, or a program is not ready in time: with the end of its log.
    pub fn up(dir: &Path) -> Result<Self, Error> {
        tools::ensure(&[tools::ETCD, tools::KUBERNETES], &Progress::new())?;
        let mut attempt = 1;
        loop {
            match Self::start(dir) {
                Err(Error::ControlPlane(_)) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn start(dir: &Path) -> Result<Self, Error> {
        // What a killed run left here has no process any more: they were tied to it.
        for name in ["etcd", "pki", "kubeconfig"] {
            files::remove(&dir.join(name))?;
        }
        files::create_dir(dir)?;
        let processes = Processes::new(dir, Life::Tied);
        let [api, etcd, etcd_peers] = ports::free()?;
        let listen = Listen { address: Ipv4Addr::LOCALHOST.into(), api, etcd, etcd_peers, inside: false };
        // From here on, dropping it stops whatever did start.
        let server = Self { processes: processes.clone(), kubeconfig: dir.join("kubeconfig") };
        ControlPlane::start(dir, &processes, listen)?;
        Ok(server)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // A pid file that stays behind names a process that is gone.
        drop(self.processes.stop_all(&["kube-apiserver"]));
    }
}
