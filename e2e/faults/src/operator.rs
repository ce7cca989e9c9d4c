//! The operator as a process that is started again when it dies, as a kubelet does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use cooperator_cluster::ports;
use cooperator_cluster::processes::{Life, Processes};
use tokio::task::JoinHandle;

use crate::gate::Kill;

/// Between two looks whether it still runs: a kubelet starts what died once at once.
const LOOK: Duration = Duration::from_millis(20);
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
    processes: Processes,
    kept: Arc<Mutex<Kept>>,
    watch: JoinHandle<()>,
}

/// What its kubelet knows.
#[derive(Default)]
struct Kept {
    deaths: u32,
    /// It is not started again.
    ended: bool,
}

impl Operator {
    /// Starts it and keeps it running. Its logs go to `folder`.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub fn start(program: &Path, reach: &Reach, folder: &Path) -> Result<Self> {
        let processes = Processes::new(folder, Life::Tied);
        let [listen, metrics] = ports::free()?;
        let command = command(program, reach, "operator-0", listen, metrics);
        processes.start(NAME, &command)?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let watch = tokio::spawn(keep(processes.clone(), command, kept.clone()));
        Ok(Self { processes, kept, watch })
    }

    /// What kills the one that runs.
    pub fn kill(&self) -> Kill {
        let processes = self.processes.clone();
        Box::new(move || {
            // It may have died by itself a moment ago.
            let _ = processes.kill(NAME);
        })
    }

    /// How often it has died.
    pub fn deaths(&self) -> u32 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).deaths
    }

    /// Where the one that runs writes its log.
    pub fn log(&self) -> PathBuf {
        self.processes.log(NAME)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.watch.abort();
        // Nobody waits for its last word: what it would still have said is not part of the end.
        let _ = self.processes.kill(NAME);
    }
}

async fn keep(processes: Processes, command: Command, kept: Arc<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.ended {
            return;
        }
        if processes.running(NAME).is_none() {
            kept.deaths += 1;
            // One that cannot be started is tried again at the next look.
            drop(processes.start(NAME, &command));
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
