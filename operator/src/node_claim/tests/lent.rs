//! Nodes of the cluster that are lent for work.

use cooperator_api::collective::Collective;
use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use serde_json::json;

use crate::testing::HOME;
use crate::testing::market::{Renting, told};

fn node(renting: &Renting, name: &str) -> Node {
    renting.cluster.find("v1", "nodes", name).unwrap()
}

fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.into_iter().map(|taint| taint.key).collect()
}

#[tokio::test]
async fn a_claim_takes_a_node_that_is_there_and_gives_it_back_as_it_was() {
    let renting = Renting::new().await;
    renting.lend("one", &["attic"]);
    let before = node(&renting, "attic");
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "Ready"), ("True".into(), "Ready".into()));
    let status = claim.status.clone().unwrap();
    assert_eq!((status.node_name.as_deref(), status.bootstrap), (Some("attic"), None));
    let taken = node(&renting, "attic");
    assert_eq!(taken.labels()["node-restriction.kubernetes.io/cooperator-node-claim"], claim.uid().unwrap());
    assert_eq!(taken.labels()["cooperator.dev/node-claim"], "m");
    assert_eq!(taints(&taken), ["example.org/attic", "cooperator.dev/rented"]);
    let secrets = renting.cluster.writes();
    assert!(!secrets.iter().any(|write| write.contains("secrets/")), "it needs no token: {secrets:?}");
    renting.cluster.clock.advance(SignedDuration::from_mins(30));
    renting.delete("m").await;
    renting.run("m", 600).await;
    let given_back = node(&renting, "attic");
    assert_eq!((given_back.labels(), given_back.annotations()), (before.labels(), before.annotations()));
    assert_eq!(taints(&given_back), taints(&before));
    let home: Collective = renting.cluster.read("collectives", HOME);
    let cost: f64 = home.status.unwrap().departed[0].cost.parse().unwrap();
    assert!((0.25..0.27).contains(&cost), "half an hour and a little at 0.50: {cost}");
}

#[tokio::test]
async fn two_claims_never_take_one_node_and_the_second_has_it_after_the_first() {
    let renting = Renting::new().await;
    renting.lend("one", &["attic"]);
    renting.claim("m", json!({}));
    renting.claim("second", json!({}));
    for _ in 0..6 {
        renting.run("m", 5).await;
        renting.run("second", 5).await;
    }
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    assert_eq!(told(&renting.read("second"), "Ready"), ("False".into(), "NoOffer".into()));
    renting.delete("m").await;
    renting.run("m", 60).await;
    renting.run("second", 120).await;
    assert_eq!(told(&renting.read("second"), "Ready").0, "True");
    assert_eq!(node(&renting, "attic").labels()["cooperator.dev/node-claim"], "second");
}

#[tokio::test]
async fn an_operator_killed_after_any_write_takes_one_node_and_gives_it_back() {
    for cut in 1..=10 {
        let renting = Renting::new().await;
        renting.lend("one", &["attic", "cellar"]);
        renting.cluster.cut_after(cut);
        renting.claim("m", json!({}));
        renting.run("m", 60).await;
        assert_eq!(told(&renting.read("m"), "Ready").0, "True", "cut after write {cut}");
        let lent = ["attic", "cellar"].map(|name| node(&renting, name)).into_iter();
        let lent = lent.filter(|node| taints(node).contains(&"cooperator.dev/rented".to_owned())).count();
        assert_eq!(lent, 1, "cut after write {cut}");
        renting.cluster.cut_after(cut);
        renting.delete("m").await;
        renting.run("m", 600).await;
        let gone = renting.cluster.find::<NodeClaim>("cooperator.dev/v1alpha1", "nodeclaims", "m").is_none();
        assert!(gone, "cut after write {cut}: {:?}", renting.read("m").status);
        for name in ["attic", "cellar"] {
            let node = node(&renting, name);
            assert!(!node.labels().contains_key("cooperator.dev/instance"), "cut after write {cut}");
            assert_eq!(taints(&node), ["example.org/attic"], "cut after write {cut}");
        }
    }
}

#[tokio::test]
async fn a_node_that_is_not_ready_or_takes_no_pods_is_not_taken() {
    let renting = Renting::new().await;
    renting.lend("one", &["attic", "cellar"]);
    renting.cluster.put(
        "v1",
        "nodes",
        json!({
            "metadata": { "name": "attic" },
            "status": { "conditions": [{ "type": "Ready", "status": "False" }], "allocatable": { "ephemeral-storage": "100Gi" } },
        }),
    );
    renting.cluster.put(
        "v1",
        "nodes",
        json!({
            "metadata": { "name": "cellar" }, "spec": { "unschedulable": true },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }], "allocatable": { "ephemeral-storage": "100Gi" } },
        }),
    );
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    assert_eq!(told(&renting.read("m"), "Ready"), ("False".into(), "NoOffer".into()));
}

#[tokio::test]
async fn a_node_that_goes_takes_its_claim_with_it() {
    let renting = Renting::new().await;
    renting.lend("one", &["attic"]);
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    renting.cluster.remove("v1", "nodes", "attic");
    renting.run("m", 120).await;
    assert_eq!(told(&renting.read("m"), "InstanceTerminating"), ("True".into(), "Vanished".into()));
    assert_eq!(told(&renting.read("m"), "Ready"), ("False".into(), "Ended".into()));
}
