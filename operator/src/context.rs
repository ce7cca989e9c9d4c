//! What the reconciler of Collective is given: it alone makes buckets.

use std::sync::Arc;

use cooperator_kit::ApplyError;
use cooperator_kit::answer::is_forbidden;
use cooperator_store::Credentials;

use crate::garage::{Garage, GarageError};
use crate::pipeline::{self, Pipeline};
use crate::rent::Rent;
use crate::report::ReportError;

/// Handed to every reconcile.
pub struct Context {
    /// Client, events, clock and settings.
    pub pipeline: Arc<Pipeline>,
    /// What rents machines; none: this installation rents none.
    pub rent: Option<Arc<Rent>>,
    /// The store of a Collective that brings none.
    pub default_store: Option<DefaultStore>,
    /// ServiceAccount of the operator, `namespace/name`: whom a namespace must grant its rights.
    pub service_account: String,
}

/// The store the operator was installed with.
pub struct DefaultStore {
    /// S3 endpoint, as pods reach it.
    pub endpoint: String,
    /// Region to sign for.
    pub region: String,
    /// How a Collective gets its part of it.
    pub parts: Parts,
}

/// How a Collective gets its part of the default store.
pub enum Parts {
    /// A bucket and a key of its own, made by Garage's admin API.
    Buckets(Garage),
    /// A prefix of one bucket, and the key of that bucket: any S3 can do this, and nothing but the prefix keeps the
    /// Collectives apart.
    Prefixes {
        /// The bucket.
        bucket: String,
        /// What every key in it begins with; empty, or ends with `/`.
        prefix: String,
        /// Opens it.
        key: Credentials,
    },
}

/// Why a reconcile did not come to its end. It is tried again, ever more seldom.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// Something could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Status could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The default store's admin API failed.
    #[error(transparent)]
    Garage(#[from] GarageError),
}

impl Error {
    /// Whether the API server refused for want of rights in the object's namespace.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Pipeline(pipeline::Error::Read { source, .. } | pipeline::Error::Write { source, .. }) => {
                is_forbidden(source)
            }
            Self::Apply(error) => error.is_forbidden(),
            _ => false,
        }
    }
}
