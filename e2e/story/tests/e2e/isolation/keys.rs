//! Keys of one collective at the buckets, the gateway and the progress URL of the other.

use bytes::Bytes;
use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_cli::access::Access;
use cooperator_cli::forward::Forward;
use cooperator_cli::storage::{self, Bucket};
use cooperator_story::PRESIDENTS;
use cooperator_story::ask::Gateway;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{SYSTEM, apply, connect, object_in, told};
use crate::senators::{self, SENATORS, founded, until};

/// Both buckets, each with its own key.
async fn buckets(
    cluster: &Cluster,
) -> [(&'static str, Bucket, cooperator_api::collective::StorageStatus); 2] {
    let open = async |name: &'static str| {
        let api: Api<Collective> = Api::namespaced(cluster.client.clone(), name);
        let collective = api.get(name).await.unwrap();
        let bucket = storage::open(&cluster.client, &collective).await.unwrap();
        (name, bucket, collective.status.unwrap().storage.unwrap())
    };
    [open(PRESIDENTS).await, open(SENATORS).await]
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_key_of_one_bucket_opens_nothing_of_another() {
    told().await;
    founded().await;
    let cluster = connect().await;
    let [presidents, senators] = buckets(&cluster).await;
    let mut tries = 0;
    for (who, own, other) in [(SENATORS, &senators, &presidents), (PRESIDENTS, &presidents, &senators)] {
        own.1.store.put("incoming/control", Bytes::from_static(b"x")).await.unwrap();
        own.1.store.delete("incoming/control").await.unwrap();
        let key = storage::key(&cluster.client, who, &own.2).await.unwrap();
        let forward = Forward::to_service(&cluster.client, SYSTEM, "cooperator-garage", 3900).await.unwrap();
        let location = cooperator_contract::run::StorageLocation {
            endpoint: forward.url(),
            region: other.2.region.clone(),
            bucket: other.2.bucket.clone(),
            prefix: other.2.prefix.clone(),
        };
        let store = cooperator_store::Store::connect(&location, key).with_attempts(1);
        let folders = [
            "",
            "blobs/",
            "models/",
            "datasets/",
            "finetunes/",
            "adapters/",
            "usage/",
            "settlements/",
            "incoming/",
        ];
        for folder in folders {
            let known = other.1.store.list(folder).await.unwrap();
            let there = known.first().map_or_else(|| format!("{folder}none"), |object| object.key.clone());
            let new = format!("{folder}written-by-{who}");
            for (what, outcome) in [
                ("list", store.list(folder).await.map(drop)),
                ("head", store.head(&there).await.map(drop)),
                ("get", store.get(&there).await.map(drop)),
                ("put", store.put(&new, Bytes::from_static(b"x")).await),
                ("overwrite", store.put(&there, Bytes::from_static(b"x")).await),
                ("delete", store.delete(&there).await),
            ] {
                let refused = matches!(outcome, Err(cooperator_store::Error::Forbidden { .. }));
                assert!(refused, "{who}'s key: {what} {}/{there}: {outcome:?}", other.2.bucket);
                tries += 1;
            }
        }
    }
    for (_, bucket, _) in [&presidents, &senators] {
        let written = bucket.store.list("").await.unwrap();
        assert!(written.iter().all(|object| !object.key.contains("written-by")), "{written:?}");
    }
    eprintln!("{tries} requests to the other's bucket refused");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_api_key_of_one_collective_is_nobodys_at_the_others_gateway() {
    told().await;
    founded().await;
    let cluster = connect().await;
    let theirs = Gateway::open(&cluster).await.unwrap();
    let labels = format!("app.kubernetes.io/component=gateway,cooperator.dev/collective={SENATORS}");
    let forward = Forward::to(&cluster.client, SENATORS, &labels, 8080).await.unwrap();
    let ours = senators::key(&cluster).await;
    let http = reqwest::Client::new();
    let call = async |url: &str, path: &str, key: Option<&str>| {
        let body =
            json!({"model": PRESIDENTS, "prompt": "?", "messages": [{"role": "user", "content": "?"}]});
        let url = format!("{url}{path}");
        let call = if path == "/v1/models" { http.get(url) } else { http.post(url).json(&body) };
        let call = key.iter().fold(call, |call, key| call.bearer_auth(key));
        let answer = call.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    assert_eq!(call(&theirs.url, "/v1/models", Some(&theirs.key)).await.0, StatusCode::OK, "the control");
    assert_eq!(call(&forward.url(), "/v1/models", Some(&ours)).await.0, StatusCode::OK, "the control");
    let mut tries = 0;
    for (url, foreign) in [(theirs.url.clone(), &ours), (forward.url(), &theirs.key)] {
        for path in ["/v1/models", "/v1/chat/completions", "/v1/completions"] {
            let nobody = call(&url, path, None).await;
            assert_eq!(nobody.0, StatusCode::UNAUTHORIZED);
            assert_eq!(call(&url, path, Some(foreign)).await, nobody, "{path}");
            tries += 1;
        }
    }
    eprintln!("{tries} calls with the other's key refused as without one");
}

/// A run of the senators' that is under way for as long as the quota stands: its token is good.
async fn run_under_way(cluster: &Cluster) -> (Value, String) {
    let quotas: Api<ResourceQuota> = Api::namespaced(cluster.client.clone(), SENATORS);
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-runs"},
        "spec": {"hard": {"pods": "1"}},
    });
    quotas.patch("no-runs", &PatchParams::apply("a-test").force(), &Patch::Apply(&quota)).await.unwrap();
    let spec = json!({
        "collectiveRef": {"name": SENATORS}, "license": "Apache-2.0",
        "source": {"storageUri": "s3://senators.senators/incoming/none/"},
    });
    apply(cluster, object_in(SENATORS, "BaseModel", "waiting", spec)).await;
    let has_run = |model: &Value| model["status"]["attempts"][0]["job"].is_string();
    let model = until::<BaseModel>(cluster, "waiting", has_run).await;
    let secret = model["status"]["attempts"][0]["job"].as_str().unwrap();
    let token = cooperator_cli::secret::read(&cluster.client, SENATORS, secret).await.unwrap();
    (model, token.text("token").unwrap())
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_run_reports_for_itself_alone() {
    told().await;
    founded().await;
    let cluster = connect().await;
    let (model, token) = run_under_way(&cluster).await;
    let operator = "app.kubernetes.io/name=cooperator,app.kubernetes.io/component=operator";
    let forward = Forward::to(&cluster.client, SYSTEM, operator, 8080).await.unwrap();
    let http = reqwest::Client::new();
    let post = async |namespace: &str, plural: &str, name: &str, uid: &str, attempt: u32| {
        let url = format!("{}/v1/namespaces/{namespace}/{plural}/{name}/runs/{uid}/progress", forward.url());
        let report = json!({"attempt": attempt, "phase": "Importing", "progressPercentage": 1});
        let answer = http.post(url).bearer_auth(&token).json(&report).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let uid = model["metadata"]["uid"].as_str().unwrap();
    let (control, _) = post(SENATORS, "basemodels", "waiting", uid, 1).await;

    let mut answers = Vec::new();
    let access = Access { client: cluster.client.clone(), namespace: PRESIDENTS.into() };
    for (kind, plural, name) in [
        ("BaseModel", "basemodels", "smollm2-135m"),
        ("Dataset", "datasets", "addresses"),
        ("FineTune", "finetunes", "addresses-v1"),
    ] {
        let theirs = access.dynamic(kind).get(name).await.unwrap().uid().unwrap();
        for attempt in [1, 2] {
            for uid in [theirs.as_str(), uid] {
                answers.push(post(PRESIDENTS, plural, name, uid, attempt).await);
            }
            answers.push(post(SENATORS, plural, name, &theirs, attempt).await);
            answers.push(post("presidents%2F..%2Fsenators", plural, name, &theirs, attempt).await);
        }
        answers.push(post(SENATORS, "basemodels", "waiting", &theirs, 1).await);
    }
    answers.push(post(PRESIDENTS, "basemodels", "waiting", uid, 1).await);
    answers.push(post(SENATORS, "basemodels", "waiting", uid, 2).await);
    answers.push(post(SENATORS, "secrets", "waiting", uid, 1).await);
    let models: Api<BaseModel> = Api::namespaced(cluster.client.clone(), SENATORS);
    models.delete("waiting", &DeleteParams::default()).await.unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(cluster.client, SENATORS);
    quotas.delete("no-runs", &DeleteParams::default()).await.unwrap();

    assert!(control.is_success(), "the control: its own run: {control}");
    let refusal = (StatusCode::UNAUTHORIZED, "no run of yours\n".to_owned());
    assert!(answers.iter().all(|answer| *answer == refusal), "{answers:?}");
    eprintln!("{} reports for others refused, all alike", answers.len());
}
