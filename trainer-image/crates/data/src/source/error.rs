//! Why a source cannot be read.

use std::path::Path;

use cooperator_contract::outcome::FailureReason;
use cooperator_core::digest::Digest;

use super::InvalidAddress;

/// A source that cannot be read. `what` is the address without credentials or query.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// Nothing is there.
    #[error("{what}: not found; {hint}")]
    NotFound {
        /// Where.
        what: String,
        /// What to look at.
        hint: String,
    },
    /// It may not be read.
    #[error("{what}: access refused ({cause}); {hint}")]
    Forbidden {
        /// Where.
        what: String,
        /// Who refused.
        cause: String,
        /// What to change.
        hint: String,
    },
    /// It is there, but not what it must be.
    #[error("{what}: {cause}")]
    Unreadable {
        /// Where.
        what: String,
        /// What is wrong, the bound and the way out.
        cause: String,
    },
    /// Other bytes than were asked for.
    #[error(
        "{what}: digest is {found}, but {expected} was asked for; correct spec.source.digest or the source"
    )]
    DigestMismatch {
        /// Where.
        what: String,
        /// Asked for.
        expected: Digest,
        /// As read.
        found: Digest,
    },
    /// No answer after every attempt.
    #[error("{what}: no answer after {attempts} attempts ({cause}); it is tried again later")]
    Unavailable {
        /// Where.
        what: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        cause: String,
    },
    /// Object storage.
    #[error(transparent)]
    Store(#[from] cooperator_store::Error),
    /// The work folder.
    #[error("{path}: {cause}; give the pod more ephemeral storage if the disk is full")]
    Disk {
        /// Where.
        path: String,
        /// What the system said.
        cause: String,
    },
}

impl SourceError {
    pub(crate) fn disk(path: &Path, error: std::io::Error) -> Self {
        Self::Disk { path: path.display().to_string(), cause: error.to_string() }
    }

    /// The condition reason for it.
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::NotFound { .. } => FailureReason::SourceNotFound,
            Self::Forbidden { .. } => FailureReason::SourceForbidden,
            Self::Address(_) | Self::Unreadable { .. } => FailureReason::SourceUnreadable,
            Self::DigestMismatch { .. } => FailureReason::DigestMismatch,
            Self::Unavailable { .. } => FailureReason::StorageUnavailable,
            Self::Disk { .. } => FailureReason::Internal,
            Self::Store(error) => match error {
                cooperator_store::Error::NotFound { .. } => FailureReason::SourceNotFound,
                cooperator_store::Error::Forbidden { .. } => FailureReason::SourceForbidden,
                cooperator_store::Error::Corrupt { .. } => FailureReason::DigestMismatch,
                cooperator_store::Error::File { .. } => FailureReason::Internal,
                _ => FailureReason::StorageUnavailable,
            },
        }
    }
}
