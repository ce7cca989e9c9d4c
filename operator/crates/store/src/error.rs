//! What can go wrong with object storage, one line each, without secrets.

use std::path::Path;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use cooperator_core::digest::Digest;

/// A failed storage call. `what` names the object as `s3://bucket/key`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such object or bucket.
    #[error("{what}: not found in object storage")]
    NotFound {
        /// The object.
        what: String,
    },
    /// The key may not do this.
    #[error(
        "{what}: object storage refused the access key ({cause}); check the storage Secret and the bucket's grants"
    )]
    Forbidden {
        /// The object.
        what: String,
        /// The storage's code and message.
        cause: String,
    },
    /// Still failing after every retry; trying later may succeed.
    #[error("{what}: object storage did not answer after {attempts} attempts ({cause})")]
    Unavailable {
        /// The object.
        what: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        cause: String,
    },
    /// The storage understood the call and will never do it.
    #[error("{what}: object storage refused the call ({cause})")]
    Refused {
        /// The object.
        what: String,
        /// The storage's code and message.
        cause: String,
    },
    /// The broker does not let this run do that, or does not know the run.
    #[error(
        "{what}: access is not granted ({cause}); a run may do what its task needs while its attempt is the newest"
    )]
    NotGranted {
        /// The object.
        what: String,
        /// What the broker said.
        cause: String,
    },
    /// What was to be written is there already, by somebody else, and stays as it is.
    #[error("{what}: another run has published it, and it stays as it is")]
    Published {
        /// The object.
        what: String,
    },
    /// The call could not be made at all, such as to an endpoint that is no URL.
    #[error("{what}: the storage call is not possible ({cause})")]
    Invalid {
        /// The object.
        what: String,
        /// Why.
        cause: String,
    },
    /// The bytes are not those their address promises.
    #[error(
        "{what}: corrupt, expected {expected}, found {found}; restore the object or remove what refers to it"
    )]
    Corrupt {
        /// The object.
        what: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// A manifest that verifies but does not parse as what it should be.
    #[error("{what}: not the manifest that was expected ({cause})")]
    Malformed {
        /// The object.
        what: String,
        /// Where it departs.
        cause: String,
    },
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without anyone changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the object is simply not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }

    pub(crate) fn broken_off(what: &str, cause: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unavailable { what: what.to_owned(), attempts: 1, cause: chain(cause) }
    }

    pub(crate) fn from_sdk<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let what = what.to_owned();
        match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let cause = said(status, service.err());
                match status {
                    404 => Self::NotFound { what },
                    401 | 403 => Self::Forbidden { what, cause },
                    408 | 429 | 500.. => Self::Unavailable { what, attempts: 1, cause },
                    _ => Self::Refused { what, cause },
                }
            }
            SdkError::DispatchFailure(failure) if failure.is_user() => {
                Self::Invalid { what, cause: chain(error) }
            }
            SdkError::ConstructionFailure(_) => Self::Invalid { what, cause: chain(error) },
            _ => Self::Unavailable { what, attempts: 1, cause: chain(error) },
        }
    }

    pub(crate) fn after(self, tried: u32) -> Self {
        match self {
            Self::Unavailable { what, cause, .. } => Self::Unavailable { what, attempts: tried, cause },
            other => other,
        }
    }
}

/// Status, code and message of an answer.
fn said(status: u16, error: &impl ProvideErrorMetadata) -> String {
    let parts = [error.code(), error.message()].into_iter().flatten();
    line(&parts.fold(status.to_string(), |text, part| format!("{text} {part}")))
}

/// An error and its sources in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    line(&text)
}

/// At most 300 characters, no line breaks.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
