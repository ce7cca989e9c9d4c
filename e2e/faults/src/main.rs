//! `cooperator-faults operator|gateway`: kills, and tells what it led to.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cooperator_faults::Programs;
use cooperator_faults::call::Point;
use cooperator_faults::sweep::{Choice, sweep};

/// Kills parts of Cooperator at the worst moments, and looks whether it shows
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    victim: Victim,
}

#[derive(Subcommand)]
enum Victim {
    /// The operator, before and after every call it makes, one death a telling of a story; compares the ends
    Operator {
        #[command(flatten)]
        programs: Programs,
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
    /// A gateway under load, again and again; looks for completed calls that are not billed, or twice
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
    let (report, clean) = match args.victim {
        Victim::Operator { programs, sample, seed, point } => {
            let choice = match (point, sample) {
                (Some(point), _) => Choice::One(point),
                (None, Some(count)) => Choice::Sample { count, seed },
                (None, None) => Choice::All,
            };
            let report = sweep(&programs, &choice).await?;
            (report.to_string(), report.is_clean())
        }
        Victim::Gateway { programs, gateway, kills, seed } => {
            let report = cooperator_faults::kills::kills(&programs, &gateway, kills, seed).await?;
            (report.to_string(), report.is_clean())
        }
    };
    writeln!(io::stdout(), "{report}")?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
