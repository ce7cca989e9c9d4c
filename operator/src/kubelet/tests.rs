use std::sync::Arc;

use cooperator_api::node_claim::NodeClaim;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::{Identity, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::tls::{Client, Door};
use super::{logs, text};
use crate::testing::market::Renting;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of this name with its key.
fn identity(issuer: &Issuer, name: &str) -> Identity {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, issuer).unwrap();
    Identity::from_pem(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes()).unwrap()
}

struct World {
    renting: Renting,
    issuer: Issuer,
    base: String,
}

impl World {
    /// A claim `m` whose container runs for the pod `run-1-x`.
    async fn new() -> Self {
        cooperator_telemetry::install_crypto();
        let renting = Renting::new().await;
        let issuer = authority("cluster");
        let client =
            Client { authority: issuer.pem().into_bytes(), name: "kube-apiserver-kubelet-client".into() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let door = Door::open(listener, &client).unwrap();
        let router = logs::router(Arc::clone(&renting.rent));
        tokio::spawn(async move { axum::serve(door, router).await.unwrap() });
        let world = Self { renting, issuer, base };
        world.pod("Running", Value::Null);
        world
    }

    fn pod(&self, phase: &str, state: Value) {
        let cluster = &self.renting.cluster;
        cluster.put("v1", "pods", json!({
            "metadata": { "name": "run-1-x", "labels": { "cooperator.dev/node-claim": "m" } },
            "spec": { "nodeName": "virtual", "containers": [{ "name": "train" }] },
            "status": { "phase": phase, "containerStatuses": [{
                "name": "train", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state }] },
        }));
    }

    /// The claim, its container this machine of Provider `one`.
    fn claim(&self, machine: &str) {
        self.renting.claim("m", json!({}));
        self.renting.cluster.edit("nodeclaims", "m", |claim: &mut NodeClaim| {
            let status = json!({
                "nodeName": "virtual",
                "offer": { "id": "a", "shape": "Container", "capacityType": "OnDemand", "cpuMillis": 1,
                    "memoryMib": 1, "diskGib": 1, "pricePerHour": "1" },
                "launches": [{
                    "number": 1, "provider": "one", "offer": {}, "diskGib": 40, "intendedAt": crate::testing::START,
                    "machine": { "instance": machine, "madeAt": crate::testing::START, "knownAt": crate::testing::START },
                }],
            });
            claim.status = Some(serde_json::from_value(status).unwrap());
        });
    }

    fn browser(identity: Option<Identity>) -> reqwest::Client {
        let builder = reqwest::Client::builder().danger_accept_invalid_certs(true);
        identity.into_iter().fold(builder, reqwest::ClientBuilder::identity).build().unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let client = Self::browser(Some(identity(&self.issuer, "kube-apiserver-kubelet-client")));
        let answer = client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

const PATH: &str = "/containerLogs/presidents/run-1-x/train";

#[tokio::test]
async fn only_kube_apiserver_is_let_in() {
    let world = World::new().await;
    world.renting.provider("one", &[]);
    world.claim("7");
    let url = format!("{}{PATH}", world.base);
    let strangers = [
        None,
        Some(identity(&world.issuer, "system:node:node0")),
        Some(identity(&authority("another"), "kube-apiserver-kubelet-client")),
    ];
    for stranger in strangers {
        let error = World::browser(stranger).get(&url).send().await.unwrap_err();
        assert!(error.is_request() || error.is_connect(), "{error:?}");
    }
    assert_eq!(world.get(PATH).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_log_is_what_the_vendor_has_kept_cut_as_asked_for() {
    let world = World::new().await;
    let vendor = world.renting.provider("one", &[]);
    world.claim("7");
    vendor.print(&cooperator_providers::InstanceId("7".into()), "step 1\nstep 2\nstep 3\n");
    assert_eq!(world.get(PATH).await.1, "step 1\nstep 2\nstep 3\n");
    assert_eq!(world.get(&format!("{PATH}?tailLines=1&timestamps=true")).await.1, "step 3\n");
    assert_eq!(world.get(&format!("{PATH}?tailLines=2&limitBytes=6")).await.1, "step 2");
}

#[tokio::test]
async fn a_log_that_is_followed_ends_with_its_pod() {
    let world = World::new().await;
    let vendor = world.renting.provider("one", &[]);
    world.claim("7");
    world.pod("Succeeded", Value::Null);
    vendor.print(&cooperator_providers::InstanceId("7".into()), "done\n");
    assert_eq!(world.get(&format!("{PATH}?follow=true")).await, (StatusCode::OK, "done\n".into()));
}

#[tokio::test]
async fn where_no_log_is_kept_what_the_run_has_told_is_shown() {
    let world = World::new().await;
    world.renting.provider("one", &[]);
    world.claim("7");
    let outcome = r#"{"outcome":"failed","reason":"LossNotFinite","message":"at step 7"}"#;
    let end = json!({ "exitCode": 2, "message": outcome, "finishedAt": crate::testing::START });
    world.pod("Failed", json!({ "terminated": end }));
    assert_eq!(world.get(PATH).await.1, "2026-11-24T12:00:00Z failed: LossNotFinite: at step 7\n");
}

#[tokio::test]
async fn other_pods_have_no_log_here() {
    let world = World::new().await;
    world.renting.provider("one", &[]);
    assert_eq!(world.get(PATH).await.0, StatusCode::NOT_FOUND, "its claim is not there");
    world.claim("7");
    assert_eq!(world.get(&PATH.replace("train", "other")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get(&PATH.replace("run-1-x", "run-2-x")).await.0, StatusCode::NOT_FOUND);
    let cluster = &world.renting.cluster;
    let mut pod: Value = cluster.find("v1", "pods", "run-1-x").unwrap();
    pod["spec"]["nodeName"] = json!("node0");
    cluster.put("v1", "pods", pod);
    assert_eq!(world.get(PATH).await.0, StatusCode::NOT_FOUND, "a kubelet of its own has that");
}

#[test]
fn a_log_is_cut_at_lines_and_characters() {
    let log = "a\nbü\nc\n";
    assert_eq!(text::cut(log, None, None), log);
    assert_eq!(text::cut(log, Some(2), None), "bü\nc\n");
    assert_eq!(text::cut(log, Some(9), None), log);
    assert_eq!(text::cut(log, Some(0), None), "");
    assert_eq!(text::cut(log, Some(2), Some(2)), "b", "no half of a character");
}

#[test]
fn of_a_log_that_moves_on_only_what_is_new_is_shown() {
    assert_eq!(text::fresh("a\n", "a\nb\n"), "b\n");
    assert_eq!(text::fresh("a\nb\nc\n", "b\nc\nd\n"), "b\nc\nd\n", "three lines tell where it was");
    assert_eq!(text::fresh("0\na\nb\nc\n", "a\nb\nc\nd\n"), "d\n");
    assert_eq!(text::fresh("", "a\n"), "a\n");
    assert_eq!(text::fresh("a\n", "b\n"), "b\n", "what is quite another is shown whole");
}
