//! `cooperator-bench NAME`: measures, prints, and writes what it found into `RESULTS.md`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cooperator_bench::{failover, first_step, gateway, operator, results, settle};

/// Measures Cooperator beside others, on one machine and in one run
#[derive(Parser)]
struct Args {
    /// The file with a section a benchmark; by default the results are only printed
    #[arg(long, global = true)]
    results: Option<PathBuf>,
    #[command(subcommand)]
    name: Name,
}

#[derive(Subcommand)]
enum Name {
    /// The operator's memory and API calls beside a controller-runtime twin
    Operator(operator::Options),
    /// The gateway's requests a second beside nginx and LiteLLM
    Gateway(gateway::Options),
    /// Rows of usage settled a second
    Settle(settle::Options),
    /// How long nobody reconciles after the leader went
    Failover(failover::Options),
    /// From applying a FineTune to its first step
    FirstStep(first_step::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let section = match &args.name {
        Name::Operator(options) => operator::operator(options).await?,
        Name::Gateway(options) => gateway::gateway(options).await?,
        Name::Settle(options) => settle::settle(options).await?,
        Name::Failover(options) => failover::failover(options).await?,
        Name::FirstStep(options) => first_step::first_step(options).await?,
    };
    writeln!(io::stdout(), "{section}")?;
    args.results.map_or(Ok(()), |file| results::write(&file, &section))
}
