//! `cargo xtask`: what a developer runs.

mod bench;
mod cache;
mod cluster;
mod codegen;
mod demo;
mod deny;
mod faults;
mod fuzz;
mod image;
mod install;
mod plugin;
mod rented;
mod sbom;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cooperator_cluster::{Progress, paths};
use workspace::Programs;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, demonstrates and tests Cooperator")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything from nothing: build, start a local cluster, install, tell a story of examples/
    Demo(demo::Options),
    /// Compile every program, with the dependencies that another checkout has compiled
    Build,
    /// Write crds/ and the CRD chart from the API types
    Codegen,
    /// Start or remove the local cluster
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Remove everything that was started here: the local cluster with all in it
    Down,
    /// Build our images for the local cluster, or push them to a registry
    Image(image::Options),
    /// Harm parts of Cooperator at the worst moments, and look whether it shows
    Faults(faults::Options),
    /// Measure a part beside others that do the same; results go to e2e/bench/RESULTS.md
    Bench(bench::Options),
    /// Feed every parser of untrusted bytes with inputs that are almost in order
    Fuzz(fuzz::Options),
    /// Run all that has to hold: formatting, clippy, every test, generated files, the chart
    Test,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (root, progress) = (paths::workspace(), Progress::new());
    match Args::parse().command {
        Command::Demo(options) => demo::demo(&options, &progress),
        Command::Build => Programs::build(&progress).map(drop),
        Command::Codegen => codegen::write(&root, Programs::one("crdgen", &progress)?.path("crdgen")?),
        Command::Cluster(action) => cluster::cluster(action, &progress),
        Command::Down => cluster::down(&progress),
        Command::Image(options) => image::image(&options, &progress),
        Command::Faults(options) => faults::faults(&options, &progress),
        Command::Bench(options) => bench::bench(&options, &progress),
        Command::Fuzz(options) => fuzz::fuzz(&options, &progress),
        Command::Test => test::test(&root, &progress),
    }
}
