//! `cooperator-faults operator|network|gateway`: does harm, and tells what it led to.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cooperator_faults::Programs;
use cooperator_faults::call::Point;
use cooperator_faults::sweep::{self, Choice};

/// Harms parts of Cooperator at the worst moments, and looks whether it shows
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    harm: Harm,
}

#[derive(Subcommand)]
enum Harm {
    /// Kills the operator before and after every call it makes, once a telling of a story; compares the ends
    Operator {
        #[command(flatten)]
        programs: Programs,
        #[command(flatten)]
        stages: Stages,
        /// Only so many points, drawn by the seed; by default all
        #[arg(long)]
        sample: Option<usize>,
        /// Draws the sample; the same seed draws the same points of the same story
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// This point alone, as the table shows it, such as `after #1 POST jobs/first-1`
        #[arg(long, conflicts_with = "sample")]
        point: Option<Point>,
    },
    /// Makes the network between the operator and its servers bad while the story is told; compares the ends
    Network {
        #[command(flatten)]
        programs: Programs,
        #[command(flatten)]
        stages: Stages,
        /// Tellings
        #[arg(long, default_value_t = 40)]
        runs: u64,
        /// Draws the faults of the first telling; the next seed draws those of the next
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Kills a gateway under load, again and again; looks for completed calls that are not billed, or twice
    Gateway {
        #[command(flatten)]
        programs: Programs,
        /// `cooperator-gateway`
        #[arg(long)]
        gateway: PathBuf,
        /// How often
        #[arg(long, default_value_t = 1000)]
        kills: u32,
        /// Draws the moments
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[derive(clap::Args)]
struct Stages {
    /// Stories told side by side, each on servers of its own
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    side_by_side: u8,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (report, clean) = match args.harm {
        Harm::Operator { programs, stages, sample, seed, point } => {
            let choice = match (point, sample) {
                (Some(point), _) => Choice::One(point),
                (None, Some(count)) => Choice::Sample { count, seed },
                (None, None) => Choice::All,
            };
            // One point needs one stage.
            let side_by_side = if matches!(choice, Choice::One(_)) { 1 } else { stages.side_by_side };
            let table = sweep::deaths(&programs, &choice, side_by_side.into()).await?;
            (table.to_string(), table.is_clean())
        }
        Harm::Network { programs, stages, runs, seed } => {
            let table = sweep::bad_networks(&programs, runs, seed, stages.side_by_side.into()).await?;
            (table.to_string(), table.is_clean())
        }
        Harm::Gateway { programs, gateway, kills, seed } => {
            let report = cooperator_faults::kills::kills(&programs, &gateway, kills, seed).await?;
            (report.to_string(), report.is_clean())
        }
    };
    writeln!(io::stdout(), "{report}")?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
