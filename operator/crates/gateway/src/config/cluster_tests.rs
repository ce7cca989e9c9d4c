//! Against an API server over HTTP that knows lists, watches and merge patches with a resourceVersion.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cooperator_core::time::Timestamp;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

use super::tests::{collective, deployment, key, minted};
use super::{KubeLeases, watch as watch_cluster};
use crate::budget::{Funds, FundsError, LeaseStore, Ledger, StoreError};
use crate::live::Live;
use crate::snapshot::Snapshot;

/// Objects by path, and what has become of them.
#[derive(Clone)]
struct Cluster {
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    version: Arc<Mutex<u64>>,
    events: broadcast::Sender<(String, Value)>,
}

const BASE: &str = "/apis/cooperator.dev/v1alpha1/namespaces/history";

impl Cluster {
    async fn start() -> (Self, Client) {
        let cluster =
            Self { objects: Arc::default(), version: Arc::default(), events: broadcast::channel(100).0 };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let app = Router::new().fallback(answer).with_state(cluster.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (cluster, Client::try_from(Config::new(url)).unwrap())
    }

    fn put(&self, plural: &str, object: &impl serde::Serialize) -> Value {
        let mut object = serde_json::to_value(object).unwrap();
        let path = format!("{plural}/{}", object["metadata"]["name"].as_str().unwrap());
        let mut version = self.version.lock().unwrap();
        *version += 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let verb = match self.objects.lock().unwrap().insert(path.clone(), object.clone()) {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        let _ = self.events.send((plural.to_owned(), json!({"type": verb, "object": object})));
        object
    }

    fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(path).cloned()
    }

    fn list(&self, plural: &str) -> Response {
        let objects = self.objects.lock().unwrap();
        let items: Vec<&Value> = objects
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{plural}/")))
            .map(|(_, object)| object)
            .collect();
        let version = self.version.lock().unwrap().to_string();
        json_answer(&json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "List",
            "metadata": {"resourceVersion": version}, "items": items,
        }))
    }

    fn watch(&self, plural: &str) -> Response {
        let plural = plural.to_owned();
        let events = BroadcastStream::new(self.events.subscribe()).filter_map(move |event| {
            let (of, event) = event.ok()?;
            (of == plural).then(|| Ok::<_, std::io::Error>(format!("{event}\n")))
        });
        Body::from_stream(events).into_response()
    }
}

fn json_answer(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn refused(code: StatusCode, reason: &str) -> Response {
    let status = json!({"kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": ""});
    (code, [("content-type", "application/json")], status.to_string()).into_response()
}

async fn answer(State(cluster): State<Cluster>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(BASE).unwrap().trim_start_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if request.method() == Method::GET {
        return match cluster.get(&path) {
            Some(object) => json_answer(&object),
            None if path.contains('/') => refused(StatusCode::NOT_FOUND, "NotFound"),
            None if query.contains("watch=true") => cluster.watch(&path),
            None => cluster.list(&path),
        };
    }
    assert_eq!(request.method(), Method::PATCH);
    let path = path.strip_suffix("/status").unwrap().to_owned();
    let patch: Value =
        serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
    let Some(mut object) = cluster.get(&path) else { return refused(StatusCode::NOT_FOUND, "NotFound") };
    if patch["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
        return refused(StatusCode::CONFLICT, "Conflict");
    }
    for (field, value) in patch["status"].as_object().unwrap() {
        object["status"][field] = value.clone();
    }
    json_answer(&cluster.put("apikeys", &object))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(5), "{what}: not within 5 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_changes_in_the_cluster_is_in_force_within_five_seconds() {
    let (cluster, client) = Cluster::start().await;
    cluster.put("collectives", &collective());
    cluster.put("deployments", &deployment(|_| {}));
    cluster.put("apikeys", &key(1, |_| {}));
    let (publish, snapshot) = watch::channel(Arc::<Snapshot>::default());
    let live = Arc::new(Live::new(Duration::from_secs(30)));
    assert!(!live.is_live(Instant::now()));
    let watching = {
        let live = live.clone();
        tokio::spawn(async move { watch_cluster(client, "history", "presidents", publish, live).await })
    };
    let opens = |name| snapshot.borrow().key(&minted(name).hash(), Timestamp::UNIX_EPOCH).is_some();
    until("first key opens", || opens(1) && snapshot.borrow().route("presidents").is_some()).await;
    assert!(live.is_live(Instant::now()));
    cluster.put("apikeys", &key(1, |key| key["spec"]["revoked"] = json!(true)));
    until("revoked key is shut", || !opens(1)).await;
    cluster.put("apikeys", &key(2, |_| {}));
    until("new key opens", || opens(2)).await;
    watching.abort();
}

#[tokio::test]
async fn gateways_that_race_for_one_budget_in_the_cluster_share_it() {
    let (cluster, client) = Cluster::start().await;
    let mut object = cluster.put("apikeys", &key(1, |key| key["spec"]["budget"]["amount"] = json!("10")));
    let made = super::snapshot(&collective(), [&serde_json::from_value(object.take()).unwrap()], []);
    let key = made.key(&minted(1).hash(), Timestamp::UNIX_EPOCH).unwrap().clone();
    let funds = |gateway: &str| {
        let leases = KubeLeases::new(Api::namespaced(client.clone(), "history"), "USD");
        Funds::new(Arc::new(Ledger::default()), Arc::new(leases), gateway)
    };
    let gateways = [funds("a"), funds("b"), funds("c")];
    let one = "1".parse().unwrap();
    let calls = (0..30).map(|call| {
        let (gateway, key) = (&gateways[call % 3], &key);
        async move {
            match gateway.reserve(key, one).await {
                Ok(hold) => hold.settle(one),
                Err(FundsError::Short) => return 0,
                Err(error) => panic!("{error}"),
            }
            1
        }
    });
    let spent: u32 = futures::future::join_all(calls).await.into_iter().sum();
    assert!((5..=10).contains(&spent), "{spent}");
    for gateway in &gateways {
        gateway.report("key-1", "uid-1", true).await.unwrap();
    }
    let status = cluster.get("apikeys/key-1").unwrap()["status"].clone();
    assert_eq!(status["spent"], json!({"amount": spent.to_string(), "currency": "USD"}));
    assert_eq!(status["sha256"], minted(1).hash().to_string(), "what others write stays");
    for lease in status["leases"].as_array().unwrap() {
        assert_eq!(lease["granted"], lease["spent"]);
    }
}

#[tokio::test]
async fn a_key_made_anew_under_its_old_name_is_another_one() {
    let (cluster, client) = Cluster::start().await;
    cluster.put("apikeys", &key(1, |key| key["metadata"]["uid"] = json!("uid-new")));
    let leases = KubeLeases::new(Api::namespaced(client, "history"), "USD");
    assert_eq!(leases.read("key-1", "uid-1").await.unwrap_err(), StoreError::Gone);
    assert_eq!(leases.read("key-9", "uid-9").await.unwrap_err(), StoreError::Gone);
}
