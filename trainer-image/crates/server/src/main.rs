//! `cooperator-server`: reads a run file, serves its model, drains on SIGTERM. A model that cannot be served ends
//! the process with an outcome that says why.
// The error is made once a process, on its way out.
#![allow(clippy::result_large_err)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::{PATH, RunFile, Task, VERSION};
use cooperator_server::serve::{DRAIN_DELAY, ServeError, run};
use cooperator_store::{Credentials, Store};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Instrument as _;

/// Serves a base model with its adapter over the OpenAI API.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The run file.
    #[arg(long, default_value = PATH)]
    run_file: PathBuf,
}

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("run file {path}: {problem}")]
    RunFile { path: String, problem: String },
    #[error(transparent)]
    Credentials(#[from] cooperator_store::MissingCredentials),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("signals cannot be listened for: {0}")]
    Signal(std::io::Error),
}

impl Failure {
    fn reason(&self) -> FailureReason {
        match self {
            Self::RunFile { .. } => FailureReason::InvalidRunFile,
            Self::Serve(ServeError::Load(error)) => error.reason(),
            Self::Credentials(_) | Self::Serve(_) | Self::Signal(_) => FailureReason::Internal,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let guard = cooperator_telemetry::init("cooperator-server", cooperator_telemetry::Options::default());
    if let Err(error) = &guard {
        tracing::warn!(%error, "telemetry is not set up");
    }
    let run_file = read(&arguments.run_file);
    let outcome_path = run_file.as_ref().ok().map(|file| PathBuf::from(&file.outcome_path));
    match run_file.and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let reason = failure.reason();
            tracing::error!(?reason, error = %failure, "ended");
            if let Some(path) = outcome_path {
                write_outcome(&path, &Outcome::Failed { reason, message: failure.to_string() });
            }
            ExitCode::from(reason.exit_code())
        }
    }
}

fn read(path: &Path) -> Result<RunFile, Failure> {
    let wrong = |problem: String| Failure::RunFile { path: path.display().to_string(), problem };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let file: RunFile = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if file.version != VERSION {
        return Err(wrong(format!("version {}, this server reads {VERSION}", file.version)));
    }
    Ok(file)
}

#[tokio::main]
async fn serve(file: RunFile) -> Result<(), Failure> {
    let Task::Serve(task) = file.task else {
        let problem = "its task is not `serve`".to_owned();
        return Err(Failure::RunFile { path: "given".to_owned(), problem });
    };
    let span = tracing::info_span!("serve", run = file.run.name, namespace = file.run.namespace);
    if let Some(traceparent) = &file.traceparent {
        cooperator_telemetry::set_parent(&span, traceparent);
    }
    let store = Store::connect(&file.storage, Credentials::from_env()?);
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signal)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run(store, task, stop, DRAIN_DELAY).instrument(span).await?;
    Ok(())
}

/// Best effort: outside a pod there is no such file, and the log has said it already.
fn write_outcome(path: &Path, outcome: &Outcome) {
    if let Err(error) = std::fs::write(path, outcome.to_termination_message()) {
        tracing::warn!(%error, path = %path.display(), "the outcome could not be written");
    }
}
