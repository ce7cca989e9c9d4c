//! The operator: reconciles the kinds of `cooperator.dev`, takes the progress of runs, and grants them storage.

mod admission;
mod api_key;
mod args;
mod base_model;
mod bootstrap;
mod broker;
mod collective;
mod context;
mod contribution;
mod dataset;
mod deployment;
mod domain;
mod events;
mod finalizer;
mod fine_tune;
mod first_script;
mod garage;
mod glimpse;
mod hosted;
mod kubelet;
mod network;
mod node_claim;
mod node_pool;
mod operate;
mod pipeline;
mod pods;
mod progress;
mod provider;
mod rent;
mod report;
mod runs;
mod settlement;
#[cfg(test)]
mod testing;
mod watch;

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = args::Args::parse();
    let _telemetry =
        cooperator_telemetry::init("cooperator-operator", cooperator_telemetry::Options::default())?;
    operate::operate(args).await
}
