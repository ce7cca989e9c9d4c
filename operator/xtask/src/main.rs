//! `cargo xtask`: what a developer runs.

mod cluster;
mod codegen;
mod image;
mod test;

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
    /// Write crds/ and the CRD chart from the API types
    Codegen {
        /// Fail when a file is stale, write nothing
        #[arg(long)]
        check: bool,
    },
    /// Start or remove the local cluster
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Remove everything that was started here: the local cluster with all in it
    Down,
    /// Build our images for the local cluster, or push them to a registry
    Image(image::Options),
    /// Run all that has to hold: formatting, clippy, every test, generated files, the chart
    Test,
}

fn main() -> Result<()> {
    let (root, progress) = (paths::workspace(), Progress::new());
    match Args::parse().command {
        Command::Codegen { check: true } => codegen::check(&root),
        Command::Codegen { check: false } => codegen::write(&root),
        Command::Cluster(action) => cluster::cluster(action, &progress),
        Command::Down => cluster::down(&progress),
        Command::Image(options) => image::image(&options, &progress),
        Command::Test => test::test(&root, &progress),
    }
}
