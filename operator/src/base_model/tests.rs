use std::sync::Arc;

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_contract::layout;
use cooperator_contract::manifest::{File, ModelManifest};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_core::digest::Digest;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use super::reconcile::reconcile;
use crate::pipeline::Pipeline;
use crate::settle;
use crate::testing::{Cluster, HOME};

async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    cluster.coop(
        "basemodels",
        json!({
            "metadata": { "name": "smollm" },
            "spec": {
                "collectiveRef": { "name": HOME }, "license": "Apache-2.0",
                "source": { "storageUri": "s3://presidents/incoming/model.gguf" },
            },
        }),
    );
    cluster
}

/// Of the two files that [`imported`] leaves.
const BYTES: i64 = 2 * 538_090_408;

fn file(name: &str) -> File {
    File { name: name.into(), digest: Digest::of(name.as_bytes()), bytes: 538_090_408 }
}

/// What the import Job leaves in storage, and its outcome.
async fn imported(cluster: &Cluster) -> Outcome {
    let manifest = ModelManifest {
        architecture: "llama".into(),
        parameters: 134_515_008,
        license: "Apache-2.0".into(),
        source_digest: Digest::of(b"gguf"),
        files: ["config.json", "model.safetensors"].map(file).into(),
    };
    let digest = cluster.storage.store(HOME).put_manifest(layout::model, &manifest).await.unwrap();
    Outcome::Succeeded { digest, key: layout::model(&digest) }
}

fn ready(model: &BaseModel) -> (String, String) {
    let found =
        model.status.as_ref().unwrap().conditions.iter().find(|found| found.type_ == "Ready").unwrap();
    (found.status.clone(), found.reason.clone())
}

fn model(cluster: &Cluster) -> BaseModel {
    cluster.read("basemodels", "smollm")
}

async fn through(cluster: &Cluster) {
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let jobs = cluster.names("batch/v1", "jobs");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    cluster.finish(&jobs[0], &imported(cluster).await);
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
}

#[tokio::test]
async fn a_model_with_an_allowed_licence_is_imported_once_and_then_silent() {
    let cluster = cluster().await;
    through(&cluster).await;
    let status = model(&cluster).status.unwrap();
    assert_eq!(ready(&model(&cluster)), ("True".into(), "Imported".into()));
    assert_eq!(status.architecture.as_deref(), Some("llama"));
    assert_eq!(status.parameters, Some(134_515_008));
    assert_eq!(status.bytes, Some(BYTES));
    assert_eq!(status.attempts.len(), 1);
    assert_eq!(cluster.names("v1", "secrets"), ["presidents-storage"], "the token ends with its attempt");
    cluster.clock.advance(SignedDuration::from_hours(900));
    let writes = cluster.writes().len();
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(cluster.writes().len(), writes, "settled means silent");
}

#[tokio::test]
async fn the_attempt_is_in_status_before_its_job_is_made() {
    let cluster = cluster().await;
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let writes = cluster.writes();
    let status = writes.iter().position(|write| write.starts_with("STATUS")).unwrap();
    let job = writes.iter().position(|write| write.starts_with("POST jobs")).unwrap();
    assert!(status < job, "{writes:?}");
}

#[tokio::test]
async fn an_operator_killed_after_any_write_ends_where_an_unharmed_one_does() {
    for cut in 1..=12 {
        let cluster = cluster().await;
        cluster.cut_after(cut);
        through(&cluster).await;
        let status = model(&cluster).status.unwrap();
        assert_eq!(ready(&model(&cluster)).0, "True", "cut after write {cut}");
        assert_eq!(status.attempts.len(), 1, "cut after write {cut}");
        let jobs = cluster.writes().iter().filter(|write| write.starts_with("POST jobs")).count();
        assert_eq!(jobs, 1, "cut after write {cut}");
    }
}

#[tokio::test]
async fn an_attempt_whose_image_cannot_be_pulled_begins_anew_once_the_chart_names_another() {
    let mut cluster = cluster().await;
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let job = cluster.names("batch/v1", "jobs").remove(0);
    cluster.put(
        "v1",
        "pods",
        json!({
            "metadata": { "name": "held", "labels": { "batch.kubernetes.io/job-name": job } },
            "spec": { "containers": [{ "name": "import", "image": "trainer:1" }] },
            "status": { "phase": "Pending", "containerStatuses": [{
                "name": "import", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": "ErrImagePull", "message": "not found" } },
            }] },
        }),
    );
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)).1, "ImagePullFailed");
    let mut site = cluster.pipeline.site.clone();
    site.trainer_image = "trainer:2".into();
    cluster.pipeline = Arc::new(Pipeline { site, ..(*cluster.pipeline).clone() });
    reconcile(Arc::new(model(&cluster)), cluster.pipeline.clone()).await.unwrap();
    assert!(cluster.names("batch/v1", "jobs").is_empty(), "the one that cannot begin is taken away");
    // As the garbage collector does.
    cluster.remove("v1", "pods", "held");
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let anew: Job = cluster.find("batch/v1", "jobs", &job).unwrap();
    let image = anew.spec.unwrap().template.spec.unwrap().containers.remove(0).image;
    assert_eq!(image.as_deref(), Some("trainer:2"));
    assert_eq!(model(&cluster).status.unwrap().attempts.len(), 1, "it is the same attempt");
}

#[tokio::test]
async fn a_licence_the_policy_does_not_allow_makes_no_job_and_says_why() {
    let cluster = cluster().await;
    cluster.edit("basemodels", "smollm", |model: &mut BaseModel| model.spec.license = "GPL-3.0-only".into());
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)), ("False".into(), "LicenseNotAllowed".into()));
    assert!(cluster.names("batch/v1", "jobs").is_empty());
    assert_eq!(cluster.events(), ["Warning LicenseNotAllowed"]);
}

#[tokio::test]
async fn a_model_waits_for_its_collectives_storage() {
    let cluster = cluster().await;
    cluster.edit("collectives", HOME, |collective: &mut Collective| collective.status = None);
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)), ("False".into(), "StorageNotReady".into()));
}

#[tokio::test]
async fn a_failure_that_would_come_again_is_not_tried_again() {
    let cluster = cluster().await;
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let job = cluster.names("batch/v1", "jobs").remove(0);
    let message = "source has sha256:00, spec.source.digest asks for sha256:11".to_owned();
    cluster.finish(&job, &Outcome::Failed { reason: FailureReason::DigestMismatch, message });
    cluster.clock.advance(SignedDuration::from_hours(2));
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)), ("False".into(), "DigestMismatch".into()));
    assert_eq!(cluster.names("batch/v1", "jobs").len(), 1);
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_after_a_pause() {
    let cluster = cluster().await;
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let job = cluster.names("batch/v1", "jobs").remove(0);
    let message = "no answer".to_owned();
    cluster.finish(&job, &Outcome::Failed { reason: FailureReason::StorageUnavailable, message });
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)).1, "StorageUnavailable");
    assert_eq!(cluster.names("batch/v1", "jobs").len(), 1);
    cluster.clock.advance(SignedDuration::from_secs(10));
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(cluster.names("batch/v1", "jobs").len(), 2);
}

#[tokio::test]
async fn a_result_that_is_not_in_storage_is_no_success() {
    let cluster = cluster().await;
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    let job = cluster.names("batch/v1", "jobs").remove(0);
    let digest = Digest::of(b"never written");
    cluster.finish(&job, &Outcome::Succeeded { digest, key: layout::model(&digest) });
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)), ("False".into(), "ResultUnreadable".into()));
}

#[tokio::test]
async fn a_licence_that_is_no_longer_allowed_takes_ready_away_but_not_the_import() {
    let cluster = cluster().await;
    through(&cluster).await;
    cluster.edit("collectives", HOME, |collective: &mut Collective| {
        collective.spec.policy.base_model_licenses = vec!["MIT".into()];
    });
    settle!(cluster, BaseModel, "basemodels", "smollm", reconcile);
    assert_eq!(ready(&model(&cluster)).1, "LicenseNotAllowed");
    assert!(model(&cluster).status.unwrap().digest.is_some());
}
