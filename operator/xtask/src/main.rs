//! `cargo xtask`: what a developer runs.

mod codegen;

use std::path::Path;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

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
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask lies in operator/")?;
    match Args::parse().command {
        Command::Codegen { check: true } => codegen::check(root),
        Command::Codegen { check: false } => codegen::write(root),
    }
}
