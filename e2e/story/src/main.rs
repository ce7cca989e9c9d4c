//! `cooperator-story`: tells the story of `examples/presidents`, and others that go on from it, on a cluster where Cooperator is installed.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cooperator_cli::statement;
use cooperator_cluster::Progress;
use cooperator_story::cluster::Cluster;
use cooperator_story::{rented, tell};

/// Tells the story of the presidents; each statement comes on stdout, all else on stderr.
#[derive(Parser)]
struct Args {
    /// Kubeconfig of the cluster, of a user who may create namespaces
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The folder `examples` of the checkout
    #[arg(long)]
    examples: PathBuf,
    /// Where downloaded inputs are kept
    #[arg(long)]
    cache: PathBuf,
    /// URL of a local cloud: tells the story of examples/rented too, with machines that are rented there
    #[arg(long)]
    cloud: Option<String>,
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
    let cluster = Cluster::connect(&args.kubeconfig).await?;
    let progress = Progress::new();
    let told = tell(&cluster, &args.examples, &args.cache, &progress).await?;
    writeln!(io::stdout(), "{}", statement::table(&told.statement)?)?;
    if let Some(cloud) = &args.cloud {
        let told = rented::tell(&cluster, &args.examples, &rented::Cloud::at(cloud), &progress).await?;
        writeln!(io::stdout(), "{}", statement::table(&told.statement)?)?;
    }
    Ok(())
}
