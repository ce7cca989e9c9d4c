//! `cooperator-gateway`: see the library.

use anyhow::Context as _;
use clap::Parser as _;
use cooperator_gateway::args::Args;
use cooperator_gateway::run::run;
use cooperator_store::Credentials;
use cooperator_telemetry as telemetry;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()?;
    runtime.block_on(answer(args))
}

/// Half of the cores: the usage log's own thread and the kernel's share of it take the rest, and a call that stays on
/// its thread needs nobody woken. On two cores one thread answers a fifth more calls than two do.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

async fn answer(args: Args) -> anyhow::Result<()> {
    let _telemetry = telemetry::init("cooperator-gateway", telemetry::Options::default())?;
    let credentials = Credentials::from_env()?;
    let client = kube::Client::try_default().await.context("the Kubernetes API cannot be used")?;
    run(args, credentials, client).await
}
