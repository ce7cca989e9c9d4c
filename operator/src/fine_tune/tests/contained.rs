use std::time::Duration;

use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_contract::layout;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::RunFile;
use cooperator_providers::testing::{Fake, Fault};
use cooperator_providers::{Container, Payload, State, Verb};
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::rented::{claims, jobs, lives, renting, tune};
use super::{edit, found, trained, waits};
use crate::testing::market::{Renting, billed, told};
use crate::{broker, hosted, progress};

/// A cluster that rents containers, and the endpoints that their runs speak to.
pub(super) struct World {
    pub(super) renting: Renting,
    base: String,
}

impl World {
    pub(super) async fn new() -> Self {
        cooperator_telemetry::install_crypto();
        let renting = renting().await;
        let pipeline = &renting.cluster.pipeline;
        let router = progress::router(pipeline.client.clone(), pipeline.clock.clone())
            .merge(broker::router(pipeline.clone(), None))
            .merge(hosted::router(pipeline.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { renting, base }
    }

    /// All controllers, for so many seconds.
    pub(super) async fn run(&self, seconds: i64) -> FineTuneStatus {
        let cluster = &self.renting.cluster;
        for _ in 0..seconds / 5 {
            tune(cluster).await;
            cluster.control();
            for claim in claims(cluster) {
                for _ in 0..6 {
                    let before = cluster.writes().len();
                    let passed = self.renting.pass(&claim).await;
                    if passed.is_none_or(|passed| passed.is_ok()) && cluster.writes().len() == before {
                        break;
                    }
                }
            }
            cluster.control();
            cluster.clock.advance(SignedDuration::from_secs(5));
        }
        tune(cluster).await;
        cluster.read::<FineTune>("finetunes", "addresses-v1").status.unwrap_or_default()
    }

    /// Until nothing is rented and nothing may cost any more.
    pub(super) async fn over(&self) -> FineTuneStatus {
        for _ in 0..24 {
            self.run(20).await;
            if claims(&self.renting.cluster).is_empty() {
                break;
            }
            self.renting.cluster.clock.advance(SignedDuration::from_mins(5));
        }
        self.run(5).await
    }

    /// Until the container of this attempt runs.
    pub(super) async fn running(&self, vendor: &Fake, attempt: u32) -> Container {
        for _ in 0..40 {
            self.run(10).await;
            let pod = self.renting.cluster.pod(&format!("addresses-v1-{attempt}"));
            if pod.is_some_and(|pod| pod["status"]["phase"] == "Running") {
                break;
            }
        }
        container(vendor)
    }

    pub(super) fn url(&self, container: &Container, what: &str) -> String {
        let file = container.arguments.last().unwrap().replace("http://operator:8080", &self.base);
        match what {
            "file" => file,
            "outcome" => cooperator_contract::hosted::outcome_url(&file).unwrap(),
            what => format!("{}/{what}", file.rsplitn(3, '/').last().unwrap()),
        }
    }

    async fn get(&self, url: &str, token: &str) -> (StatusCode, String) {
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub(super) async fn post(&self, url: &str, token: &str, body: &Value) -> (StatusCode, String) {
        let answer = reqwest::Client::new().post(url).bearer_auth(token).json(body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// The container says how it ended, as often as it takes, and its process is gone.
    pub(super) async fn ends(&self, vendor: &Fake, container: &Container, outcome: &Outcome) {
        let url = self.url(container, "outcome");
        for _ in 0..5 {
            let (status, _) = self.post(&url, token(container), &json!(outcome)).await;
            if status == StatusCode::NO_CONTENT {
                let last = vendor.instances().pop().unwrap();
                vendor.set_state(&last.id, State::Stopped);
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the outcome was not taken");
    }

    /// Whether a run that asks is to stop.
    async fn is_to_stop(&self, container: &Container, attempt: u32) -> bool {
        let report = json!({ "attempt": attempt, "phase": "", "progressPercentage": 0, "heartbeat": true });
        let (status, text) = self.post(&self.url(container, "progress"), token(container), &report).await;
        assert!(status.is_success(), "{status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()["stop"].as_bool().unwrap()
    }

    fn nodes(&self) -> Vec<String> {
        self.renting.cluster.names("v1", "nodes")
    }
}

fn container(vendor: &Fake) -> Container {
    match vendor.orders().pop().map(|order| order.payload) {
        Some(Payload::Container(container)) => container,
        other => panic!("{other:?}"),
    }
}

pub(super) fn token(container: &Container) -> &str {
    &container.environment[0].1
}

pub(super) fn made(vendor: &Fake) -> usize {
    vendor.calls().iter().filter(|call| call.verb == Verb::Create && call.answer == "Ok").count()
}

fn interrupted() -> Outcome {
    Outcome::Failed { reason: FailureReason::Interrupted, message: "stopped at step 7".into() }
}

#[tokio::test]
async fn a_fine_tune_runs_in_a_container_behind_a_virtual_node_and_gives_it_back() {
    let world = World::new().await;
    let cluster = &world.renting.cluster;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    world.run(10).await;
    let node: Node = cluster.find("v1", "nodes", &world.nodes()[0]).unwrap();
    let labels = node.metadata.labels.unwrap();
    assert_eq!((&*labels["type"], &*labels["cooperator.dev/shape"]), ("virtual-kubelet", "container"));
    let lease: Lease = cluster
        .at("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &world.nodes()[0])
        .unwrap();
    assert_eq!(lease.metadata.owner_references.unwrap()[0].kind, "Node");
    let status = node.status.unwrap();
    assert_eq!(status.addresses.unwrap()[0].address, "10.0.0.7");
    assert_eq!(status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port, 10250);
    assert_eq!(status.allocatable.unwrap()["memory"].0, "8192Mi");
    let container = world.running(&vendor, 1).await;
    let names: Vec<&str> = container.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["COOPERATOR_RUN_TOKEN"], "nothing else leaves the cluster");
    assert_eq!(container.image, "trainer:1");
    let pod = cluster.pod("addresses-v1-1").unwrap();
    let conditions: Vec<&str> = pod["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(conditions, ["PodScheduled", "Initialized", "ContainersReady", "Ready"]);
    assert!(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].is_string());
    let (code, text) = world.get(&world.url(&container, "file"), token(&container)).await;
    assert_eq!(code, StatusCode::OK);
    assert!(serde_json::from_str::<RunFile>(&text).unwrap().storage_broker.is_some());
    assert!(!world.is_to_stop(&container, 1).await);
    let outcome = trained(cluster, "addresses-v1-1", true).await;
    world.ends(&vendor, &container, &outcome).await;
    let pod = cluster.pod("addresses-v1-1").unwrap();
    let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&pod["status"]["phase"], &end["exitCode"]), (&json!("Succeeded"), &json!(0)));
    assert_eq!(end["message"], outcome.to_termination_message());
    let status = world.over().await;
    assert_eq!(found(&status, "Ready").0, "True");
    assert_eq!((status.attempts.len(), made(&vendor), lives(&vendor)), (1, 1, 0));
    assert!(claims(cluster).is_empty() && world.nodes().is_empty());
    assert_eq!(status.cost.unwrap().amount, billed(&vendor).to_string());
}

#[tokio::test]
async fn nothing_is_rented_before_the_pod_is_bound_to_the_node() {
    let world = World::new().await;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    let cluster = &world.renting.cluster;
    for _ in 0..10 {
        tune(cluster).await;
        for claim in claims(cluster) {
            drop(world.renting.pass(&claim).await);
        }
    }
    assert_eq!(told(&world.renting.read("addresses-v1-m1"), "Ready"), ("True".into(), "Ready".into()));
    assert_eq!((jobs(cluster).len(), made(&vendor)), (1, 0));
    cluster.control();
    drop(world.renting.pass("addresses-v1-m1").await);
    assert_eq!(made(&vendor), 1);
    drop(world.renting.pass("addresses-v1-m1").await);
    let pod = cluster.pod("addresses-v1-1").unwrap();
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(
        (&pod["status"]["phase"], &waiting["reason"]),
        (&json!("Pending"), &json!("ContainerCreating"))
    );
}

#[tokio::test]
async fn an_operator_killed_after_any_write_runs_one_container() {
    for cut in 1..=36 {
        let world = World::new().await;
        let vendor = world.renting.container("one", &[("a", "0.60")]);
        world.renting.cluster.cut_after(cut);
        let container = world.running(&vendor, 1).await;
        let outcome = trained(&world.renting.cluster, "addresses-v1-1", true).await;
        world.ends(&vendor, &container, &outcome).await;
        let status = world.over().await;
        assert!(world.renting.cluster.was_cut(), "there is no write {cut}");
        assert_eq!(found(&status, "Ready").0, "True", "cut after write {cut}");
        let counts = (status.attempts.len(), made(&vendor), lives(&vendor));
        assert_eq!(counts, (1, 1, 0), "cut after write {cut}");
        assert_eq!(status.cost.unwrap().amount, billed(&vendor).to_string(), "cut after write {cut}");
        assert!(
            claims(&world.renting.cluster).is_empty() && world.nodes().is_empty(),
            "cut after write {cut}"
        );
    }
}

#[tokio::test]
async fn a_container_that_is_taken_away_is_followed_by_another_elsewhere_and_both_are_paid_for() {
    let world = World::new().await;
    let one = world.renting.container("one", &[("a", "0.40")]);
    let other = world.renting.container("other", &[("b", "0.60")]);
    world.running(&one, 1).await;
    one.set_state(&one.instances()[0].id, State::Preempted);
    one.take_offer(&"a".into());
    let container = world.running(&other, 2).await;
    let outcome = trained(&world.renting.cluster, "addresses-v1-2", true).await;
    world.ends(&other, &container, &outcome).await;
    let status = world.over().await;
    assert_eq!(found(&status, "Ready").0, "True");
    assert_eq!(status.attempts[0].reason.as_deref(), Some("Preempted"));
    assert_eq!((lives(&one), lives(&other)), (0, 0));
    assert_eq!(status.cost.unwrap().amount, billed(&one).plus(billed(&other)).unwrap().to_string());
    let machines: Vec<&str> = status.machines.iter().map(|machine| machine.provider.as_str()).collect();
    assert_eq!(machines, ["one", "other"]);
    assert!(world.nodes().is_empty());
}

#[tokio::test]
async fn a_host_that_vanishes_makes_its_node_unready_and_its_pod_failed() {
    let world = World::new().await;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    world.running(&vendor, 1).await;
    vendor.set_state(&vendor.instances()[0].id, State::Over);
    for _ in 0..6 {
        world.renting.pass("addresses-v1-m1").await.unwrap().unwrap();
        world.renting.cluster.clock.advance(SignedDuration::from_secs(20));
    }
    let pod = world.renting.cluster.pod("addresses-v1-1").unwrap();
    assert_eq!((&pod["status"]["phase"], &pod["status"]["reason"]), (&json!("Failed"), &json!("NodeLost")));
    assert_eq!(told(&world.renting.read("addresses-v1-m1"), "InstanceTerminating").1, "Vanished");
    let status = world.run(60).await;
    assert_eq!(status.attempts.len(), 2, "{:?}", status.attempts);
}

#[tokio::test]
async fn a_deleted_pods_container_is_told_to_stop_and_goes_once_it_has() {
    let world = World::new().await;
    let cluster = &world.renting.cluster;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    let container = world.running(&vendor, 1).await;
    cluster.delete_pod("addresses-v1-1");
    assert!(world.is_to_stop(&container, 1).await);
    world.renting.pass("addresses-v1-m1").await.unwrap().unwrap();
    assert!(cluster.pod("addresses-v1-1").is_some(), "it has its grace");
    assert_eq!(lives(&vendor), 1);
    world.ends(&vendor, &container, &interrupted()).await;
    world.renting.pass("addresses-v1-m1").await.unwrap().unwrap();
    assert!(cluster.pod("addresses-v1-1").is_none());
    let again = world.running(&vendor, 2).await;
    assert_ne!(token(&again), token(&container));
    assert_eq!((made(&vendor), lives(&vendor)), (2, 1));
    assert_eq!(claims(cluster), ["addresses-v1-m2"]);
}

#[tokio::test]
async fn a_container_that_does_not_stop_is_ended_after_the_grace_of_its_pod() {
    let world = World::new().await;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    world.running(&vendor, 1).await;
    edit(&world.renting.cluster, |tune| tune.spec.suspend = true);
    world.run(60).await;
    assert!(world.renting.cluster.pod("addresses-v1-1").is_some());
    assert_eq!(lives(&vendor), 1);
    let status = world.run(120).await;
    assert!(world.renting.cluster.pod("addresses-v1-1").is_none());
    assert_eq!(found(&status, "Suspended").0, "True");
    let status = world.over().await;
    assert_eq!(lives(&vendor), 0);
    assert!(claims(&world.renting.cluster).is_empty() && world.nodes().is_empty());
    assert_eq!(status.cost.unwrap().amount, billed(&vendor).to_string());
}

#[tokio::test]
async fn an_offer_that_is_gone_when_the_pod_comes_is_replaced_under_the_same_node() {
    let world = World::new().await;
    let one = world.renting.container("one", &[("a", "0.40")]);
    let other = world.renting.container("other", &[("b", "0.60")]);
    one.fail_always(Verb::Create, Fault::NoCapacity);
    world.running(&other, 1).await;
    assert_eq!((made(&one), made(&other)), (0, 1));
    assert_eq!(claims(&world.renting.cluster), ["addresses-v1-m1"]);
    assert_eq!(world.renting.read("addresses-v1-m1").status.unwrap().offer.unwrap().id, "b");
}

#[tokio::test]
async fn a_run_file_is_given_for_the_token_of_its_own_attempt_only() {
    let world = World::new().await;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    let container = world.running(&vendor, 1).await;
    let (file, outcome) = (world.url(&container, "file"), world.url(&container, "outcome"));
    let own = token(&container);
    assert_eq!(world.get(&file, "0".repeat(64).as_str()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&file, "").await.0, StatusCode::UNAUTHORIZED);
    for (from, to) in [("/1/file", "/2/file"), ("addresses-v1/", "other/"), ("finetunes", "datasets")] {
        assert_eq!(world.get(&file.replace(from, to), own).await.0, StatusCode::UNAUTHORIZED, "{to}");
    }
    let bad = world.post(&outcome, "0".repeat(64).as_str(), &json!(interrupted())).await;
    assert_eq!(bad.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.renting.cluster.pod("addresses-v1-1").unwrap()["status"]["phase"], "Running");
    assert_eq!(world.get(&file, own).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_container_is_granted_storage_of_its_own_run_only() {
    let world = World::new().await;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    let container = world.running(&vendor, 1).await;
    let cluster = &world.renting.cluster;
    let uid = cluster.read::<FineTune>("finetunes", "addresses-v1").metadata.uid.unwrap();
    let mut another: Value = cluster.read("finetunes", "addresses-v1");
    another["metadata"] = json!({ "name": "another", "uid": "uid-of-another" });
    another["status"]["attempts"][0]["tokenSha256"] = json!("0".repeat(64));
    cluster.coop("finetunes", another);
    let own = world.url(&container, "storage");
    let ask = |uid: &str| json!({ "attempt": 1, "requests": [{ "verb": "list", "prefix": layout::checkpoints(uid) }] });
    assert_eq!(world.post(&own, token(&container), &ask(&uid)).await.0, StatusCode::OK);
    assert_eq!(world.post(&own, token(&container), &ask("uid-of-another")).await.0, StatusCode::FORBIDDEN);
    let others = own.replace("addresses-v1", "another").replace(&uid, "uid-of-another");
    let refused = world.post(&others, token(&container), &ask("uid-of-another")).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn where_containers_cannot_be_looked_after_only_machines_are_rented() {
    let mut world = World::new().await;
    std::sync::Arc::get_mut(&mut world.renting.rent).unwrap().site.kubelet = None;
    let vendor = world.renting.container("one", &[("a", "0.60")]);
    assert_eq!(waits(&world.run(30).await), "NoOffer");
    assert_eq!(made(&vendor), 0);
}
