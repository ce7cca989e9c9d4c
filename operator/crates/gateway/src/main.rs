//! `cooperator-gateway`: see the library.

use anyhow::Context as _;
use clap::Parser as _;
use cooperator_gateway::args::Args;
use cooperator_gateway::run::run;
use cooperator_store::Credentials;
use cooperator_telemetry as telemetry;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let _telemetry = telemetry::init("cooperator-gateway", telemetry::Options::default())?;
    let credentials = Credentials::from_env()?;
    let client = kube::Client::try_default().await.context("the Kubernetes API cannot be used")?;
    run(args, credentials, client).await
}
