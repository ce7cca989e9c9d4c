//! Machines that a run finds unfit before its first step.

use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_api::provider::Provider;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::preflight::Floors;
use cooperator_contract::run::RunFile;
use cooperator_providers::testing::Fake;
use k8s_openapi::api::core::v1::ConfigMap;
use reqwest::StatusCode;
use serde_json::json;

use super::contained::{World, made, token};
use super::rented::{claims, lives, renting, run};
use super::{edit, found, trained};
use crate::testing::Cluster;
use crate::testing::market::{Renting, billed, told};

fn unfit() -> Outcome {
    let message = "the machine is not fit for the run: its CPUs do 0 GFLOP/s, less than 1".to_owned();
    Outcome::Failed { reason: FailureReason::PreflightFailed, message }
}

/// A Provider with two hosts, the cheaper of which has the first attempt; no failure is allowed for.
async fn begun() -> (Renting, Fake) {
    let renting = renting().await;
    edit(&renting.cluster, |tune| tune.spec.backoff_limit = 0);
    let vendor = renting.provider("one", &[("a", "0.40"), ("b", "0.60")]);
    run(&renting, 60).await;
    renting.join("addresses-v1-m1", "8Gi");
    run(&renting, 20).await;
    (renting, vendor)
}

fn blocked(cluster: &Cluster) -> Vec<(String, String)> {
    let provider: Provider = cluster.read("providers", "one");
    let all = provider.status.unwrap_or_default().blocked_hosts;
    all.into_iter().map(|block| (block.host, block.reason)).collect()
}

fn assert_blocked(cluster: &Cluster) {
    assert_eq!(blocked(cluster), [("host-of-a".to_owned(), "PreflightFailed".to_owned())]);
}

/// Which offer the claim has.
fn offer(renting: &Renting, claim: &str) -> String {
    renting.read(claim).status.unwrap().offer.unwrap().id
}

#[tokio::test]
async fn an_unfit_machine_is_given_back_and_blocked_and_the_next_attempt_goes_on_on_another_for_free() {
    let (renting, vendor) = begun().await;
    renting.cluster.finish("addresses-v1-1", &unfit());
    let status = run(&renting, 120).await;
    assert_blocked(&renting.cluster);
    assert_eq!(status.attempts[0].reason.as_deref(), Some("PreflightFailed"));
    assert_eq!(offer(&renting, "addresses-v1-m2"), "b");
    assert_eq!(lives(&vendor), 1);
    renting.join("addresses-v1-m2", "8Gi");
    run(&renting, 20).await;
    let outcome = trained(&renting.cluster, "addresses-v1-2", true).await;
    renting.cluster.finish("addresses-v1-2", &outcome);
    let status = run(&renting, 3600).await;
    assert_eq!(found(&status, "Ready").0, "True");
    assert_eq!(status.machines.len(), 2);
    assert_eq!(status.cost.unwrap().amount, billed(&vendor).to_string(), "both are paid for");
    assert!(claims(&renting.cluster).is_empty());
}

/// The pod on this node says so, and its Job not yet.
fn pod_ends(renting: &Renting, node: &str) {
    let job: serde_json::Value = renting.cluster.find("batch/v1", "jobs", "addresses-v1-1").unwrap();
    renting.cluster.finish("addresses-v1-1", &unfit());
    renting.cluster.put("batch/v1", "jobs", job);
    let mut pod: serde_json::Value = renting.cluster.find("v1", "pods", "addresses-v1-1-x").unwrap();
    pod["spec"]["nodeName"] = json!(node);
    pod["status"]["phase"] = json!("Failed");
    renting.cluster.put("v1", "pods", pod);
}

#[tokio::test]
async fn an_attempt_whose_claim_ended_before_its_job_did_was_unfit_and_not_preempted() {
    let (renting, vendor) = begun().await;
    let node = renting.read("addresses-v1-m1").status.unwrap().node_name.unwrap();
    pod_ends(&renting, &node);
    run(&renting, 30).await;
    assert_blocked(&renting.cluster);
    renting.cluster.remove("batch/v1", "jobs", "addresses-v1-1");
    let status = run(&renting, 120).await;
    assert_eq!(status.attempts[0].reason.as_deref(), Some("PreflightFailed"));
    assert_eq!((offer(&renting, "addresses-v1-m2").as_str(), lives(&vendor)), ("b", 1));
}

#[tokio::test]
async fn the_claim_is_ended_by_what_its_pod_says_before_the_attempt_is_written_down() {
    let (renting, _vendor) = begun().await;
    let node = renting.read("addresses-v1-m1").status.unwrap().node_name.unwrap();
    pod_ends(&renting, &node);
    // Somebody deletes it at that very moment.
    renting.delete("addresses-v1-m1").await;
    renting.run("addresses-v1-m1", 30).await;
    assert_eq!(
        told(&renting.read("addresses-v1-m1"), "InstanceTerminating"),
        ("True".into(), "PreflightFailed".into())
    );
    assert_blocked(&renting.cluster);
}

#[tokio::test]
async fn an_operator_killed_after_any_write_blocks_the_host_and_takes_another() {
    for cut in 1..=16 {
        let (renting, vendor) = begun().await;
        renting.cluster.finish("addresses-v1-1", &unfit());
        renting.cluster.cut_after(cut);
        run(&renting, 180).await;
        assert_blocked(&renting.cluster);
        assert_eq!(offer(&renting, "addresses-v1-m2"), "b", "cut after write {cut}");
        assert_eq!(lives(&vendor), 1, "cut after write {cut}");
    }
}

#[tokio::test]
async fn the_floors_of_the_pool_reach_a_rented_machine() {
    let renting = renting().await;
    renting.pool(json!({ "preflight": { "minGflops": 7, "maxModelDownload": "30m" } }));
    renting.provider("one", &[("a", "0.40")]);
    run(&renting, 60).await;
    renting.join("addresses-v1-m1", "8Gi");
    run(&renting, 20).await;
    let map: ConfigMap = renting.cluster.find("v1", "configmaps", "addresses-v1-1").unwrap();
    let file: RunFile = serde_json::from_str(&map.data.unwrap()["run.json"]).unwrap();
    let floors = Floors {
        gflops: 7,
        disk_mib_per_second: 2,
        download_mbit_per_second: 2,
        upload_mbit_per_second: 2,
        model_download_seconds: 1800,
    };
    assert_eq!(file.preflight, Some(floors));
}

#[tokio::test]
async fn an_unfit_container_is_ended_as_that_and_what_it_measured_stays_with_it() {
    let world = World::new().await;
    edit(&world.renting.cluster, |tune| tune.spec.backoff_limit = 0);
    let vendor = world.renting.container("one", &[("a", "0.40"), ("b", "0.60")]);
    let container = world.running(&vendor, 1).await;
    let measured = json!({ "gflops": 0, "diskMibPerSecond": 90, "downloadMbitPerSecond": 200,
        "uploadMbitPerSecond": 40, "modelDownloadSeconds": 3 });
    let report =
        json!({ "attempt": 1, "phase": "preflight", "progressPercentage": 0, "preflight": measured });
    let (code, text) = world.post(&world.url(&container, "progress"), token(&container), &report).await;
    assert_eq!(code, StatusCode::OK, "{text}");
    world.ends(&vendor, &container, &unfit()).await;
    world.running(&vendor, 2).await;
    assert_blocked(&world.renting.cluster);
    let tune: FineTune = world.renting.cluster.read("finetunes", "addresses-v1");
    let FineTuneStatus { machines, attempts, .. } = tune.status.unwrap();
    assert_eq!(attempts[0].reason.as_deref(), Some("PreflightFailed"));
    let first = machines[0].preflight.clone().unwrap();
    assert_eq!((first.attempt, first.disk_mib_per_second, first.upload_mbit_per_second), (1, 90, 40));
    assert_eq!(machines[1].preflight, None, "what the first machine measured is not said of the second");
    assert_eq!((offer(&world.renting, "addresses-v1-m2").as_str(), made(&vendor)), ("b", 2));
}
