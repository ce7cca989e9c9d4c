use cooperator_api::collective::{Collective, Departed};
use cooperator_api::names::ANNOTATION_SETTLE_THROUGH;
use cooperator_api::settlement::Settlement;
use cooperator_contract::layout;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::{RunFile, Task};
use cooperator_contract::settle::SettleTask;
use cooperator_core::digest::Digest;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::reconcile::reconcile;
use crate::settle;
use crate::settlement::tests::statement;
use crate::testing::{Cluster, HOME};

async fn settled(cluster: &Cluster) -> Collective {
    settle!(cluster, Collective, "collectives", HOME, reconcile);
    cluster.read("collectives", HOME)
}

fn annotate(cluster: &Cluster, through: &str) {
    cluster.edit("collectives", HOME, |collective: &mut Collective| {
        collective.metadata.annotations =
            Some([(ANNOTATION_SETTLE_THROUGH.to_owned(), through.to_owned())].into());
    });
}

fn newest_job(cluster: &Cluster) -> String {
    let mut jobs: Vec<String> = cluster.names("batch/v1", "jobs");
    jobs.retain(|job| cluster.find::<serde_json::Value>("v1", "pods", &format!("{job}-x")).is_none());
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn task_of(cluster: &Cluster, job: &str) -> SettleTask {
    let map: ConfigMap = cluster.find("v1", "configmaps", job).unwrap();
    let file: RunFile = serde_json::from_str(&map.data.unwrap()["run.json"]).unwrap();
    let Task::Settle(task) = file.task else { panic!() };
    *task
}

/// Does what the settle Job would.
async fn compute(cluster: &Cluster) -> SettleTask {
    let job = newest_job(cluster);
    let task = task_of(cluster, &job);
    let key = |digest: &Digest| layout::statement(&task.period.name, digest, "statement.json");
    let digest = cluster.storage.store(HOME).put_manifest(key, &statement(task.clone())).await.unwrap();
    cluster.finish(&job, &Outcome::Succeeded { digest, key: key(&digest) });
    task
}

fn settlements(cluster: &Cluster) -> Vec<String> {
    cluster.names("cooperator.dev/v1alpha1", "settlements")
}

fn days(cluster: &Cluster, days: i64) {
    cluster.clock.advance(SignedDuration::from_hours(24 * days));
}

#[tokio::test]
async fn a_period_is_closed_when_its_end_and_the_time_to_wait_are_over() {
    let cluster = Cluster::new().await;
    days(&cluster, 7); // December 1st, 12:00: within closeAfter of 24 h
    settled(&cluster).await;
    assert!(cluster.names("batch/v1", "jobs").is_empty());
    days(&cluster, 1);
    let collective = settled(&cluster).await;
    assert_eq!(collective.status.unwrap().settling.unwrap().period, "2026-11");
    let task = compute(&cluster).await;
    assert_eq!(task.period.start.to_string(), "2026-11-01T00:00:00Z");
    let collective = settled(&cluster).await;
    assert_eq!(settlements(&cluster), ["presidents-2026-11"]);
    let status = collective.status.unwrap();
    assert_eq!(status.settling, None);
    assert_eq!(status.last_settlement.as_deref(), Some("presidents-2026-11"));
    assert!(status.storage.is_some(), "what another controller wrote stays");
}

#[tokio::test]
async fn the_annotation_closes_the_open_period_early_and_the_rest_follows_from_there() {
    let cluster = Cluster::new().await;
    annotate(&cluster, "2026-11-24T11:00:00Z");
    settled(&cluster).await;
    let first = compute(&cluster).await;
    settled(&cluster).await;
    assert_eq!(settlements(&cluster), ["presidents-2026-11-to-20261124t110000z"]);
    days(&cluster, 8);
    settled(&cluster).await;
    let second = compute(&cluster).await;
    assert_eq!(second.period.start, first.period.end);
    assert_eq!(second.previous.unwrap().period, first.period.name);
}

#[tokio::test]
async fn an_annotation_in_the_future_or_unreadable_closes_nothing() {
    let cluster = Cluster::new().await;
    for through in ["2026-11-24T13:00:00Z", "soon"] {
        annotate(&cluster, through);
        settled(&cluster).await;
        assert!(cluster.names("batch/v1", "jobs").is_empty(), "{through}");
    }
}

#[tokio::test]
async fn a_period_that_was_begun_keeps_its_end_whatever_the_annotation_says_by_then() {
    let cluster = Cluster::new().await;
    annotate(&cluster, "2026-11-24T11:00:00Z");
    settled(&cluster).await;
    annotate(&cluster, "2026-11-24T11:30:00Z");
    settled(&cluster).await;
    assert_eq!(compute(&cluster).await.period.end.to_string(), "2026-11-24T11:00:00Z");
}

#[tokio::test]
async fn a_fine_tune_is_paid_for_in_one_period_only() {
    let cluster = Cluster::new().await;
    let home = json!({ "name": HOME });
    cluster.coop(
        "datasets",
        json!({
            "metadata": { "name": "addresses" },
            "spec": { "collectiveRef": home, "selector": {}, "baseModelRef": { "name": "smollm" } },
        }),
    );
    cluster.coop("finetunes", json!({
        "metadata": { "name": "v1" },
        "spec": { "baseModelRef": { "name": "smollm" }, "datasetRef": { "name": "addresses" } },
        "status": {
            "adapter": { "digest": Digest::of(b"adapter").to_string(), "storageUri": "s3://x/", "bytes": 1 },
            "cost": { "amount": "0.02", "currency": "USD" },
            "attempts": [{ "number": 1, "job": "v1-1", "tokenSha256": "", "startedAt": "2026-11-24T10:00:00Z",
                "endedAt": "2026-11-24T10:02:00Z", "reason": "Succeeded" }],
        },
    }));
    annotate(&cluster, "2026-11-24T11:00:00Z");
    let collective = settled(&cluster).await;
    assert_eq!(collective.status.unwrap().spent.unwrap().amount, "0.02");
    let first = compute(&cluster).await;
    assert_eq!((first.costs[0].fine_tune.as_str(), first.costs[0].amount.as_str()), ("v1", "0.02"));
    settled(&cluster).await;
    annotate(&cluster, "2026-11-24T12:00:00Z");
    settled(&cluster).await;
    assert!(compute(&cluster).await.costs.is_empty());
}

#[tokio::test]
async fn a_fine_tune_that_was_deleted_before_its_period_closed_is_paid_for_once() {
    let cluster = Cluster::new().await;
    cluster.edit("collectives", HOME, |collective: &mut Collective| {
        collective.status.as_mut().unwrap().departed = vec![Departed {
            uid: "gone".into(),
            fine_tune: "v1".into(),
            cost: "0.02".into(),
            ended_at: "2026-11-24T10:02:00Z".into(),
        }];
    });
    annotate(&cluster, "2026-11-24T11:00:00Z");
    let collective = settled(&cluster).await;
    assert_eq!(collective.status.unwrap().spent.unwrap().amount, "0.02", "the budget knows it, too");
    let first = compute(&cluster).await;
    assert_eq!((first.costs[0].fine_tune.as_str(), first.costs[0].amount.as_str()), ("v1", "0.02"));
    let collective = settled(&cluster).await;
    assert_eq!(collective.status.unwrap().departed, []);
    annotate(&cluster, "2026-11-24T12:00:00Z");
    settled(&cluster).await;
    assert!(compute(&cluster).await.costs.is_empty());
}

#[tokio::test]
async fn an_operator_killed_after_any_write_settles_a_period_once() {
    for cut in 1..=8 {
        let cluster = Cluster::new().await;
        annotate(&cluster, "2026-11-24T11:00:00Z");
        cluster.cut_after(cut);
        settled(&cluster).await;
        compute(&cluster).await;
        let collective = settled(&cluster).await;
        assert_eq!(settlements(&cluster).len(), 1, "cut after write {cut}");
        let last = collective.status.unwrap().last_settlement;
        assert_eq!(last.as_ref(), settlements(&cluster).first(), "cut after write {cut}");
        let jobs = cluster.writes().iter().filter(|write| write.starts_with("POST jobs")).count();
        assert_eq!(jobs, 1, "cut after write {cut}");
    }
}

#[tokio::test]
async fn a_settle_run_that_failed_is_tried_again_and_status_says_why() {
    let cluster = Cluster::new().await;
    annotate(&cluster, "2026-11-24T11:00:00Z");
    settled(&cluster).await;
    let message = "gateway a: sequence 7 follows 5".to_owned();
    cluster
        .finish(&newest_job(&cluster), &Outcome::Failed { reason: FailureReason::UsageLogBroken, message });
    let settling = settled(&cluster).await.status.unwrap().settling.unwrap();
    assert!(settling.message.unwrap().contains("sequence 7 follows 5"));
    let job = cluster.names("batch/v1", "jobs").remove(0);
    cluster.remove("batch/v1", "jobs", &job);
    cluster.remove("v1", "pods", &format!("{job}-x"));
    settled(&cluster).await;
    assert_eq!(newest_job(&cluster), job, "deleting the Job tries again");
}

#[tokio::test]
async fn a_settlement_of_that_name_that_says_something_else_stops_the_operator() {
    let cluster = Cluster::new().await;
    annotate(&cluster, "2026-11-24T11:00:00Z");
    settled(&cluster).await;
    let task = compute(&cluster).await;
    let mut other = statement(task);
    other.gross = "1000000".into();
    let settlement = crate::settlement::build::settlement(HOME, &other, &Digest::of(b"x"), "s3://x/".into());
    let mut foreign = serde_json::to_value(&settlement).unwrap();
    foreign["spec"]["collectiveRef"]["name"] = json!("somebody-else");
    cluster.coop("settlements", foreign);
    let collective = std::sync::Arc::new(cluster.read::<Collective>("collectives", HOME));
    assert!(reconcile(collective, cluster.pipeline.clone()).await.is_err());
    let kept: Settlement = cluster.read("settlements", &settlement.metadata.name.unwrap());
    assert_eq!(kept.spec.gross, "1000000");
}
