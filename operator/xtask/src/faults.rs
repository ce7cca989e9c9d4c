//! `cargo xtask faults operator|gateway`: parts of Cooperator die at the worst moments.

use std::process::Command;

use anyhow::Result;
use clap::Subcommand;
use cooperator_cluster::Progress;
use cooperator_cluster::command::{command, shown};

use crate::workspace::Programs;

/// Who dies.
#[derive(Subcommand)]
pub enum Victim {
    /// The operator, before and after every call it makes, one death a telling of a story; compares the ends
    Operator {
        /// Only so many points, drawn by the seed; by default all
        #[arg(long)]
        sample: Option<usize>,
        /// Draws the sample
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// This point alone, as the table shows it
        #[arg(long, conflicts_with = "sample")]
        point: Option<String>,
    },
    /// A gateway under load, again and again; looks for completed calls that are not billed, or twice
    Gateway {
        /// How often
        #[arg(long, default_value_t = 1000)]
        kills: u32,
        /// Draws the moments
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// Compiles and kills.
///
/// # Errors
/// When a death shows: the report says how.
pub fn faults(victim: &Victim, progress: &Progress) -> Result<()> {
    kill(victim, &Programs::build(progress)?)
}

/// Kills these programs.
///
/// # Errors
/// As [`faults`].
pub fn kill(victim: &Victim, programs: &Programs) -> Result<()> {
    let mut faults = command(programs.path("cooperator-faults")?, [] as [&str; 0]);
    match victim {
        Victim::Operator { sample, seed, point } => {
            faults.args(["operator", "--seed", &seed.to_string()]);
            with(&mut faults, "--sample", sample.as_ref());
            with(&mut faults, "--point", point.as_ref());
        }
        Victim::Gateway { kills, seed } => {
            faults.args(["gateway", "--seed", &seed.to_string(), "--kills", &kills.to_string()]);
            faults.arg("--gateway").arg(programs.path("cooperator-gateway")?);
        }
    }
    for part in ["operator", "trainer", "settle"] {
        faults.arg(format!("--{part}")).arg(programs.path(&format!("cooperator-{part}"))?);
    }
    Ok(shown("cooperator-faults", &mut faults)?)
}

fn with(command: &mut Command, option: &str, value: Option<&impl ToString>) {
    if let Some(value) = value {
        command.arg(option).arg(value.to_string());
    }
}
