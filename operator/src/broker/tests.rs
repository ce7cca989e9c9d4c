use bytes::Bytes;
use cooperator_contract::broker::{Granted, Request};
use cooperator_contract::layout;
use cooperator_contract::manifest::{DatasetManifest, File, ModelManifest, Shard};
use cooperator_contract::run::{TextFormat, TextOptions};
use cooperator_core::digest::Digest;
use cooperator_core::time::SignedDuration;
use cooperator_store::{Error, Store};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::router;
use crate::testing::{Cluster, HOME, START};

const UID: &str = "uid-text";
const TOKEN: &str = "very-secret-token";

/// A FineTune whose second attempt runs, its inputs in storage, and the endpoint.
struct World {
    cluster: Cluster,
    base: &'static str,
    model: Digest,
    weights: Digest,
    shard: Digest,
}

fn blob(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

async fn inputs(cluster: &Cluster) -> (Digest, Digest) {
    let store = cluster.storage.store(HOME);
    let model = ModelManifest {
        architecture: "llama".into(),
        parameters: 1,
        license: "Apache-2.0".into(),
        source_digest: blob(b""),
        files: vec![File { name: "model.safetensors".into(), digest: blob(b"weights"), bytes: 7 }],
    };
    let model = store.put_manifest(layout::model, &model).await.unwrap();
    let shard =
        |bytes: &[u8]| Shard { digest: blob(bytes), bytes: bytes.len() as u64, records: 1, tokens: 1 };
    let dataset = DatasetManifest {
        base_model: model,
        text: TextOptions { format: TextFormat::Auto, text_field: "text".into(), record_tokens: 512 },
        deduplicate: true,
        holdout_basis_points: 500,
        contributions: Vec::new(),
        refused: Vec::new(),
        shards: vec![shard(b"shard")],
        held_out: vec![shard(b"held out")],
        records: 1,
        tokens: 1,
    };
    let key = |digest: &Digest| layout::dataset("addresses", digest);
    let dataset = store.put_manifest(key, &dataset).await.unwrap();
    for bytes in [&b"weights"[..], b"shard", b"held out", b"of another dataset"] {
        store.put_blob(Bytes::from_static(bytes)).await.unwrap();
    }
    (model, dataset)
}

async fn world() -> World {
    cooperator_telemetry::install_crypto();
    let cluster = Cluster::new().await;
    let (model, dataset) = inputs(&cluster).await;
    let hash = |token: &str| Digest::of(token.as_bytes()).hex();
    cluster.coop(
        "finetunes",
        json!({
            "metadata": { "name": "text", "uid": UID },
            "spec": { "baseModelRef": { "name": "smollm" }, "datasetRef": { "name": "addresses" } },
            "status": {
                "collective": HOME, "baseModelDigest": model.to_string(), "datasetDigest": dataset.to_string(),
                "attempts": [
                    { "number": 1, "job": "text-1", "tokenSha256": hash("old"), "startedAt": START, "endedAt": START },
                    { "number": 2, "job": "text-2", "tokenSha256": hash(TOKEN), "startedAt": START },
                ],
            },
        }),
    );
    let base = serve(&cluster, None).await;
    World { cluster, base, model, weights: blob(b"weights"), shard: blob(b"shard") }
}

async fn serve(cluster: &Cluster, endpoint: Option<String>) -> &'static str {
    let router = router(cluster.pipeline.clone(), endpoint);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1/namespaces", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base.leak()
}

impl World {
    fn url(&self) -> String {
        format!("{}/{HOME}/finetunes/text/runs/{UID}/storage", self.base)
    }

    async fn post(&self, url: &str, token: &str, ask: &Value) -> (StatusCode, String) {
        let answer = reqwest::Client::new().post(url).bearer_auth(token).json(ask).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn ask(&self, requests: &[Request]) -> (StatusCode, String) {
        let ask = json!({ "attempt": 2, "requests": requests });
        self.post(&self.url(), TOKEN, &ask).await
    }

    /// A store as the run has it.
    fn store(&self) -> Store {
        let location = self.cluster.storage.location(HOME);
        Store::brokered(&location, &self.url(), TOKEN, 2).unwrap().with_attempts(1)
    }
}

fn get(key: String) -> Request {
    Request::Get { key }
}

#[tokio::test]
async fn a_training_does_all_it_needs_through_the_broker() {
    let world = world().await;
    let store = world.store();
    let base: ModelManifest = store.get_manifest(&layout::model(&world.model), &world.model).await.unwrap();
    assert_eq!(store.get_blob(&base.files[0].digest).await.unwrap(), "weights");
    assert_eq!(store.get_blob(&world.shard).await.unwrap(), "shard");
    assert_eq!(store.get_blob(&blob(b"held out")).await.unwrap(), "held out");

    let preflight = layout::preflight(UID, 2);
    store.put(&preflight, Bytes::from_static(b"preflight")).await.unwrap();
    store.delete(&preflight).await.unwrap();
    let state = layout::checkpoint_blob(UID, &blob(b"state"));
    store.put(&state, Bytes::from_static(b"state")).await.unwrap();
    store.put_manifest(|_| layout::checkpoint(UID, 2, 4), &json!({ "step": 4 })).await.unwrap();
    let keys: Vec<String> =
        store.list(&layout::checkpoints(UID)).await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, [layout::checkpoint(UID, 2, 4), state.clone()]);
    assert_eq!(store.get_verified(&state, &blob(b"state")).await.unwrap(), "state");
    store.delete(&layout::checkpoint(UID, 2, 4)).await.unwrap();
    store.delete(&state).await.unwrap();

    let manifest = json!({ "adapter": 1 });
    let digest = Digest::of(&cooperator_contract::canonical(&manifest).unwrap());
    store.put(&layout::adapter(&digest, "README.md"), Bytes::from_static(b"# A card")).await.unwrap();
    store.put_manifest(|digest| layout::adapter(digest, "manifest.json"), &manifest).await.unwrap();
}

#[tokio::test]
async fn whatever_is_wrong_with_run_or_token_gets_the_same_answer() {
    let world = world().await;
    let ask = json!({ "attempt": 2, "requests": [get(layout::model(&world.model))] });
    assert_eq!(world.post(&world.url(), TOKEN, &ask).await.0, StatusCode::OK);
    let mut answers = vec![
        world.post(&world.url(), "wrong", &ask).await,
        world.post(&world.url(), "old", &ask).await,
        world.post(&world.url(), "", &ask).await,
        world.post(&world.url(), TOKEN, &json!({ "attempt": 3, "requests": [] })).await,
        world.post(&world.url(), TOKEN, &json!({ "attempt": 1, "requests": [] })).await,
    ];
    for (right, wrong) in [
        (UID, "uid-other"),
        ("/text/", "/other/"),
        ("finetunes", "datasets"),
        ("finetunes", "secrets"),
        ("/text/", "/..%2F..%2Fsecrets%2Fpresidents-storage/"),
        (HOME, "senators"),
    ] {
        answers.push(world.post(&world.url().replace(right, wrong), TOKEN, &ask).await);
    }
    let unsigned = reqwest::Client::new().post(world.url()).json(&ask).send().await.unwrap();
    answers.push((unsigned.status(), unsigned.text().await.unwrap()));
    for answer in answers {
        assert_eq!(answer, (StatusCode::UNAUTHORIZED, "no run of yours\n".to_owned()));
    }
    let over = world.post(&world.url(), "old", &json!({ "attempt": 1, "requests": [] })).await;
    assert_eq!(over.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_is_out_of_scope_is_refused_in_one_line_and_nothing_of_the_batch_is_granted() {
    let world = world().await;
    let mine = get(layout::blob(&world.weights));
    let others = [
        get(layout::blob(&blob(b"of another dataset"))),
        get(layout::checkpoint("uid-other", 1, 4)),
        get("settlements/2026-11/statement.json".into()),
        Request::List { prefix: "finetunes/".into(), continuation: None },
        Request::Delete { key: layout::blob(&world.weights) },
    ];
    for other in others {
        let (status, text) = world.ask(&[mine.clone(), other.clone()]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{other:?}");
        assert!(text.starts_with("request 2: ") && text.trim_end().lines().count() == 1, "{text}");
        assert!(!text.contains(other.key()) && !text.contains("X-Amz"), "{text}");
    }
    assert_eq!(world.ask(&[]).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.ask(&vec![mine.clone(); 65]).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.ask(&vec![mine; 64]).await.0, StatusCode::OK);
    let huge = world.ask(&[get("a".repeat(200_000))]).await;
    assert_eq!(huge.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_published_adapter_is_written_again_only_by_the_fine_tune_that_published_it() {
    let world = world().await;
    let (store, keyed) = (world.store(), world.cluster.storage.store(HOME));
    let publish = async |name: &'static str, provenance: Option<Value>| {
        let digest = Digest::of(name.as_bytes());
        if let Some(provenance) = provenance {
            let bytes = serde_json::to_vec(&provenance).unwrap();
            keyed.put(&layout::adapter(&digest, "provenance.json"), bytes.into()).await.unwrap();
        }
        keyed.put(&layout::adapter(&digest, "manifest.json"), Bytes::from_static(b"{}")).await.unwrap();
        store.put(&layout::adapter(&digest, "evaluation.json"), Bytes::from_static(b"{}")).await
    };
    let by =
        |run: &str| Some(json!({ "predicate": { "runDetails": { "metadata": { "invocationId": run } } } }));
    publish("by an attempt that did not live to tell", by("uid-text/1")).await.unwrap();
    for (name, provenance) in [
        ("by another", by("uid-other/1")),
        ("by one whose uid begins like ours", by("uid-text-2/1")),
        ("by who says nothing", Some(json!({}))),
        ("without provenance", None),
    ] {
        let error = publish(name, provenance).await.unwrap_err();
        assert!(matches!(error, Error::Published { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn urls_lead_to_the_endpoint_for_rented_machines_and_live_ten_minutes() {
    let mut world = world().await;
    let request = get(layout::blob(&world.weights));
    let (_, text) = world.ask(std::slice::from_ref(&request)).await;
    let granted: Granted = serde_json::from_str(&text).unwrap();
    assert!(granted.grants[0].url.starts_with(&world.cluster.storage.endpoint()), "the Collective's own");
    assert_eq!(granted.grants[0].lifetime_seconds, 600);
    let status = reqwest::get(&granted.grants[0].url).await.unwrap().status();
    world.cluster.clock.advance(SignedDuration::from_secs(601));
    let late = reqwest::get(&granted.grants[0].url).await.unwrap().status();
    assert_eq!((status, late), (StatusCode::OK, StatusCode::BAD_REQUEST));

    world.base = serve(&world.cluster, Some("https://s3.example.org/".into())).await;
    let (_, text) = world.ask(&[request]).await;
    let granted: Granted = serde_json::from_str(&text).unwrap();
    assert!(
        granted.grants[0].url.starts_with("https://s3.example.org/presidents/blobs/"),
        "as rented machines do"
    );
    assert!(!text.contains(TOKEN) && !text.contains("\"key\""), "no secret but the URL itself");
}

#[tokio::test]
async fn a_run_that_asks_too_often_is_told_to_wait() {
    let world = world().await;
    let request = [get(layout::model(&world.model))];
    let mut answers = Vec::new();
    for _ in 0..201 {
        answers.push(world.ask(&request).await.0);
    }
    assert_eq!(answers.pop(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    world.cluster.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.ask(&request).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_run_gets_nothing_while_its_collective_is_not_ready_and_no_error_tells_a_secret() {
    let world = world().await;
    let store = world.store();
    world.cluster.remove("v1", "secrets", "presidents-storage");
    let error = store.get_blob(&world.weights).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let refused = store.get("settlements/x").await.unwrap_err();
    assert!(matches!(refused, Error::NotGranted { .. }), "{refused:?}");
    for text in [format!("{error} {error:?}"), format!("{refused} {refused:?}")] {
        assert!(!text.contains(TOKEN) && !text.contains("X-Amz") && !text.contains('\n'), "{text}");
    }
}
