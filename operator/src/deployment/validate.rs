//! Pure: a Deployment with all it refers to, or why it waits.

use cooperator_api::common::condition;
use cooperator_api::deployment::Deployment;
use cooperator_core::digest::Digest;
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt as _;

use super::dereference::References;
use crate::domain::{Hold, bucket, resources};
use crate::runs::Bucket;

/// Requests that a server pod works on at once, and that may wait beyond those.
pub const CONCURRENCY: u32 = 4;
/// Requests that may wait in a server pod.
pub const QUEUE: u32 = 16;

/// All that server pods are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidDeployment {
    /// Name of the Deployment.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The Collective it earns for.
    pub collective: String,
    /// Where base model and adapter lie.
    pub bucket: Bucket,
    /// What callers name.
    pub model_name: String,
    /// The base model.
    pub base_model: Digest,
    /// The adapter.
    pub adapter: Digest,
    /// Pods.
    pub replicas: i32,
    /// Resources of a pod.
    pub resources: ResourceRequirements,
    /// Most prompt tokens.
    pub max_input_tokens: u32,
    /// Most generated tokens.
    pub max_output_tokens: u32,
}

/// What callers name: `spec.modelName`, else the object's name.
pub fn model_name(deployment: &Deployment) -> String {
    deployment.spec.model_name.clone().unwrap_or_else(|| deployment.name_any())
}

/// A Deployment that can be served, or why not yet.
///
/// # Errors
/// [`Hold`], the first reason that applies.
pub fn validate(deployment: &Deployment, found: &References) -> Result<ValidDeployment, Hold> {
    let spec = &deployment.spec;
    let adapter = adapter(&spec.fine_tune_ref.name, found)?;
    let base_model = base_model(found)?;
    let collective = found.base_model.as_ref().map(|model| model.spec.collective_ref.name.clone());
    let collective = collective.unwrap_or_default();
    let bucket = bucket(found.collective.as_ref(), &collective)?;
    let model_name = model_name(deployment);
    unique(deployment, &model_name, &found.siblings)?;
    Ok(ValidDeployment {
        name: deployment.name_any(),
        namespace: deployment.namespace().unwrap_or_default(),
        collective,
        bucket,
        model_name,
        base_model,
        adapter,
        replicas: spec.replicas,
        resources: spec.resources.clone().unwrap_or_else(|| resources("500m", "512Mi", "4Gi")),
        max_input_tokens: spec.limits.max_input_tokens.unsigned_abs(),
        max_output_tokens: spec.limits.max_output_tokens.unsigned_abs(),
    })
}

fn adapter(name: &str, found: &References) -> Result<Digest, Hold> {
    let Some(fine_tune) = &found.fine_tune else {
        return Err(Hold::new(
            "FineTuneNotFound",
            format!("FineTune `{name}` does not exist in this namespace: create it"),
        ));
    };
    let status = fine_tune.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|found| found.type_ == condition::READY);
    match (ready, status.adapter) {
        (Some(ready), Some(adapter)) if ready.status == "True" => parse(&adapter.digest),
        (Some(ready), _) => Err(Hold::new(
            "FineTuneNotReady",
            format!("FineTune `{name}` is not Ready ({}): {}", ready.reason, ready.message),
        )),
        (None, _) => {
            Err(Hold::new("FineTuneNotReady", format!("FineTune `{name}` has not been looked at yet")))
        }
    }
}

fn base_model(found: &References) -> Result<Digest, Hold> {
    // The digest that the adapter was trained on, not the one its BaseModel may have come to since.
    let pinned = found.fine_tune.as_ref().and_then(|tune| tune.status.as_ref()?.base_model_digest.clone());
    match (pinned, &found.base_model) {
        (_, None) => {
            Err(Hold::new("BaseModelNotFound", "the FineTune's BaseModel does not exist: create it again"))
        }
        (None, Some(_)) => Err(Hold::new("FineTuneNotReady", "the FineTune names no base model digest yet")),
        (Some(digest), Some(_)) => parse(&digest),
    }
}

fn parse(digest: &str) -> Result<Digest, Hold> {
    digest
        .parse()
        .map_err(|error| Hold::new("DigestInvalid", format!("status names a wrong digest: {error}")))
}

/// Two Deployments of one Collective cannot answer to one name: the older one has it.
fn unique(deployment: &Deployment, name: &str, siblings: &[Deployment]) -> Result<(), Hold> {
    let age = |one: &Deployment| (one.creation_timestamp(), one.name_any());
    let older = siblings
        .iter()
        .filter(|other| other.name_any() != deployment.name_any() && model_name(other) == name)
        .find(|other| age(other) < age(deployment));
    older.map_or(Ok(()), |other| {
        let message =
            format!("spec.modelName `{name}` is taken by Deployment `{}`: choose another", other.name_any());
        Err(Hold::new("ModelNameTaken", message))
    })
}
