//! A model of a few thousand parameters, texts for it, and a dataset of them, in any Collective: a training step takes
//! milliseconds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cooperator_api::collective::Collective;
use cooperator_cli::access::Access;
use cooperator_cli::items::{self, Item};
use cooperator_cli::kind::Kind;
use cooperator_cli::storage::{self, Bucket};
use cooperator_cluster::paths;
use cooperator_story::cluster::Cluster;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::cluster::{apply, object_in};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(180);

/// A Collective that trains it. Namespace and Collective have the same name.
pub struct Tiny {
    /// The namespace.
    pub access: Access,
    /// The Collective's.
    pub bucket: Bucket,
}

impl Tiny {
    /// The model `tiny` and the dataset `tiny`, by the works of `member`, in a Collective that is Ready.
    pub async fn make(cluster: &Cluster, name: &str, member: &str) -> Self {
        let access = Access { client: cluster.client.clone(), namespace: name.into() };
        let collective: Collective = access.get(name).await.unwrap();
        let bucket = storage::open(&cluster.client, &collective).await.unwrap();
        let tiny = Self { access, bucket };
        tiny.upload().await;
        let home = json!({"name": name});
        tiny.apply("BaseModel", "tiny", tiny.model()).await;
        tiny.apply_labelled("Contribution", "tiny-texts", json!({
            "collectiveRef": home, "memberRef": {"name": member}, "license": "CC0-1.0",
            "source": tiny.source("tiny-texts.jsonl"), "grants": [{"use": "GenerativeTraining", "allowed": true}],
        }))
        .await;
        tiny.apply("Dataset", "tiny", tiny.dataset()).await;
        tiny
    }

    async fn upload(&self) {
        let fixture: PathBuf = paths::workspace().join("trainer-image/crates/models/tests/fixtures/tied");
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            self.bucket.store.put_file(&format!("incoming/tiny/{name}"), &fixture.join(name)).await.unwrap();
        }
        let sentence = |first: usize| {
            (first..first + 12).map(|place| format!("w{}", 3 + place % 58)).collect::<Vec<_>>()
        };
        let rows: Vec<String> =
            (0..200).map(|row| json!({"text": sentence(row * 5).join(" ")}).to_string()).collect();
        self.bucket.store.put("incoming/tiny-texts.jsonl", rows.join("\n").into()).await.unwrap();
    }

    fn source(&self, key: &str) -> Value {
        let name = &self.access.namespace;
        json!({"storageUri": format!("s3://{name}.{name}/incoming/{key}")})
    }

    /// Spec of the BaseModel.
    pub fn model(&self) -> Value {
        let home = json!({"name": self.access.namespace});
        json!({"collectiveRef": home, "license": "Apache-2.0", "source": self.source("tiny/")})
    }

    /// Spec of the Dataset.
    pub fn dataset(&self) -> Value {
        json!({
            "collectiveRef": {"name": self.access.namespace}, "selector": {"matchLabels": {"corpus": "tiny"}},
            "baseModelRef": {"name": "tiny"},
        })
    }

    /// Spec of a FineTune of so many steps; each seed makes another adapter.
    pub fn fine_tune(&self, steps: u64, seed: u64) -> Value {
        json!({
            "baseModelRef": {"name": "tiny"}, "datasetRef": {"name": "tiny"}, "deletionPolicy": "Delete",
            "lora": {"rank": 4, "alpha": 8, "dropout": "0.1", "targetModules": ["q_proj", "v_proj", "down_proj"]},
            "training": {
                "maxSteps": steps, "batchSize": 16, "sequenceLength": 48, "learningRate": "0.01", "seed": seed,
            },
            "checkpoint": {"everySteps": 100},
            // The node has two cores, and servers run beside it.
            "compute": {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}},
        })
    }

    /// Makes an object of ours, or brings it to this spec.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) {
        self.put(object_in(&self.access.namespace, kind, name, spec)).await;
    }

    /// The same, with the label by which [`Self::dataset`] selects.
    async fn apply_labelled(&self, kind: &str, name: &str, spec: Value) {
        let mut object = object_in(&self.access.namespace, kind, name, spec);
        object["metadata"]["labels"] = json!({"corpus": "tiny"});
        self.put(object).await;
    }

    async fn put(&self, object: Value) {
        apply(&Cluster { client: self.access.client.clone() }, object).await;
    }

    /// Waits until the object is as `wanted`, and returns it.
    pub async fn until(&self, kind: Kind, name: &str, wanted: impl Fn(&Item) -> bool) -> Item {
        let began = Instant::now();
        loop {
            let items = items::fetch(&self.access).await.unwrap();
            let found = items.into_iter().find(|item| item.id() == (kind, name));
            if let Some(item) = found.as_ref().filter(|item| wanted(item)) {
                return item.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{kind} {name} after {PATIENCE:?}: {found:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until its Ready condition has this reason.
    pub async fn reason(&self, kind: Kind, name: &str, reason: &str) -> Item {
        self.until(kind, name, |item| item.main().is_some_and(|main| main.reason == reason)).await
    }

    /// Deletes an object and waits until it is gone; how long that took.
    pub async fn delete(&self, kind: Kind, name: &str) -> Duration {
        let api = self.access.dynamic(kind.name());
        let began = Instant::now();
        api.delete(name, &DeleteParams::background()).await.unwrap();
        while let Some(object) = api.get_opt(name).await.unwrap() {
            assert!(began.elapsed() < PATIENCE, "{kind} {name} stays: {:?}", object.metadata);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        began.elapsed()
    }
}
