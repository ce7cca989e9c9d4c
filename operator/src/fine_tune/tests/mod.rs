mod contained;
mod deletion;
mod rented;
mod stalled;
mod unfit;

use cooperator_api::base_model::BaseModel;
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_contract::layout;
use cooperator_contract::manifest::{
    AdapterManifest, ContributionCount, DatasetManifest, Evaluation, GateResult, MemberWeight, Quality,
};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::{self, RunFile, SplitShare, Task, TextFormat, TextOptions};
use cooperator_core::digest::Digest;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::json;

use super::reconcile::reconcile;
use crate::settle;
use crate::testing::{Cluster, HOME, condition};

async fn version(cluster: &Cluster, base_model: Digest) -> Digest {
    let manifest = DatasetManifest {
        base_model,
        text: TextOptions { format: TextFormat::Auto, text_field: "text".into(), record_tokens: 512 },
        deduplicate: true,
        holdout_basis_points: 500,
        contributions: vec![ContributionCount {
            name: "works".into(),
            member: "lincoln".into(),
            license: "CC0-1.0".into(),
            source_digest: Digest::of(b"works"),
            split_sheet: vec![SplitShare { member: "lincoln".into(), basis_points: 10_000 }],
            records: 10,
            tokens: 100,
            duplicates: 0,
            held_out_records: 1,
        }],
        refused: Vec::new(),
        shards: Vec::new(),
        held_out: Vec::new(),
        records: 10,
        tokens: 100,
    };
    let key = |digest: &Digest| layout::dataset("addresses", digest);
    cluster.storage.store(HOME).put_manifest(key, &manifest).await.unwrap()
}

async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    let model = Digest::of(b"model");
    let home = json!({ "name": HOME });
    cluster.coop("basemodels", json!({
        "metadata": { "name": "smollm" },
        "spec": { "collectiveRef": home, "license": "Apache-2.0", "source": { "storageUri": "s3://presidents/m.gguf" } },
        "status": { "digest": model.to_string(),
            "conditions": [condition("Ready", "True"), condition("LicenseAllowed", "True")] },
    }));
    cluster.coop(
        "contributions",
        json!({
            "metadata": { "name": "works" },
            "spec": { "collectiveRef": home, "memberRef": { "name": "lincoln" }, "license": "CC0-1.0",
                "source": { "storageUri": "s3://presidents/works/" },
                "grants": [{ "use": "GenerativeTraining", "allowed": true }] },
        }),
    );
    let digest = version(&cluster, model).await;
    cluster.coop(
        "datasets",
        json!({
            "metadata": { "name": "addresses" },
            "spec": { "collectiveRef": home, "selector": {}, "baseModelRef": { "name": "smollm" } },
            "status": { "digest": digest.to_string() },
        }),
    );
    cluster.coop(
        "finetunes",
        json!({
            "metadata": { "name": "addresses-v1" },
            "spec": { "baseModelRef": { "name": "smollm" }, "datasetRef": { "name": "addresses" },
                "evaluation": { "gates": [
                    { "metric": "HeldOutLossDrop", "operator": "GreaterThanOrEqual", "value": "0.10" }] } },
        }),
    );
    cluster
}

async fn settled(cluster: &Cluster) -> FineTuneStatus {
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
    cluster.read::<FineTune>("finetunes", "addresses-v1").status.unwrap()
}

fn found(status: &FineTuneStatus, type_: &str) -> (String, String) {
    let found = status.conditions.iter().find(|found| found.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn waits(status: &FineTuneStatus) -> String {
    let (ready, reason) = found(status, "Ready");
    assert_eq!(ready, "False");
    reason
}

fn edit(cluster: &Cluster, change: impl FnOnce(&mut FineTune)) {
    cluster.edit("finetunes", "addresses-v1", change);
}

/// What the training Job leaves in storage, and its outcome.
async fn trained(cluster: &Cluster, job: &str, passed: bool) -> Outcome {
    let map: ConfigMap = cluster.find("v1", "configmaps", job).unwrap();
    let file: RunFile = serde_json::from_str(&map.data.unwrap()["run.json"]).unwrap();
    let Task::Train(task) = file.task else { panic!() };
    let attribution = vec![MemberWeight { member: "lincoln".into(), tokens: 100, weight: 1_000_000_000 }];
    let manifest = AdapterManifest {
        base_model: task.base_model,
        dataset: task.dataset_digest,
        lora: task.lora,
        training: task.training,
        files: Vec::new(),
        attribution: attribution.clone(),
    };
    let store = cluster.storage.store(HOME);
    let digest =
        store.put_manifest(|digest| layout::adapter(digest, "manifest.json"), &manifest).await.unwrap();
    let quality = |loss: &str| Quality { loss: loss.into(), perplexity: "1.0".into() };
    let gate = run::Gate {
        metric: run::Metric::HeldOutLossDrop,
        operator: run::GateOperator::GreaterThanOrEqual,
        value: "0.10".into(),
    };
    let evaluation = Evaluation {
        adapter: digest,
        adapter_bytes: 9_800_000,
        tokens: 10,
        base: quality("3.548"),
        adapted: quality("3.299"),
        gates: vec![GateResult { gate, measured: "0.249".into(), passed }],
        samples: Vec::new(),
        attribution,
        duration_seconds: 60,
    };
    let key = layout::adapter(&digest, "evaluation.json");
    store.put(&key, serde_json::to_vec(&evaluation).unwrap().into()).await.unwrap();
    Outcome::Succeeded { digest, key }
}

async fn through(cluster: &Cluster, passed: bool) -> FineTuneStatus {
    settled(cluster).await;
    cluster.clock.advance(SignedDuration::from_mins(10));
    let outcome = trained(cluster, "addresses-v1-1", passed).await;
    cluster.finish("addresses-v1-1", &outcome);
    settled(cluster).await
}

#[tokio::test]
async fn a_fine_tune_whose_gates_pass_ends_with_an_adapter_its_price_and_its_credit() {
    let cluster = cluster().await;
    let status = through(&cluster, true).await;
    assert_eq!(found(&status, "Ready"), ("True".into(), "Trained".into()));
    assert_eq!(found(&status, "Complete").0, "True");
    assert_eq!(status.cost.unwrap().amount, "0.1", "ten minutes at 0.60 an hour");
    assert_eq!(status.attribution[0].basis_points, 10_000);
    assert_eq!(status.evaluation.unwrap().adapted.loss, "3.299");
    let adapter = status.adapter.unwrap();
    assert!(
        adapter.storage_uri.ends_with('/') && adapter.storage_uri.starts_with("s3://"),
        "{}",
        adapter.storage_uri
    );
    let writes = cluster.writes().len();
    cluster.clock.advance(SignedDuration::from_hours(900));
    settled(&cluster).await;
    assert_eq!(cluster.writes().len(), writes, "settled means silent");
}

#[tokio::test]
async fn an_adapter_that_fails_a_gate_is_kept_and_never_ready() {
    let cluster = cluster().await;
    let status = through(&cluster, false).await;
    assert_eq!(found(&status, "Complete").0, "True");
    assert_eq!(found(&status, "Ready"), ("False".into(), "GateFailed".into()));
    assert!(status.adapter.is_some());
}

#[tokio::test]
async fn the_version_is_pinned_with_the_attempt_before_its_job_is_made() {
    let cluster = cluster().await;
    let status = settled(&cluster).await;
    let pinned = status.dataset_digest.clone().unwrap();
    let writes = cluster.writes();
    let first = writes.iter().position(|write| write.starts_with("STATUS")).unwrap();
    assert!(first < writes.iter().position(|write| write.starts_with("POST jobs")).unwrap());
    cluster.edit("datasets", "addresses", |dataset: &mut Dataset| {
        dataset.status.as_mut().unwrap().digest = Some(Digest::of(b"newer").to_string());
    });
    assert_eq!(settled(&cluster).await.dataset_digest, Some(pinned));
}

#[tokio::test]
async fn the_token_in_the_pods_secret_is_the_one_status_has_the_hash_of() {
    let cluster = cluster().await;
    let status = settled(&cluster).await;
    let secret: Secret = cluster.find("v1", "secrets", "addresses-v1-1").unwrap();
    let token = &secret.data.unwrap()["token"].0;
    assert_eq!(status.attempts[0].token_sha256, Digest::of(token).hex());
}

#[tokio::test]
async fn each_gate_names_what_it_waits_for() {
    let held = async |change: &dyn Fn(&Cluster)| {
        let cluster = cluster().await;
        change(&cluster);
        let status = settled(&cluster).await;
        assert!(
            cluster.names("batch/v1", "jobs").is_empty(),
            "nothing is spent before every gate has passed"
        );
        waits(&status)
    };
    let gone =
        |plural, name| move |cluster: &Cluster| cluster.remove("cooperator.dev/v1alpha1", plural, name);
    assert_eq!(held(&gone("datasets", "addresses")).await, "DatasetNotFound");
    assert_eq!(held(&gone("basemodels", "smollm")).await, "BaseModelNotFound");
    assert_eq!(held(&gone("collectives", HOME)).await, "CollectiveNotFound");
    assert_eq!(held(&gone("contributions", "works")).await, "ConsentWithdrawn");
    assert_eq!(
        held(&|cluster| cluster
            .edit("contributions", "works", |work: &mut Contribution| work.spec.revoked = true))
        .await,
        "ConsentWithdrawn"
    );
    assert_eq!(
        held(&|cluster| cluster.edit("datasets", "addresses", |dataset: &mut Dataset| dataset.status = None))
            .await,
        "DatasetNotReady"
    );
    assert_eq!(
        held(&|cluster| cluster.edit("basemodels", "smollm", |model: &mut BaseModel| model.status = None))
            .await,
        "BaseModelNotReady"
    );
    assert_eq!(
        held(&|cluster| edit(cluster, |tune| tune.spec.compute.max_price_per_hour = Some("0.50".into())))
            .await,
        "PriceTooHigh"
    );
    assert_eq!(
        held(&|cluster| edit(cluster, |tune| tune.spec.compute.budget = Some("0".into()))).await,
        "BudgetSpent"
    );
    assert_eq!(held(&|cluster| edit(cluster, |tune| tune.spec.suspend = true)).await, "Suspended");
}

#[tokio::test]
async fn a_budget_ends_an_attempt_before_its_money_is_spent() {
    let cluster = cluster().await;
    edit(&cluster, |tune| tune.spec.compute.budget = Some("0.30".into()));
    settled(&cluster).await;
    let job: k8s_openapi::api::batch::v1::Job = cluster.find("batch/v1", "jobs", "addresses-v1-1").unwrap();
    assert_eq!(job.spec.unwrap().active_deadline_seconds, Some(1800));
}

#[tokio::test]
async fn an_interrupted_attempt_is_followed_by_another_and_both_are_paid_for() {
    let cluster = cluster().await;
    settled(&cluster).await;
    cluster.clock.advance(SignedDuration::from_mins(10));
    let message = "SIGTERM at step 24".to_owned();
    cluster.finish("addresses-v1-1", &Outcome::Failed { reason: FailureReason::Interrupted, message });
    settled(&cluster).await;
    cluster.clock.advance(SignedDuration::from_secs(10));
    settled(&cluster).await;
    cluster.clock.advance(SignedDuration::from_mins(10));
    let outcome = trained(&cluster, "addresses-v1-2", true).await;
    cluster.finish("addresses-v1-2", &outcome);
    let status = settled(&cluster).await;
    assert_eq!(found(&status, "Ready").0, "True");
    assert_eq!(status.attempts.len(), 2);
    assert_eq!(status.cost.unwrap().amount, "0.2");
}

#[tokio::test]
async fn what_would_fail_again_is_failed_and_a_new_spec_gives_it_another_attempt() {
    let cluster = cluster().await;
    settled(&cluster).await;
    let message = "loss is NaN at step 7".to_owned();
    cluster.finish("addresses-v1-1", &Outcome::Failed { reason: FailureReason::LossNotFinite, message });
    let status = settled(&cluster).await;
    assert_eq!(found(&status, "Failed"), ("True".into(), "LossNotFinite".into()));
    cluster.remove("cooperator.dev/v1alpha1", "datasets", "addresses");
    assert_eq!(found(&settled(&cluster).await, "Failed").0, "True", "whatever else is amiss by now");
}

#[tokio::test]
async fn suspension_takes_the_job_away_and_resuming_begins_another_attempt() {
    let cluster = cluster().await;
    settled(&cluster).await;
    edit(&cluster, |tune| tune.spec.suspend = true);
    let status = settled(&cluster).await;
    assert_eq!(found(&status, "Suspended").0, "True");
    assert_eq!(status.attempts[0].reason.as_deref(), Some("Suspended"));
    assert!(cluster.names("batch/v1", "jobs").is_empty());
    edit(&cluster, |tune| tune.spec.suspend = false);
    settled(&cluster).await;
    assert_eq!(cluster.names("batch/v1", "jobs"), ["addresses-v1-2"]);
}

#[tokio::test]
async fn an_operator_killed_after_any_write_trains_once() {
    for cut in 1..=12 {
        let cluster = cluster().await;
        cluster.cut_after(cut);
        let status = through(&cluster, true).await;
        assert_eq!(found(&status, "Ready").0, "True", "cut after write {cut}");
        assert_eq!(status.attempts.len(), 1, "cut after write {cut}");
        assert_eq!(status.cost.unwrap().amount, "0.1", "cut after write {cut}");
    }
}

#[tokio::test]
async fn a_finished_job_stays_until_its_end_was_read_even_where_the_spec_would_drop_it_at_once() {
    let cluster = cluster().await;
    edit(&cluster, |tune| tune.spec.ttl_seconds_after_finished = 0);
    settled(&cluster).await;
    let job: k8s_openapi::api::batch::v1::Job = cluster.find("batch/v1", "jobs", "addresses-v1-1").unwrap();
    assert_eq!(job.spec.unwrap().ttl_seconds_after_finished, Some(300));
}
