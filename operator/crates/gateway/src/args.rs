//! Flags of the binary; each may be given by its environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use cooperator_contract::run::StorageLocation;

/// The gateway of one Collective.
#[derive(Clone, Debug, Parser)]
#[command(name = "cooperator-gateway", version)]
pub struct Args {
    /// Name of the Collective.
    #[arg(long, env = "COOPERATOR_COLLECTIVE")]
    pub collective: String,
    /// Its namespace.
    #[arg(long, env = "COOPERATOR_NAMESPACE")]
    pub namespace: String,
    /// Name of this pod: the usage log is named after it.
    #[arg(long, env = "POD_NAME")]
    pub replica: String,
    /// Where callers connect.
    #[arg(long, env = "COOPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Where the cluster asks for health, metrics and usage.
    #[arg(long, env = "COOPERATOR_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    pub metrics_listen: SocketAddr,
    /// Folder of the usage log.
    #[arg(long, env = "COOPERATOR_WAL_DIR", default_value = "/var/lib/cooperator/wal")]
    pub wal_dir: PathBuf,
    /// Bytes of usage on disk above which billable work is refused.
    #[arg(long, env = "COOPERATOR_WAL_BUDGET", default_value_t = 64 * 1024 * 1024)]
    pub wal_budget: u64,
    /// How often usage goes to object storage: what a lost node may lose.
    #[arg(long, env = "COOPERATOR_UPLOAD_INTERVAL", default_value = "1s", value_parser = duration)]
    pub upload_interval: Duration,
    /// How often spent money goes to the ApiKeys.
    #[arg(long, env = "COOPERATOR_REPORT_INTERVAL", default_value = "5s", value_parser = duration)]
    pub report_interval: Duration,
    /// Largest request body, bytes.
    #[arg(long, env = "COOPERATOR_MAX_BODY_BYTES", default_value_t = 1024 * 1024)]
    pub max_body_bytes: usize,
    /// Connections at once; more wait.
    #[arg(long, env = "COOPERATOR_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Longest wait for a server's answer, or for the next piece of it.
    #[arg(long, env = "COOPERATOR_UPSTREAM_TIMEOUT", default_value = "300s", value_parser = duration)]
    pub upstream_timeout: Duration,
    /// How long requests may finish after SIGTERM. As long again is kept for the last upload.
    #[arg(long, env = "COOPERATOR_GRACE_PERIOD", default_value = "20s", value_parser = duration)]
    pub grace_period: Duration,
    /// URL of the S3 endpoint.
    #[arg(long, env = "COOPERATOR_S3_ENDPOINT")]
    pub s3_endpoint: String,
    /// Region to sign for.
    #[arg(long, env = "COOPERATOR_S3_REGION", default_value = "garage")]
    pub s3_region: String,
    /// Bucket.
    #[arg(long, env = "COOPERATOR_S3_BUCKET")]
    pub s3_bucket: String,
    /// Empty, or ends in `/`.
    #[arg(long, env = "COOPERATOR_S3_PREFIX", default_value = "")]
    pub s3_prefix: String,
}

impl Args {
    /// The Collective's part of object storage.
    pub fn storage(&self) -> StorageLocation {
        StorageLocation {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            bucket: self.s3_bucket.clone(),
            prefix: self.s3_prefix.clone(),
        }
    }
}

/// A duration as Kubernetes writes it, such as `1s` or `500ms`; above zero.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "must be a duration such as `1s` or `500ms`".to_owned())?;
    match Duration::try_from(span) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be above zero".to_owned()),
    }
}
