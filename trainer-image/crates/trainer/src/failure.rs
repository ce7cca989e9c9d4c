//! Why a run gave up, as the operator is told.

use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_data::ingest::IngestError;
use cooperator_data::source::SourceError;

/// The end of a run that made nothing: a reason for the condition and one line for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Condition reason.
    pub reason: FailureReason,
    /// What, where, the bound and the way out; no secret.
    pub message: String,
}

impl Failure {
    /// A failure with this reason, said by `message`; line breaks become blanks.
    pub fn new(reason: FailureReason, message: impl ToString) -> Self {
        let message = message.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { reason, message }
    }

    /// A fault of ours, or of the machine.
    pub fn internal(message: impl ToString) -> Self {
        Self::new(FailureReason::Internal, message)
    }

    /// Something in the run file that breaks its contract.
    pub fn invalid(message: impl ToString) -> Self {
        Self::new(FailureReason::InvalidRunFile, message)
    }
}

impl From<Failure> for Outcome {
    fn from(Failure { reason, message }: Failure) -> Self {
        Self::Failed { reason, message }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::new(error.reason(), error)
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        Self::new(error.reason(), error)
    }
}

impl From<cooperator_store::Error> for Failure {
    fn from(error: cooperator_store::Error) -> Self {
        let reason = match &error {
            cooperator_store::Error::NotFound { .. } => FailureReason::SourceNotFound,
            cooperator_store::Error::Corrupt { .. } => FailureReason::DigestMismatch,
            cooperator_store::Error::Malformed { .. } => FailureReason::SourceUnreadable,
            cooperator_store::Error::File { .. } => FailureReason::Internal,
            _ => FailureReason::StorageUnavailable,
        };
        Self::new(reason, error)
    }
}
