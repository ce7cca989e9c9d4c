//! `cargo xtask faults [operator|network|gateway|rentals]`: parts of Cooperator are harmed at the worst moments.

use std::process::Command;

use anyhow::Result;
use clap::{Args, Subcommand};
use cooperator_cluster::Progress;
use cooperator_cluster::command::{command, shown};

use crate::workspace::Programs;

/// Options of `cargo xtask faults`.
#[derive(Args)]
pub struct Options {
    /// Which harm; by default each kind, one after the other
    #[command(subcommand)]
    harm: Option<Harm>,
}

/// What is done to whom.
#[derive(Subcommand)]
pub enum Harm {
    /// Kills the operator before and after every call it makes, once a telling of a story; compares the ends
    Operator {
        /// Only so many points, drawn by the seed; by default all
        #[arg(long)]
        sample: Option<usize>,
        /// Draws the sample
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        /// This point alone, as the table shows it
        #[arg(long, conflicts_with = "sample")]
        point: Option<String>,
    },
    /// Makes the network between the operator and its servers bad while the story is told; compares the ends
    Network {
        /// Tellings
        #[arg(long, default_value_t = RUNS)]
        runs: u64,
        /// Draws the faults of the first telling; the next seed draws those of the next
        #[arg(long, default_value_t = SEED)]
        seed: u64,
    },
    /// Kills a gateway under load, again and again; looks for completed calls that are not billed, or twice
    Gateway {
        /// How often
        #[arg(long, default_value_t = KILLS)]
        kills: u32,
        /// Draws the moments
        #[arg(long, default_value_t = SEED)]
        seed: u64,
    },
    /// Rents machines of four vendors under faults, by the hundred in each world; looks for leaks, doubles and wrong bills
    Rentals {
        /// Worlds
        #[arg(long, default_value_t = WORLDS)]
        worlds: u64,
        /// Draws the first world; the next seed draws the next
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        /// This world alone, as a line names it
        #[arg(long, conflicts_with = "worlds")]
        world: Option<u64>,
    },
}

const SEED: u64 = 1;
const WORLDS: u64 = 400;
const RUNS: u64 = 40;
const KILLS: u32 = 1000;

/// Compiles and harms.
///
/// # Errors
/// When it shows: the report says how.
pub fn faults(options: &Options, progress: &Progress) -> Result<()> {
    let programs = Programs::build(progress)?;
    let all = [
        Harm::Operator { sample: None, seed: SEED, point: None },
        Harm::Network { runs: RUNS, seed: SEED },
        Harm::Gateway { kills: KILLS, seed: SEED },
        Harm::Rentals { worlds: WORLDS, seed: SEED, world: None },
    ];
    match &options.harm {
        Some(harm) => harm_with(harm, &programs),
        None => all.iter().try_for_each(|harm| harm_with(harm, &programs)),
    }
}

/// Harms these programs.
///
/// # Errors
/// As [`faults`].
pub fn harm_with(harm: &Harm, programs: &Programs) -> Result<()> {
    let mut faults = command(programs.path("cooperator-faults")?, [] as [&str; 0]);
    match harm {
        Harm::Rentals { worlds, seed, world } => return rentals(*worlds, *seed, *world, programs),
        Harm::Operator { sample, seed, point } => {
            faults.args(["operator", "--seed", &seed.to_string()]);
            with(&mut faults, "--sample", sample.as_ref());
            with(&mut faults, "--point", point.as_ref());
        }
        Harm::Network { runs, seed } => {
            faults.args(["network", "--seed", &seed.to_string(), "--runs", &runs.to_string()]);
        }
        Harm::Gateway { kills, seed } => {
            faults.args(["gateway", "--seed", &seed.to_string(), "--kills", &kills.to_string()]);
            faults.arg("--gateway").arg(programs.path("cooperator-gateway")?);
        }
    }
    for part in ["operator", "trainer", "settle"] {
        faults.arg(format!("--{part}")).arg(programs.path(&format!("cooperator-{part}"))?);
    }
    Ok(shown("cooperator-faults", &mut faults)?)
}

fn rentals(worlds: u64, seed: u64, world: Option<u64>, programs: &Programs) -> Result<()> {
    let mut rentals = command(programs.path("cooperator-rentals")?, ["--seed", &seed.to_string()]);
    match world {
        Some(world) => with(&mut rentals, "--world", Some(&world)),
        None => with(&mut rentals, "--worlds", Some(&worlds)),
    }
    Ok(shown("cooperator-rentals", &mut rentals)?)
}

fn with(command: &mut Command, option: &str, value: Option<&impl ToString>) {
    if let Some(value) = value {
        command.arg(option).arg(value.to_string());
    }
}
