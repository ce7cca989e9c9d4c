use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::{Dataset, Decision, Refresh};
use cooperator_contract::layout;
use cooperator_contract::manifest::{ContributionCount, DatasetManifest};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::{RunFile, Task};
use cooperator_core::digest::Digest;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::reconcile::reconcile;
use crate::settle;
use crate::testing::{Cluster, HOME, condition};

fn work(name: &str, member: &str, license: &str) -> serde_json::Value {
    json!({
        "metadata": { "name": name, "labels": { "corpus": "sotu" } },
        "spec": {
            "collectiveRef": { "name": HOME }, "memberRef": { "name": member }, "license": license,
            "source": { "storageUri": format!("s3://presidents/incoming/{name}/") },
            "grants": [{ "use": "GenerativeTraining", "allowed": true }],
        },
    })
}

async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    cluster.coop("basemodels", json!({
        "metadata": { "name": "smollm" },
        "spec": {
            "collectiveRef": { "name": HOME }, "license": "Apache-2.0",
            "source": { "storageUri": "s3://presidents/incoming/model.gguf" },
        },
        "status": { "digest": Digest::of(b"model").to_string(), "conditions": [condition("Imported", "True")] },
    }));
    cluster.coop("contributions", work("grant-works", "grant", "CC0-1.0"));
    cluster.coop("contributions", work("lincoln-works", "lincoln", "PDDL-1.0"));
    cluster.coop("contributions", work("closed-works", "grant", "GPL-3.0-only"));
    cluster.coop(
        "datasets",
        json!({
            "metadata": { "name": "addresses" },
            "spec": {
                "collectiveRef": { "name": HOME }, "selector": { "matchLabels": { "corpus": "sotu" } },
                "baseModelRef": { "name": "smollm" },
            },
        }),
    );
    cluster
}

async fn settled(cluster: &Cluster) -> Dataset {
    settle!(cluster, Dataset, "datasets", "addresses", reconcile);
    cluster.read("datasets", "addresses")
}

fn condition_of(dataset: &Dataset, type_: &str) -> (String, String) {
    let conditions = &dataset.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|found| found.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn newest_job(cluster: &Cluster) -> String {
    let dataset: Dataset = cluster.read("datasets", "addresses");
    dataset.status.unwrap().attempts.last().unwrap().job.clone()
}

/// Does what the ingest Job would: each contribution gives as many tokens as its name has letters.
async fn ingest(cluster: &Cluster) {
    let job = newest_job(cluster);
    let map: ConfigMap = cluster.find("v1", "configmaps", &job).unwrap();
    let file: RunFile = serde_json::from_str(&map.data.unwrap()["run.json"]).unwrap();
    let Task::Ingest(task) = file.task else { panic!() };
    let count = |work: &cooperator_contract::run::IngestContribution| ContributionCount {
        name: work.name.clone(),
        member: work.member.clone(),
        license: work.license.clone(),
        source_digest: Digest::of(work.name.as_bytes()),
        split_sheet: work.split_sheet.clone(),
        records: 2,
        tokens: work.name.len() as u64,
        duplicates: 1,
        held_out_records: 0,
    };
    let contributions: Vec<_> = task.contributions.iter().map(count).collect();
    let manifest = DatasetManifest {
        base_model: task.base_model,
        text: task.text,
        deduplicate: task.deduplicate,
        holdout_basis_points: task.holdout_basis_points,
        records: 2 * contributions.len() as u64,
        tokens: contributions.iter().map(|work| work.tokens).sum(),
        contributions,
        refused: task.refused,
        shards: Vec::new(),
        held_out: Vec::new(),
    };
    let key = |digest: &Digest| layout::dataset("addresses", digest);
    let digest = cluster.storage.store(HOME).put_manifest(key, &manifest).await.unwrap();
    cluster.finish(&job, &Outcome::Succeeded { digest, key: key(&digest) });
}

fn revoke(cluster: &Cluster, name: &str) {
    cluster.edit("contributions", name, |work: &mut Contribution| work.spec.revoked = true);
}

#[tokio::test]
async fn accepted_works_are_built_and_the_refused_one_is_named_with_its_reason() {
    let cluster = cluster().await;
    settled(&cluster).await;
    ingest(&cluster).await;
    let dataset = settled(&cluster).await;
    assert_eq!(condition_of(&dataset, "Ready"), ("True".into(), "Built".into()));
    assert_eq!(condition_of(&dataset, "ConsentGiven"), ("True".into(), "SomeRefused".into()));
    let status = dataset.status.unwrap();
    let rows: Vec<_> =
        status.contributions.iter().map(|row| (row.name.as_str(), row.state, row.tokens)).collect();
    assert_eq!(
        rows,
        [
            ("closed-works", Decision::Refused, None),
            ("grant-works", Decision::Accepted, Some(11)),
            ("lincoln-works", Decision::Accepted, Some(13)),
        ]
    );
    assert_eq!(status.contributions[0].reason.as_deref(), Some("LicenseNotAllowed"));
    let members: Vec<_> =
        status.members.iter().map(|member| (member.name.as_str(), member.basis_points)).collect();
    assert_eq!(members, [("grant", 4583), ("lincoln", 5417)]);
    assert_eq!(status.tokens, Some(24));
    assert_eq!(cluster.events().iter().filter(|event| *event == "Warning LicenseNotAllowed").count(), 1);
}

#[tokio::test]
async fn nothing_is_built_twice_from_the_same_inputs() {
    let cluster = cluster().await;
    settled(&cluster).await;
    ingest(&cluster).await;
    settled(&cluster).await;
    let writes = cluster.writes().len();
    cluster.edit("contributions", "grant-works", |work: &mut Contribution| {
        work.metadata.annotations = Some([("note".to_owned(), "new".to_owned())].into());
    });
    settled(&cluster).await;
    assert_eq!(cluster.writes().len(), writes);
}

#[tokio::test]
async fn a_revoked_work_makes_another_version_without_it() {
    let cluster = cluster().await;
    settled(&cluster).await;
    ingest(&cluster).await;
    let first = settled(&cluster).await.status.unwrap().digest;
    revoke(&cluster, "grant-works");
    let meanwhile = settled(&cluster).await;
    assert_eq!(
        meanwhile.status.as_ref().unwrap().digest,
        first,
        "the version before stays until the next is good"
    );
    assert_eq!(condition_of(&meanwhile, "Ready").0, "True");
    ingest(&cluster).await;
    let after = settled(&cluster).await.status.unwrap();
    assert_ne!(after.digest, first);
    assert_eq!(after.members.len(), 1);
}

#[tokio::test]
async fn a_build_that_fails_takes_the_good_version_not_away() {
    let cluster = cluster().await;
    settled(&cluster).await;
    ingest(&cluster).await;
    let first = settled(&cluster).await.status.unwrap().digest;
    revoke(&cluster, "grant-works");
    settled(&cluster).await;
    let message = "row 3 of lincoln.jsonl is no JSON object".to_owned();
    cluster
        .finish(&newest_job(&cluster), &Outcome::Failed { reason: FailureReason::SourceUnreadable, message });
    cluster.clock.advance(SignedDuration::from_hours(2));
    let dataset = settled(&cluster).await;
    assert_eq!(condition_of(&dataset, "SourcesRead"), ("False".into(), "SourceUnreadable".into()));
    assert_eq!(condition_of(&dataset, "Ready").0, "True");
    assert_eq!(dataset.status.unwrap().digest, first);
}

#[tokio::test]
async fn a_build_of_inputs_that_changed_is_stopped_and_another_begun() {
    let cluster = cluster().await;
    settled(&cluster).await;
    let first = newest_job(&cluster);
    revoke(&cluster, "grant-works");
    settled(&cluster).await;
    assert_ne!(newest_job(&cluster), first);
    assert_eq!(cluster.names("batch/v1", "jobs"), [newest_job(&cluster)]);
}

#[tokio::test]
async fn manual_refresh_builds_only_for_a_new_spec() {
    let cluster = cluster().await;
    cluster.edit("datasets", "addresses", |dataset: &mut Dataset| dataset.spec.refresh = Refresh::Manual);
    settled(&cluster).await;
    ingest(&cluster).await;
    let first = settled(&cluster).await.status.unwrap().digest;
    revoke(&cluster, "grant-works");
    let kept = settled(&cluster).await;
    assert_eq!(kept.status.as_ref().unwrap().building, kept.status.as_ref().unwrap().inputs_digest);
    cluster.edit("datasets", "addresses", |dataset: &mut Dataset| dataset.spec.text.record_tokens = 256);
    settled(&cluster).await;
    ingest(&cluster).await;
    assert_ne!(settled(&cluster).await.status.unwrap().digest, first);
}

#[tokio::test]
async fn without_any_consent_nothing_is_built_and_the_first_reason_is_told() {
    let cluster = cluster().await;
    cluster.edit("datasets", "addresses", |dataset: &mut Dataset| {
        dataset.spec.selector =
            serde_json::from_value(json!({ "matchLabels": { "corpus": "none" } })).unwrap();
    });
    let dataset = settled(&cluster).await;
    assert_eq!(condition_of(&dataset, "Ready"), ("False".into(), "NoContributions".into()));
    assert_eq!(condition_of(&dataset, "ConsentGiven").0, "False");
    assert!(cluster.names("batch/v1", "jobs").is_empty());
}

#[tokio::test]
async fn an_operator_killed_after_any_write_builds_the_same_version_once() {
    for cut in 1..=10 {
        let cluster = cluster().await;
        cluster.cut_after(cut);
        settled(&cluster).await;
        ingest(&cluster).await;
        let dataset = settled(&cluster).await;
        assert_eq!(condition_of(&dataset, "Ready").0, "True", "cut after write {cut}");
        assert_eq!(dataset.status.unwrap().attempts.len(), 1, "cut after write {cut}");
        assert_eq!(cluster.names("batch/v1", "jobs").len(), 1, "cut after write {cut}");
    }
}
