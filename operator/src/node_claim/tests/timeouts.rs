//! How long a machine may take for what, as its Provider and its pool say.

use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_core::time::SignedDuration;
use cooperator_providers::State;
use serde_json::{Value, json};

use crate::testing::HOME;
use crate::testing::market::{Renting, billed, told};

fn timeouts(renting: &Renting, timeouts: Value) {
    renting.cluster.edit("providers", "one", |provider: &mut Provider| {
        provider.spec.timeouts = serde_json::from_value(timeouts.clone()).unwrap();
    });
}

/// A claim whose machine has joined and can work.
async fn ready(renting: &Renting) -> NodeClaim {
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    renting.join("m", "8Gi");
    renting.run("m", 10).await;
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    renting.read("m")
}

/// A pod on the machine of the claim.
fn pod(renting: &Renting, name: &str, phase: &str, owner: &str) {
    let node = renting.read("m").status.unwrap().node_name;
    let owner = json!([{ "apiVersion": "v1", "kind": owner, "name": "o", "uid": "o" }]);
    renting.cluster.put("v1", "pods", json!({
        "metadata": { "name": name, "namespace": HOME, "ownerReferences": owner }, "spec": { "nodeName": node, "containers": [] },
        "status": { "phase": phase },
    }));
}

#[tokio::test]
async fn a_machine_that_does_not_run_in_time_is_given_back_and_the_next_is_taken() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60"), ("b", "0.70")]);
    timeouts(&renting, json!({ "launch": "2m", "registration": "15m", "idle": "5m" }));
    one.boots_in(SignedDuration::from_hours(1));
    renting.claim("m", json!({}));
    renting.run("m", 110).await;
    assert_eq!(renting.read("m").status.unwrap().launches.len(), 1);
    renting.run("m", 60).await;
    let launches = renting.read("m").status.unwrap().launches;
    assert_eq!(launches[0].reason.as_deref(), Some("LaunchTimeout"));
    assert_eq!(launches[1].offer["id"], "b");
}

#[tokio::test]
async fn a_machine_that_does_not_join_in_the_time_of_its_provider_is_given_back() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60"), ("b", "0.70")]);
    timeouts(&renting, json!({ "launch": "10m", "registration": "3m", "idle": "5m" }));
    renting.claim("m", json!({}));
    renting.run("m", 180).await;
    assert_eq!(renting.read("m").status.unwrap().launches.len(), 1);
    renting.run("m", 90).await;
    let launches = renting.read("m").status.unwrap().launches;
    assert_eq!(launches[0].reason.as_deref(), Some("RegistrationTimeout"));
    assert_eq!(launches[1].offer["id"], "b");
}

#[tokio::test]
async fn a_machine_for_which_no_pod_comes_is_given_back_and_accounted_for() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    timeouts(&renting, json!({ "launch": "10m", "registration": "15m", "idle": "4m" }));
    ready(&renting).await;
    pod(&renting, "everywhere", "Running", "DaemonSet");
    renting.run("m", 220).await;
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    renting.run("m", 3600).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "InstanceTerminating"), ("True".into(), "Idle".into()));
    assert_eq!(told(&claim, "Accounted").0, "True");
    assert!(one.instances().iter().all(|instance| instance.state == State::Over));
    assert_eq!(claim.status.clone().unwrap().cost.unwrap().amount, billed(&one).to_string());
    let conditions = claim.status.unwrap().conditions;
    let ending = conditions.iter().find(|found| found.type_ == "InstanceTerminating").unwrap();
    assert!(ending.message.contains("timeouts.idle of its Provider (4m)"), "{}", ending.message);
}

#[tokio::test]
async fn a_machine_that_works_is_kept_and_its_time_begins_when_its_last_pod_has_ended() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    timeouts(&renting, json!({ "launch": "10m", "registration": "15m", "idle": "5m" }));
    ready(&renting).await;
    pod(&renting, "train", "Running", "Job");
    renting.run("m", 1800).await;
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    assert_eq!(told(&renting.read("m"), "Empty"), ("False".into(), "Working".into()));
    pod(&renting, "train", "Succeeded", "Job");
    renting.run("m", 270).await;
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    renting.run("m", 60).await;
    assert_eq!(told(&renting.read("m"), "InstanceTerminating"), ("True".into(), "Idle".into()));
}

#[tokio::test]
async fn a_pool_can_keep_machines_without_work_for_longer() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    timeouts(&renting, json!({ "launch": "10m", "registration": "15m", "idle": "5m" }));
    renting.cluster.edit("nodepools", "cheap", |pool: &mut NodePool| {
        pool.spec.disruption.consolidate_after = "30m".into();
    });
    ready(&renting).await;
    renting.run("m", 1500).await;
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    renting.run("m", 400).await;
    assert_eq!(told(&renting.read("m"), "InstanceTerminating"), ("True".into(), "Idle".into()));
}
