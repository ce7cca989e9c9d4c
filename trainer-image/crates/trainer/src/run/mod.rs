//! The frame of every run: run file in, outcome and exit code out.

mod access;
mod hosted;
mod report;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::preflight::Floors;
use cooperator_contract::run::{IngestTask, OUTCOME_PATH, RunFile, RunId, Task, VERSION};
use cooperator_data::ingest::ingest;
use cooperator_data::source::Reader;
use cooperator_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use access::Access;
pub use hosted::Source;
pub use report::Reporter;

use crate::failure::Failure;

/// Which run was asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Task::Import`]
    Import,
    /// [`Task::Ingest`]
    Ingest,
    /// [`Task::Train`]
    Train,
}

/// What a run works with.
#[derive(Debug)]
pub struct Context {
    /// Which run of which object.
    pub run: RunId,
    /// The Collective's storage.
    pub store: Store,
    /// Reads sources.
    pub reader: Reader,
    /// Where progress goes.
    pub reporter: Reporter,
    /// What the machine must be able to do; none: that is not judged.
    pub floors: Option<Floors>,
    /// Cancelled by SIGTERM, or by the answer to a report: finish the step, save, and end as interrupted.
    pub stop: CancellationToken,
    /// An empty folder of this run's own.
    pub work: PathBuf,
}

impl Context {
    /// Runs `work` unless the run is asked to stop first.
    ///
    /// # Errors
    /// [`FailureReason::Interrupted`], or as `work`.
    pub async fn unless_stopped<T, E: Into<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Failure::new(
                FailureReason::Interrupted,
                "stopped by SIGTERM before anything was made; the next attempt begins anew",
            )),
            done = work => done.map_err(Into::into),
        }
    }
}

/// Does what the run file says and ends with the outcome's exit code.
pub async fn run(kind: Kind, run_file: &Source, work_dir: Option<PathBuf>) -> ExitCode {
    let (outcome, path) = match read(kind, run_file).await {
        Err(failure) => (failure.into(), OUTCOME_PATH.to_owned()),
        Ok(file) => {
            let path = file.outcome_path.clone();
            let outcome = match Access::from_env(&file) {
                Ok(access) => execute(file, access, work_dir, stopped_by_signal()).await,
                Err(failure) => failure.into(),
            };
            (outcome, path)
        }
    };
    let code = match &outcome {
        Outcome::Succeeded { digest, key } => {
            tracing::info!(%digest, key, "run succeeded");
            ExitCode::SUCCESS
        }
        Outcome::Failed { reason, message } => {
            tracing::error!(?reason, message, "run failed");
            ExitCode::from(reason.exit_code())
        }
    };
    run_file.leave(&outcome).await;
    if let Err(error) = std::fs::write(&path, outcome.to_termination_message())
        && matches!(run_file, Source::Path(_))
    {
        tracing::error!(path, %error, "the outcome could not be written; the exit code alone tells it");
    }
    code
}

/// Does what `file` says with this access to its storage. Never fails: an outcome tells it all, a panic included.
pub async fn execute(
    file: RunFile,
    access: Access,
    work_dir: Option<PathBuf>,
    stop: CancellationToken,
) -> Outcome {
    let store = match access.store(&file) {
        Ok(store) => store,
        Err(failure) => return failure.into(),
    };
    // On a rented machine nobody may be there to send SIGTERM.
    let asks = file.storage_broker.is_some();
    let RunFile { run, storage, progress_url, preflight, traceparent, task, .. } = file;
    let span = tracing::info_span!(
        "run",
        namespace = run.namespace,
        name = run.name,
        uid = run.uid,
        attempt = run.attempt
    );
    if let Some(traceparent) = traceparent {
        cooperator_telemetry::set_parent(&span, &traceparent);
    }
    let parent = work_dir.unwrap_or_else(std::env::temp_dir);
    let work = parent.join(format!("cooperator-{}-{}", run.uid, run.attempt));
    if let Err(error) = fresh(&work) {
        return Failure::internal(format!("work folder {}: {error}", work.display())).into();
    }
    let context = Context {
        store,
        reader: Reader::from_env(storage, access.source_key()),
        reporter: Reporter::start(run.attempt, progress_url, asks.then(|| stop.clone())),
        floors: preflight,
        run,
        stop,
        work: work.clone(),
    };
    // A task of its own, so that a panic is an outcome and not a pod that died without a word.
    let doing = tokio::spawn(
        async move {
            let outcome = perform(&context, task).await;
            if let Outcome::Succeeded { .. } = outcome {
                context.reporter.phase("done", 100);
            }
            context.reporter.finish().await;
            outcome
        }
        .instrument(span),
    );
    let outcome =
        doing.await.unwrap_or_else(|error| Failure::internal(format!("the run broke off: {error}")).into());
    if let Err(error) = std::fs::remove_dir_all(&work) {
        tracing::debug!(%error, "work folder stays");
    }
    outcome
}

async fn perform(context: &Context, task: Task) -> Outcome {
    // Boxed: the three futures are large, and one state of all of them is more than the compiler lays out.
    let work: Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + '_>> = match task {
        Task::Import(task) => {
            Box::pin(async move { context.unless_stopped(crate::import::import(context, &task)).await })
        }
        Task::Ingest(task) => {
            Box::pin(async move { context.unless_stopped(build_dataset(context, &task)).await })
        }
        Task::Train(task) => Box::pin(async move { crate::train::train(context, &task).await }),
        Task::Serve(_) | Task::Settle(_) => {
            return Failure::invalid("this image imports, ingests and trains only").into();
        }
    };
    work.await.unwrap_or_else(Outcome::from)
}

async fn build_dataset(context: &Context, task: &IngestTask) -> Result<Outcome, Failure> {
    context.reporter.phase("reading", 0);
    let progress = |done: usize, total: usize| {
        let percentage = u8::try_from(done * 99 / total.max(1)).unwrap_or(99);
        context.reporter.update(|progress| progress.progress_percentage = percentage);
    };
    let Context { store, reader, work, .. } = context;
    let digest = ingest(task, store, reader, work, progress).await?;
    Ok(Outcome::Succeeded { digest, key: cooperator_contract::layout::dataset(&task.dataset, &digest) })
}

async fn read(kind: Kind, source: &Source) -> Result<RunFile, Failure> {
    let invalid = |error: String| Failure::invalid(format!("run file {source}: {error}"));
    let bytes = source.read().await.map_err(invalid)?;
    let file: RunFile = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    if file.version != VERSION {
        return Err(invalid(format!(
            "version {}, this image reads {VERSION}; use the operator's own image",
            file.version
        )));
    }
    let asked = match &file.task {
        Task::Import(_) => Some(Kind::Import),
        Task::Ingest(_) => Some(Kind::Ingest),
        Task::Train(_) => Some(Kind::Train),
        Task::Serve(_) | Task::Settle(_) => None,
    };
    if asked == Some(kind) { Ok(file) } else { Err(invalid(format!("its task is not `{kind:?}`"))) }
}

/// Makes the folder, empty: what an earlier container of the same pod left may be half a file.
fn fresh(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)
}

fn stopped_by_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            let stop = stop.clone();
            tokio::spawn(async move {
                if terminate.recv().await.is_some() {
                    tracing::info!("SIGTERM: finishing what can be kept");
                    stop.cancel();
                }
            });
        }
        Err(error) => tracing::warn!(%error, "SIGTERM cannot be caught; the last checkpoint is what remains"),
    }
    stop
}
