//! `cooperator-settle`: settles one period of one Collective and ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cooperator_contract::outcome::Outcome;
use cooperator_contract::run;
use cooperator_settle::run::{execute, failed, read_run_file};
use cooperator_telemetry::{Options, init, set_parent};
use tracing::Instrument as _;

/// Settles one period: reads the usage log, writes the statement, says how it ended in the termination log.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// JSON file that says what to settle.
    #[arg(long, default_value = run::PATH)]
    run_file: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let _telemetry = init("cooperator-settle", Options::default())?;
    let (outcome, path) = match read_run_file(&args.run_file) {
        Ok(file) => {
            let span = tracing::info_span!("settle", settlement = file.run.name, attempt = file.run.attempt);
            if let Some(traceparent) = &file.traceparent {
                set_parent(&span, traceparent);
            }
            (execute(&file).instrument(span).await, file.outcome_path)
        }
        Err(error) => (failed(&error), run::OUTCOME_PATH.to_owned()),
    };
    std::fs::write(&path, outcome.to_termination_message())?;
    Ok(match outcome {
        Outcome::Succeeded { .. } => ExitCode::SUCCESS,
        Outcome::Failed { reason, message } => {
            tracing::error!(?reason, message, "settlement failed");
            ExitCode::from(reason.exit_code())
        }
    })
}
