//! The operator as a process that is started again when it dies, as a kubelet does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use cooperator_cluster::ports;
use cooperator_cluster::processes::{Life, Processes};
use std::process::Command;
use tokio::task::JoinHandle;

use crate::gate::Kill;

/// Between a death and the next start.
const PAUSE: Duration = Duration::from_millis(200);
/// Its name among the processes of a stage.
const NAME: &str = "operator";

/// How it reaches the world.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Its kubeconfig: the API server behind the gate.
    pub kubeconfig: PathBuf,
    /// S3 behind the gate.
    pub s3: String,
    /// Garage's admin API behind the gate.
    pub admin: String,
    /// Token of that.
    pub admin_token: String,
}

/// A running operator; it ends when this is dropped.
pub struct Operator {
    pid: Arc<AtomicI32>,
    deaths: Arc<AtomicU32>,
    watch: JoinHandle<()>,
    processes: Processes,
}

impl Operator {
    /// Starts it and keeps it running. Its logs go to `folder`.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub fn start(program: &Path, reach: &Reach, folder: &Path) -> Result<Self> {
        let processes = Processes::new(folder, Life::Tied);
        let [listen, metrics] = ports::free()?;
        // The same pod, whose container died: it finds its own Lease and need not wait for it to expire.
        let command = command(program, reach, "operator-0", listen, metrics);
        let first = processes.start(NAME, &command)?;
        let (pid, deaths) = (Arc::new(AtomicI32::new(first)), Arc::new(AtomicU32::new(0)));
        let watch = tokio::spawn(keep(processes.clone(), command, pid.clone(), deaths.clone()));
        Ok(Self { pid, deaths, watch, processes })
    }

    /// What kills the one that runs.
    pub fn kill(&self) -> Kill {
        let pid = self.pid.clone();
        Box::new(move || {
            let pid = nix::unistd::Pid::from_raw(pid.load(Ordering::SeqCst));
            // It may have died by itself a moment ago.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        })
    }

    /// How often it has died.
    pub fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::SeqCst)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.watch.abort();
        drop(self.processes.stop_all(&[NAME]));
    }
}

async fn keep(processes: Processes, command: Command, pid: Arc<AtomicI32>, deaths: Arc<AtomicU32>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if processes.running(NAME).is_some() {
            continue;
        }
        deaths.fetch_add(1, Ordering::SeqCst);
        if let Ok(next) = processes.start(NAME, &command) {
            pid.store(next, Ordering::SeqCst);
        }
    }
}

/// The operator in a pod of this name.
pub fn command(program: &Path, reach: &Reach, pod: &str, listen: u16, metrics: u16) -> Command {
    let mut command = Command::new(program);
    let local = |port: u16| format!("127.0.0.1:{port}");
    command.args(["--operator-image", "operator:test", "--trainer-image", "trainer:test"]);
    command.args(["--progress-url", &format!("http://{}", local(listen))]);
    command.args(["--store-endpoint", &reach.s3, "--store-admin-url", &reach.admin]);
    command.args(["--listen", &local(listen), "--metrics-listen", &local(metrics)]);
    for (name, value) in [
        ("POD_NAME", pod),
        ("POD_NAMESPACE", "default"),
        ("STORE_ADMIN_TOKEN", &reach.admin_token),
        ("RUST_LOG", "info"),
    ] {
        command.env(name, value);
    }
    command.env("KUBECONFIG", &reach.kubeconfig);
    command
}
