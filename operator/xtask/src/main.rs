//! `cargo xtask`: what a developer runs.

mod cache;
mod cluster;
mod codegen;
mod demo;
mod faults;
mod image;
mod install;
mod plugin;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cooperator_cluster::{Progress, paths};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, demonstrates and tests Cooperator")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything from nothing: build, start a local cluster, install, tell the story of examples/presidents
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
        Command::Build => workspace::Programs::build(&progress).map(drop),
        Command::Codegen => codegen::write(&root),
        Command::Cluster(action) => cluster::cluster(action, &progress),
        Command::Down => cluster::down(&progress),
        Command::Image(options) => image::image(&options, &progress),
        Command::Faults(options) => faults::faults(&options, &progress),
        Command::Test => test::test(&root, &progress),
    }
}
