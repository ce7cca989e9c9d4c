//! A settle run: run file in, statement and outcome out.

use std::path::Path;

use cooperator_contract::manifest::AdapterManifest;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::{RunFile, Task, VERSION};
use cooperator_contract::settle::{SettleTask, Statement, StatementRef};
use cooperator_contract::{canonical, layout};
use cooperator_core::digest::Digest;
use cooperator_store::{Credentials, Error as StoreError, MissingCredentials, Store};
use cooperator_usage::chain::UsageLogError;
use serde_json::Error as JsonError;

use crate::objects::Objects;
use crate::sheet::{self, SheetError};
use crate::statement::{self, Attributions, StatementError};
use crate::usage::{self, UsageError};

/// File of a statement that its digest is of.
const JSON: &str = "statement.json";
/// The same for a spreadsheet.
const CSV: &str = "statement.csv";

/// A settlement that was not made. Nothing was written that a later run would not write the same.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run file cannot be read.
    #[error("run file {path}: {source}")]
    File {
        /// Where it should be.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The run file is not what it must be.
    #[error("run file: {0}")]
    Json(#[source] JsonError),
    /// Another kind of run, or another version.
    #[error("run file: {0}")]
    Contract(&'static str),
    /// No key for object storage.
    #[error(transparent)]
    Credentials(#[from] MissingCredentials),
    /// Object storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object that is not the manifest it must be.
    #[error("{key}: {source}")]
    Manifest {
        /// The object.
        key: String,
        /// Where it departs.
        source: JsonError,
    },
    /// The usage log.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The split.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The sheet.
    #[error(transparent)]
    Sheet(#[from] SheetError),
}

impl RunError {
    /// The reason by which the operator knows it.
    pub const fn reason(&self) -> FailureReason {
        match self {
            Self::File { .. }
            | Self::Json(_)
            | Self::Contract(_)
            | Self::Credentials(_)
            | Self::Statement(_) => FailureReason::InvalidRunFile,
            Self::Store(error) | Self::Usage(UsageError::Store(error)) => store_reason(error),
            Self::Manifest { .. } => FailureReason::SourceUnreadable,
            Self::Usage(UsageError::Log { error: UsageLogError::Malformed(_), .. }) => {
                FailureReason::SourceUnreadable
            }
            Self::Usage(UsageError::Log { .. }) => FailureReason::UsageLogBroken,
            Self::Usage(UsageError::TooMany(_) | UsageError::Scratch(_)) | Self::Sheet(_) => {
                FailureReason::Internal
            }
        }
    }
}

const fn store_reason(error: &StoreError) -> FailureReason {
    match error {
        StoreError::NotFound { .. } => FailureReason::SourceNotFound,
        StoreError::Forbidden { .. } | StoreError::NotGranted { .. } | StoreError::Published { .. } => {
            FailureReason::SourceForbidden
        }
        StoreError::Corrupt { .. } => FailureReason::DigestMismatch,
        StoreError::Malformed { .. } => FailureReason::SourceUnreadable,
        StoreError::Unavailable { .. } | StoreError::Refused { .. } => FailureReason::StorageUnavailable,
        StoreError::Invalid { .. } => FailureReason::InvalidRunFile,
        StoreError::File { .. } => FailureReason::Internal,
    }
}

/// Reads the run file.
///
/// # Errors
/// [`RunError::File`], [`RunError::Json`], or [`RunError::Contract`] for another version.
pub fn read_run_file(path: &Path) -> Result<RunFile, RunError> {
    let bytes =
        std::fs::read(path).map_err(|source| RunError::File { path: path.display().to_string(), source })?;
    let file: RunFile = serde_json::from_slice(&bytes).map_err(RunError::Json)?;
    if file.version == VERSION {
        Ok(file)
    } else {
        Err(RunError::Contract("version is not 1; use an operator and a settle image of the same release"))
    }
}

/// Makes the settlement a run file asks for, with the key from the environment. Never fails: a failure is an outcome.
pub async fn execute(file: &RunFile) -> Outcome {
    match attempt(file).await {
        Ok(outcome) => outcome,
        Err(error) => failed(&error),
    }
}

/// A failure as the operator reads it.
pub fn failed(error: &RunError) -> Outcome {
    Outcome::Failed { reason: error.reason(), message: error.to_string() }
}

async fn attempt(file: &RunFile) -> Result<Outcome, RunError> {
    let Task::Settle(task) = &file.task else {
        return Err(RunError::Contract("the task is not `settle`"));
    };
    let store = Store::connect(&file.storage, Credentials::from_env()?);
    settle(&store, task).await
}

/// Settles a period and writes its statement. Running it again over the same log writes the same bytes again.
///
/// # Errors
/// [`RunError`]
pub async fn settle<O: Objects>(objects: &O, task: &SettleTask) -> Result<Outcome, RunError> {
    let previous = match &task.previous {
        Some(reference) => Some(read_statement(objects, reference).await?),
        None => None,
    };
    let counted = previous.as_ref().map_or(&[][..], |statement| &statement.usage.gateways);
    let (tally, proof) = usage::count(objects, &task.period, counted).await?;
    let mut attributions = Attributions::new();
    for adapter in statement::adapters(&tally) {
        let key = layout::adapter(&adapter, "manifest.json");
        let manifest: AdapterManifest = read_manifest(objects, key, &adapter).await?;
        attributions.insert(adapter, manifest.attribution);
    }
    let statement = statement::state(task, previous.as_ref(), &tally, &attributions, proof)?;
    write(objects, &statement).await
}

/// The CSV first: the JSON is what the outcome names, and whoever finds it finds both.
async fn write<O: Objects>(objects: &O, statement: &Statement) -> Result<Outcome, RunError> {
    let csv = sheet::csv(statement)?;
    let json = canonical(statement).map_err(RunError::Json)?;
    let digest = Digest::of(&json);
    let period = &statement.task.period.name;
    objects.put(&layout::statement(period, &digest, CSV), csv.into()).await?;
    let key = layout::statement(period, &digest, JSON);
    objects.put(&key, json.into()).await?;
    tracing::info!(period, %digest, gross = statement.gross, rows = statement.usage.rows, "period settled");
    Ok(Outcome::Succeeded { digest, key })
}

async fn read_statement<O: Objects>(objects: &O, reference: &StatementRef) -> Result<Statement, RunError> {
    let key = layout::statement(&reference.period, &reference.digest, JSON);
    read_manifest(objects, key, &reference.digest).await
}

async fn read_manifest<O, T>(objects: &O, key: String, digest: &Digest) -> Result<T, RunError>
where
    O: Objects,
    T: serde::de::DeserializeOwned,
{
    let bytes = objects.get(&key, digest).await?;
    serde_json::from_slice(&bytes).map_err(|source| RunError::Manifest { key, source })
}

#[cfg(test)]
mod tests;
