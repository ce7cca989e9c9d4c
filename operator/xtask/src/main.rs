//! `cargo xtask`: what a developer runs.

mod codegen;
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
    /// Run all that has to hold: formatting, clippy, every test, generated files, the chart
    Test,
}

fn main() -> Result<()> {
    let root = paths::workspace();
    match Args::parse().command {
        Command::Codegen { check: true } => codegen::check(&root),
        Command::Codegen { check: false } => codegen::write(&root),
        Command::Test => test::test(&root, &Progress::new()),
    }
}
