//! `cooperator-trainer import|ingest|train`: one run from a run file to an outcome.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cooperator_contract::run::PATH;
use cooperator_telemetry::Options;
use cooperator_trainer::run::{Kind, Source, run};

/// Imports base models, builds datasets, trains adapters.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// What to do, as the operator wrote it: a path, or a URL that is shown the run token.
    #[arg(long, global = true, default_value = PATH)]
    run_file: Source,
    /// Folder for files on their way. Default: a new one below $TMPDIR.
    #[arg(long, global = true, env = "COOPERATOR_WORK_DIR")]
    work_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Bring a base model into object storage.
    Import,
    /// Build a dataset version.
    Ingest,
    /// Train and evaluate an adapter.
    Train,
}

fn main() -> anyhow::Result<ExitCode> {
    let Args { command, run_file, work_dir } = Args::parse();
    let _guard = cooperator_telemetry::init("cooperator-trainer", Options::default())?;
    let kind = match command {
        Command::Import => Kind::Import,
        Command::Ingest => Kind::Ingest,
        Command::Train => Kind::Train,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(run(kind, &run_file, work_dir)))
}
