//! Pure: the import run of a valid base model.

use cooperator_contract::run::{ImportTask, Task};
use cooperator_core::digest::Digest;

use super::validate::ValidBaseModel;
use crate::domain::resources;
use crate::runs::{Owner, Plan, Program, Shape, StorageAccess, claim_of, short};

/// Failed attempts that may be followed by another.
pub const RETRIES: u32 = 4;
/// Seconds an import may take: large models over slow lines.
const DEADLINE_SECONDS: i64 = 6 * 3600;
/// Seconds a finished import Job stays: a day, for its log.
const TTL_SECONDS: i32 = 86_400;

/// The run. Its name holds a hash of source and target, so that a model made anew under the same name does not meet
/// the Jobs of the one before.
pub fn plan(owner: Owner, model: &ValidBaseModel) -> Plan {
    let ValidBaseModel { collective, bucket, source, source_secret, license } = model;
    let location = &bucket.location;
    let identity = format!(
        "{}\n{}\n{}\n{}\n{}",
        owner.uid, source.storage_uri, location.endpoint, location.bucket, location.prefix
    );
    Plan {
        job_prefix: format!("{}-import-{}", owner.name, short(&Digest::of(identity.as_bytes()))),
        owner,
        collective: collective.clone(),
        program: Program::Import,
        bucket: bucket.clone(),
        storage: StorageAccess::Key,
        task: Task::Import(ImportTask { source: source.clone(), license: license.clone() }),
        source_secret: source_secret.clone(),
        claims: claim_of(&source.storage_uri).into_iter().collect(),
        shape: Shape { resources: resources("250m", "1Gi", "4Gi"), ..Shape::default() },
        machine: None,
        leave: None,
        deadline_seconds: DEADLINE_SECONDS,
        ttl_seconds: TTL_SECONDS,
        queue: None,
    }
}
