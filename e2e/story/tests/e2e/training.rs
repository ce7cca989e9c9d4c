//! A training whose pod is killed again and again.

use std::path::PathBuf;
use std::time::Duration;

use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_cli::storage::{self, Bucket};
use cooperator_cluster::{Progress, paths};
use cooperator_contract::layout;
use cooperator_story::cluster::Cluster;
use cooperator_story::{PRESIDENTS, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cluster::{apply, connect, object, told};

/// Steps after which the pod is killed, each in an attempt of its own.
const DEATHS: [u64; 3] = [400, 900, 1400];

/// A model of a few thousand parameters, texts for it, and a dataset of them: a step takes milliseconds.
async fn tiny(cluster: &Cluster) -> Bucket {
    let collectives: Api<Collective> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let bucket = storage::open(&cluster.client, &collectives.get(PRESIDENTS).await.unwrap()).await.unwrap();
    let fixture: PathBuf = paths::workspace().join("trainer-image/crates/models/tests/fixtures/tied");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        bucket.store.put_file(&format!("incoming/tiny/{name}"), &fixture.join(name)).await.unwrap();
    }
    let sentence =
        |first: usize| (first..first + 12).map(|place| format!("w{}", 3 + place % 58)).collect::<Vec<_>>();
    let rows: Vec<String> =
        (0..200).map(|row| json!({"text": sentence(row * 5).join(" ")}).to_string()).collect();
    bucket.store.put("incoming/tiny-texts.jsonl", rows.join("\n").into()).await.unwrap();
    let home = json!({"name": PRESIDENTS});
    let source = |key: &str| json!({"storageUri": format!("s3://presidents.presidents/incoming/{key}")});
    apply(
        cluster,
        object(
            "BaseModel",
            "tiny",
            json!({
                "collectiveRef": home, "license": "Apache-2.0", "source": source("tiny/"),
            }),
        ),
    )
    .await;
    let mut contribution = object(
        "Contribution",
        "tiny-texts",
        json!({
            "collectiveRef": home, "memberRef": {"name": "washington"}, "license": "CC0-1.0",
            "source": source("tiny-texts.jsonl"), "grants": [{"use": "GenerativeTraining", "allowed": true}],
        }),
    );
    contribution["metadata"]["labels"] = json!({"corpus": "tiny"});
    apply(cluster, contribution).await;
    apply(cluster, object("Dataset", "tiny", json!({
        "collectiveRef": home, "selector": {"matchLabels": {"corpus": "tiny"}}, "baseModelRef": {"name": "tiny"},
    })))
    .await;
    bucket
}

/// Trains to the end, with a death after each of these steps.
async fn train(cluster: &Cluster, bucket: &Bucket, name: &str, deaths: &[u64]) -> FineTune {
    apply(cluster, object("FineTune", name, json!({
        "baseModelRef": {"name": "tiny"}, "datasetRef": {"name": "tiny"}, "deletionPolicy": "Delete",
        "lora": {"rank": 4, "alpha": 8, "dropout": "0.1", "targetModules": ["q_proj", "v_proj", "down_proj"]},
        "training": {"maxSteps": 2400, "batchSize": 16, "sequenceLength": 48, "learningRate": "0.01", "seed": 7},
        "checkpoint": {"everySteps": 100},
    })))
    .await;
    let tunes: Api<FineTune> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let uid = tunes.get(name).await.unwrap().uid().unwrap();
    for (attempt, step) in (1u32..).zip(deaths) {
        while !has_checkpoint(bucket, &uid, attempt, *step).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let status = tunes.get(name).await.unwrap().status.unwrap_or_default();
            assert!(status.adapter.is_none(), "attempt {attempt} was done before it could be killed");
        }
        kill(cluster, name, attempt).await;
    }
    wait::ready(cluster, name, &Progress::new()).await.unwrap()
}

async fn has_checkpoint(bucket: &Bucket, uid: &str, attempt: u32, step: u64) -> bool {
    let keys = bucket.store.list(&layout::checkpoints(uid)).await.unwrap();
    keys.iter().any(|object| object.key >= layout::checkpoint(uid, attempt, step))
}

/// As a node that burns: the pod is gone without a word.
async fn kill(cluster: &Cluster, name: &str, attempt: u32) {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let labels =
        format!("cooperator.dev/kind=finetune,cooperator.dev/name={name},cooperator.dev/attempt={attempt}");
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete_collection(&now, &kube::api::ListParams::default().labels(&labels)).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_killed_three_times_makes_the_adapter_of_one_that_was_not() {
    told().await;
    let cluster = connect().await;
    let bucket = tiny(&cluster).await;
    let adapter = |tune: &FineTune| tune.status.clone().unwrap().adapter.unwrap().digest;
    let whole = train(&cluster, &bucket, "tiny-whole", &[]).await;
    let killed = train(&cluster, &bucket, "tiny-killed", &DEATHS).await;
    let attempts = killed.status.clone().unwrap().attempts;
    let told: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{}: {}", attempt.number, attempt.reason.as_deref().unwrap_or("?")))
        .collect();
    eprintln!("{} against {} in attempts {told:?}", adapter(&whole), adapter(&killed));
    assert_eq!(attempts.len(), 1 + DEATHS.len(), "{told:?}");
    assert_eq!(adapter(&killed), adapter(&whole));
}
