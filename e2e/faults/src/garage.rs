//! A Garage of its own for a stage: it can be emptied.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::tools::GARAGE;
use cooperator_cluster::{files, ports};

/// Longest wait for it to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it is up.
const LOOK: Duration = Duration::from_millis(20);
/// Token of its admin API.
pub const ADMIN_TOKEN: &str = "a-token-of-this-test-alone";
/// Hex, as Garage wants it.
const RPC_SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Its name among the processes.
const NAME: &str = "garage";

/// It runs until dropped.
pub struct Garage {
    folder: PathBuf,
    processes: Processes,
    /// Where its S3 API answers.
    pub s3: SocketAddr,
    /// Where its admin API answers.
    pub admin: SocketAddr,
}

impl Garage {
    /// Starts one with its state below `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path) -> Result<Self> {
        let folder = folder.join("garage");
        let [s3, admin, rpc] = ports::free()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        files::create_dir(&folder)?;
        let data = folder.join("data");
        let config = format!(
            "metadata_dir = {meta:?}\ndata_dir = {data:?}\ndb_engine = \"lmdb\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{RPC_SECRET}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"{s3}\"\n\
             [admin]\napi_bind_addr = \"{admin}\"\nadmin_token = \"{ADMIN_TOKEN}\"\n",
            meta = data.join("meta"),
        );
        files::write(&folder.join("garage.toml"), config)?;
        let garage = Self { processes: Processes::new(&folder, Life::Tied), folder, s3, admin };
        garage.up().await?;
        Ok(garage)
    }

    /// An empty one on the same ports.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn again(&self) -> Result<()> {
        // Its data goes anyway: it need not be asked to end well.
        let _ = self.processes.kill(NAME);
        files::remove(&self.folder.join("data"))?;
        self.up().await
    }

    async fn up(&self) -> Result<()> {
        files::create_dir(&self.folder.join("data"))?;
        let mut server = std::process::Command::new(GARAGE.program("garage"));
        server.arg("-c").arg(self.folder.join("garage.toml")).args(["server", "--single-node"]);
        self.processes.start(NAME, server.env("RUST_LOG", "garage=warn"))?;
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if self.is_healthy().await {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!(
            "garage is not ready after {} s; its log: {}",
            PATIENCE.as_secs(),
            self.processes.log(NAME).display()
        )
    }

    /// Whether it has its layout and can be written.
    async fn is_healthy(&self) -> bool {
        let answer = reqwest::get(format!("http://{}/health", self.admin)).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.processes.kill(NAME);
    }
}
