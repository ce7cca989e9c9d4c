//! Pure: what status says.

use cooperator_api::base_model::{BaseModel, BaseModelStatus};
use cooperator_api::common::{Attempt, condition};
use cooperator_contract::manifest::ModelManifest;
use cooperator_core::digest::Digest;

use crate::domain::{Finding, Hold, count};
use crate::runs::{self, Phase};

/// Attempts that status keeps.
const ATTEMPTS: usize = 8;

/// What a reconcile found out.
#[derive(Clone, Debug)]
pub enum Import {
    /// It cannot be imported yet.
    Held(Hold),
    /// Its run is somewhere.
    Running {
        /// All attempts.
        attempts: Vec<Attempt>,
        /// Where it stands.
        phase: Phase,
    },
    /// It has just been imported.
    Done {
        /// All attempts.
        attempts: Vec<Attempt>,
        /// Digest of the manifest.
        digest: Digest,
        /// The manifest, verified.
        manifest: Box<ModelManifest>,
    },
    /// It was imported before.
    Kept,
}

/// What is found, `Ready` first. A model that was imported stays, but is Ready only while its licence is allowed.
pub fn findings(license: &Result<(), Hold>, import: &Import) -> Vec<Finding> {
    let imported = match import {
        Import::Done { .. } | Import::Kept => {
            Finding::yes(condition::IMPORTED, "Imported", "it lies in content-addressed storage")
        }
        Import::Held(hold) => Finding::held(condition::IMPORTED, hold),
        Import::Running { phase, .. } => Finding::held(
            condition::IMPORTED,
            &runs::explain(phase, ("Importing", "the source is being read into content-addressed storage")),
        ),
    };
    let allowed = match license {
        Ok(()) => {
            Finding::yes(condition::LICENSE_ALLOWED, "LicenseAllowed", "the Collective's policy allows it")
        }
        Err(hold) => Finding::held(condition::LICENSE_ALLOWED, hold),
    };
    let ready = match (&allowed, &imported) {
        (held, _) | (_, held) if !held.status => {
            Finding::no(condition::READY, held.reason.clone(), held.message.clone())
        }
        _ => Finding::yes(condition::READY, "Imported", "it can be trained on and served"),
    };
    vec![ready, allowed, imported]
}

/// Everything of status but the conditions, which need the ones before.
pub fn status(model: &BaseModel, import: Import) -> BaseModelStatus {
    let before = model.status.clone().unwrap_or_default();
    let kept = BaseModelStatus {
        observed_generation: model.metadata.generation,
        conditions: Vec::new(),
        digest: before.digest,
        architecture: before.architecture,
        parameters: before.parameters,
        bytes: before.bytes,
        // The progress endpoint writes it; whoever applies this status does not own it.
        progress: None,
        attempts: before.attempts,
    };
    match import {
        Import::Held(_) | Import::Kept => kept,
        Import::Running { attempts, .. } => {
            BaseModelStatus { attempts: runs::newest(attempts, ATTEMPTS), ..kept }
        }
        Import::Done { attempts, digest, manifest } => BaseModelStatus {
            attempts: runs::newest(attempts, ATTEMPTS),
            digest: Some(digest.to_string()),
            bytes: Some(count(manifest.bytes())),
            architecture: Some(manifest.architecture),
            parameters: Some(count(manifest.parameters)),
            ..kept
        },
    }
}
