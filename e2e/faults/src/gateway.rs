//! A gateway of the story's Collective, as a process.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::{files, ports};
use cooperator_contract::env;

use crate::stage::{NAMESPACE, Stage};
use crate::story;

/// Longest wait for a gateway to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait until the last gateway has uploaded what all before it left on the disk.
const UPLOAD: Duration = Duration::from_secs(120);
/// Its name among the processes.
const NAME: &str = "gateway";
/// Lines of its log that an error shows.
const TAIL: usize = 20;

/// The gateway as a process with a folder that outlives it.
pub struct Gateway {
    processes: Processes,
    program: PathBuf,
    environment: BTreeMap<&'static str, String>,
    /// Where callers connect.
    pub address: SocketAddr,
    metrics: SocketAddr,
}

impl Gateway {
    /// For the story's Collective, whose usage it uploads at this interval. It does not run yet.
    ///
    /// # Errors
    /// When the Collective has no bucket.
    pub async fn new(stage: &Stage, program: &Path, upload_interval: &str) -> Result<Self> {
        let [address, metrics] = ports::free()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (location, key) = story::bucket(stage).await?;
        let environment = [
            ("KUBECONFIG", stage.kubeconfig.display().to_string()),
            ("COOPERATOR_COLLECTIVE", story::NAME.into()),
            ("COOPERATOR_NAMESPACE", NAMESPACE.into()),
            ("POD_NAME", "band-gateway-0".into()),
            ("COOPERATOR_LISTEN", address.to_string()),
            ("COOPERATOR_METRICS_LISTEN", metrics.to_string()),
            ("COOPERATOR_WAL_DIR", stage.folder.join("wal").display().to_string()),
            ("COOPERATOR_UPLOAD_INTERVAL", upload_interval.into()),
            ("COOPERATOR_S3_ENDPOINT", location.endpoint),
            ("COOPERATOR_S3_REGION", location.region),
            ("COOPERATOR_S3_BUCKET", location.bucket),
            (env::ACCESS_KEY_ID, key.access_key_id().into()),
            (env::SECRET_ACCESS_KEY, key.secret_access_key().into()),
            ("RUST_LOG", "warn".into()),
        ];
        let processes = Processes::new(&stage.folder.join("gateway"), Life::Tied);
        Ok(Self { processes, program: program.to_owned(), environment: environment.into(), address, metrics })
    }

    /// Starts it; returns its process id.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<i32> {
        let mut command = Command::new(&self.program);
        command.envs(&self.environment);
        Ok(self.processes.start(NAME, &command)?)
    }

    /// Ends it by SIGTERM: every row goes to object storage.
    ///
    /// # Errors
    /// When its files cannot be removed.
    pub fn stop(&self) -> Result<()> {
        Ok(self.processes.stop_all(&[NAME])?)
    }

    /// Ends it by SIGKILL.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill(&self) -> Result<()> {
        ensure!(
            self.processes.kill(NAME),
            "the gateway ended by itself; its log: {}",
            self.processes.log(NAME).display()
        );
        Ok(())
    }

    /// Waits until it takes connections.
    ///
    /// # Errors
    /// When it does not.
    pub async fn answers(&self) -> Result<()> {
        let began = Instant::now();
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            if began.elapsed() > PATIENCE {
                bail!("the gateway does not listen; its log: {}", self.processes.log(NAME).display());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Rows that are not uploaded yet, as it says itself.
    async fn pending(&self) -> reqwest::Result<Option<u64>> {
        let told = reqwest::get(format!("http://{}/metrics", self.metrics)).await?.text().await?;
        let rows = |line: &str| line.split_once("usage_log_pending_rows ")?.1.parse().ok();
        Ok(told.lines().find_map(rows))
    }

    /// Waits until its whole log lies in object storage.
    ///
    /// # Errors
    /// When rows stay on its disk: with the end of what it said.
    pub async fn uploads(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let pending = self.pending().await;
            if matches!(pending, Ok(Some(0))) {
                return Ok(());
            }
            if began.elapsed() > UPLOAD {
                let said = std::fs::read_to_string(self.processes.log(NAME)).unwrap_or_default();
                bail!(
                    "{pending:?} rows are not uploaded after {} s; the end of the gateway's log:\n{}",
                    UPLOAD.as_secs(),
                    files::tail(&said, TAIL)
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.processes.stop_all(&[NAME]));
    }
}
