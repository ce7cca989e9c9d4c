use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{cluster, edit, found, settled, trained, waits};
use crate::testing::Cluster;

/// The pod of an attempt's Job runs since now.
fn runs(cluster: &Cluster, job: &str) {
    let now = cooperator_core::time::Clock::now(&cluster.clock).to_string();
    cluster.put(
        "v1",
        "pods",
        json!({
            "metadata": { "name": format!("{job}-x"), "labels": { "batch.kubernetes.io/job-name": job } },
            "spec": { "nodeName": "node0", "containers": [] },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "run", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": { "startedAt": now } },
            }] },
        }),
    );
}

/// The Job stays when it is deleted, as it does until its pod is gone.
fn outlives_its_deletion(cluster: &Cluster, job: &str) {
    let mut object: Value = cluster.find("batch/v1", "jobs", job).unwrap();
    object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    cluster.put("batch/v1", "jobs", object);
}

/// The pod reports progress.
fn reports(cluster: &Cluster) {
    let now = cooperator_core::time::Clock::now(&cluster.clock).to_string();
    let progress: Value = json!({ "percentage": 10, "phase": "training", "lastUpdatedTime": now });
    edit(cluster, |tune| {
        tune.status.as_mut().unwrap().progress = serde_json::from_value(progress).unwrap();
    });
}

#[tokio::test]
async fn a_hung_training_is_named_stopped_and_followed_by_another_attempt() {
    let cluster = cluster().await;
    settled(&cluster).await;
    runs(&cluster, "addresses-v1-1");
    cluster.clock.advance(SignedDuration::from_secs(1700));
    reports(&cluster);
    cluster.clock.advance(SignedDuration::from_secs(1700));
    assert_eq!(waits(&settled(&cluster).await), "Training", "it reported 1700 seconds ago");
    outlives_its_deletion(&cluster, "addresses-v1-1");
    cluster.clock.advance(SignedDuration::from_secs(100));
    let status = settled(&cluster).await;
    assert_eq!(waits(&status), "Stalled", "while its pod still goes");
    assert_eq!(status.attempts[0].ended_at, None);
    assert_eq!(cluster.names("batch/v1", "jobs"), ["addresses-v1-1"]);
    cluster.remove("batch/v1", "jobs", "addresses-v1-1");
    let status = settled(&cluster).await;
    assert_eq!(waits(&status), "Stalled");
    assert_eq!(status.attempts[0].reason.as_deref(), Some("Stalled"));
    assert!(status.attempts[0].message.as_deref().unwrap().contains("spec.progressDeadlineSeconds"));
    cluster.clock.advance(SignedDuration::from_secs(10));
    settled(&cluster).await;
    assert_eq!(cluster.names("batch/v1", "jobs"), ["addresses-v1-2"]);
    let outcome = trained(&cluster, "addresses-v1-2", true).await;
    cluster.finish("addresses-v1-2", &outcome);
    assert_eq!(found(&settled(&cluster).await, "Ready").0, "True");
}

#[tokio::test]
async fn an_operator_killed_after_any_write_stops_a_hung_training_once() {
    for cut in 1..=4 {
        let cluster = cluster().await;
        settled(&cluster).await;
        runs(&cluster, "addresses-v1-1");
        cluster.clock.advance(SignedDuration::from_secs(1801));
        cluster.cut_after(cut);
        let status = settled(&cluster).await;
        assert!(cluster.was_cut(), "it writes at least {cut} times");
        assert_eq!(status.attempts.len(), 1, "cut after write {cut}");
        assert_eq!(status.attempts[0].reason.as_deref(), Some("Stalled"), "cut after write {cut}");
        assert!(status.attempts[0].ended_at.is_some(), "cut after write {cut}");
    }
}
