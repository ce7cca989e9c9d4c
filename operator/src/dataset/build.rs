//! Pure: which build is due, and its run.

use cooperator_api::common::Attempt;
use cooperator_api::dataset::{Dataset, Refresh};
use cooperator_contract::run::Task;

use super::validate::ValidDataset;
use crate::domain::resources;
use crate::runs::{Owner, Plan, Program, Shape, StorageAccess, claim_of, short};

/// Failed attempts that may be followed by another.
pub const RETRIES: u32 = 4;
/// Seconds a build may take.
const DEADLINE_SECONDS: i64 = 6 * 3600;
/// Seconds a finished Job stays: a day, for its log.
const TTL_SECONDS: i32 = 86_400;

/// What is to be built.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// The newest version is of these inputs, or `refresh: Manual` keeps it.
    Nothing,
    /// The build under way goes on, with its attempts.
    Build(Vec<Attempt>),
    /// Another build, without attempts yet. The Job of the build before, if it may still run, is of no use any more.
    Begin {
        /// Its name.
        obsolete: Option<String>,
    },
}

/// Decides which build is due for `valid`.
pub fn due(dataset: &Dataset, valid: &ValidDataset) -> Due {
    let status = dataset.status.clone().unwrap_or_default();
    let inputs = valid.inputs.to_string();
    let built = status.digest.is_some() && status.inputs_digest.is_some();
    if built && status.inputs_digest.as_deref() == Some(&inputs) {
        return Due::Nothing;
    }
    let settled = built && status.building == status.inputs_digest;
    let same_spec = status.observed_generation == dataset.metadata.generation;
    if dataset.spec.refresh == Refresh::Manual && settled && same_spec {
        return Due::Nothing;
    }
    if status.building.as_deref() == Some(&inputs) {
        return Due::Build(status.attempts);
    }
    let obsolete =
        status.attempts.last().filter(|newest| newest.ended_at.is_none()).map(|newest| newest.job.clone());
    Due::Begin { obsolete }
}

/// The run of a build.
pub fn plan(owner: Owner, valid: &ValidDataset) -> Plan {
    let ValidDataset { collective, bucket, task, source_secret, inputs } = valid;
    let uris = task.contributions.iter().map(|work| work.source.storage_uri.as_str());
    Plan {
        job_prefix: format!("{}-{}", owner.name, short(inputs)),
        collective: collective.clone(),
        program: Program::Ingest,
        bucket: bucket.clone(),
        storage: StorageAccess::Key,
        claims: uris.filter_map(claim_of).collect(),
        task: Task::Ingest(task.clone()),
        source_secret: source_secret.clone(),
        shape: Shape { resources: resources("250m", "512Mi", "2Gi"), ..Shape::default() },
        machine: None,
        leave: None,
        deadline_seconds: DEADLINE_SECONDS,
        ttl_seconds: TTL_SECONDS,
        queue: None,
        owner,
    }
}
