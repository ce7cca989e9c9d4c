//! A whole server on a tiny random model: real object storage calls, real engine, real HTTP.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use candle_core::Tensor;
use cooperator_contract::layout;
use cooperator_contract::manifest::{AdapterManifest, File, ModelManifest};
use cooperator_contract::run::ServeTask;
use cooperator_core::digest::Digest;
use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::{LoraAdapter, LoraConfig};
use cooperator_models::testing::{byte_tokenizer, byte_tokenizer_config, random_tensors, tiny_config};
use cooperator_server::serve::{ServeError, run_on};
use cooperator_store::testing::Server as Storage;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const BUCKET: &str = "presidents";
pub const MODEL: &str = "presidents-text";

/// Object storage with a base model and an adapter in it, and the task to serve them.
pub struct World {
    pub storage: Storage,
    pub task: ServeTask,
}

/// A server being tested.
pub struct Running {
    pub url: String,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    pub ended: JoinHandle<Result<(), ServeError>>,
}

fn config() -> LlamaConfig {
    // Never ends by itself, and has room for answers that outlast a test.
    LlamaConfig { max_position_embeddings: 100_000, eos_token_ids: vec![], ..tiny_config(259) }
}

impl World {
    pub async fn new() -> Self {
        cooperator_telemetry::install_crypto();
        let storage = Storage::start().await;
        let config = config();
        let base_model = put_base(&storage, &config).await;
        let adapter = put_adapter(&storage, &config, base_model);
        let task = ServeTask {
            model_name: MODEL.to_owned(),
            base_model,
            adapter: Some(adapter),
            listen: "127.0.0.1:0".to_owned(),
            max_concurrency: 4,
            max_queue: 4,
            max_input_tokens: 400,
            max_output_tokens: 50_000,
        };
        Self { storage, task }
    }

    pub async fn start(&self) -> Running {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let store = self.storage.store(BUCKET);
        let running = run_on(listener, store, self.task.clone(), stopped, Duration::from_millis(300));
        let ended = tokio::spawn(running);
        Running { url, client: reqwest::Client::new(), stop: Some(stop), ended }
    }

    pub async fn ready(&self) -> Running {
        let running = self.start().await;
        for _ in 0..500 {
            if running.get("/readyz").await.0 == 200 {
                return running;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not ready: {:?}", running.ended.await);
    }
}

impl Running {
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn send(&self, path: &str, body: &str) -> reqwest::Response {
        let request = self.client.post(format!("{}{path}", self.url)).body(body.to_owned());
        request.header("content-type", "application/json").send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.send(path, &body.to_string()).await;
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// The chunks of a stream, `[DONE]` checked and left out.
    pub async fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let text = self.send(path, &body.to_string()).await.text().await.unwrap();
        let mut data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{text}");
        data.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

pub fn chat(content: &str, more: Value) -> Value {
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 40,
        "temperature": 0});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

pub fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

async fn put_base(storage: &Storage, config: &LlamaConfig) -> Digest {
    let tensors: HashMap<String, Tensor> = random_tensors(config, 11).unwrap().into_iter().collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let files = [
        ("config.json", config.to_json("bfloat16").to_string().into_bytes()),
        ("model.safetensors", std::fs::read(&path).unwrap()),
        ("tokenizer.json", byte_tokenizer().to_string().into_bytes()),
        ("tokenizer_config.json", byte_tokenizer_config().to_string().into_bytes()),
    ];
    let store = storage.store(BUCKET);
    let mut listed = Vec::new();
    for (name, bytes) in files {
        let size = bytes.len() as u64;
        let digest = store.put_blob(bytes.into()).await.unwrap();
        listed.push(File { name: name.to_owned(), digest, bytes: size });
    }
    let manifest = ModelManifest {
        architecture: "llama".to_owned(),
        parameters: config.parameters(),
        license: "Apache-2.0".to_owned(),
        source_digest: Digest::of(b"source"),
        files: listed,
    };
    store.put_manifest(layout::model, &manifest).await.unwrap()
}

fn put_adapter(storage: &Storage, config: &LlamaConfig, base_model: Digest) -> Digest {
    let lora = LoraConfig {
        rank: 2,
        alpha: 4.0,
        dropout: 0.0,
        target_modules: vec!["q_proj".to_owned(), "down_proj".to_owned()],
    };
    let mut adapter = LoraAdapter::init(lora, config, 1).unwrap();
    for tensor in adapter.tensors_mut() {
        for (index, value) in tensor.data.iter_mut().enumerate() {
            *value += (index % 7) as f32 / 70.0;
        }
    }
    let files = [
        ("adapter_config.json", adapter.config_json("base").into_bytes()),
        ("adapter_model.safetensors", adapter.to_safetensors().unwrap()),
    ];
    let listed: Vec<File> = files
        .iter()
        .map(|(name, bytes)| File {
            name: (*name).to_owned(),
            digest: Digest::of(bytes),
            bytes: bytes.len() as u64,
        })
        .collect();
    let manifest: AdapterManifest = serde_json::from_value(json!({
        "baseModel": base_model, "dataset": Digest::of(b"dataset"), "files": listed, "attribution": [],
        "lora": {"rank": 2, "alpha": 4, "dropout": "0", "targetModules": ["q_proj", "down_proj"]},
        "training": {"maxSteps": 1, "batchSize": 1, "sequenceLength": 8, "gradientAccumulation": 1,
            "learningRate": "0.001", "schedule": "Constant", "warmupSteps": 0, "weightDecay": "0",
            "clipNorm": "0", "seed": 1},
    }))
    .unwrap();
    let bytes = cooperator_contract::canonical(&manifest).unwrap();
    let digest = Digest::of(&bytes);
    for (name, bytes) in files {
        storage.set_object(BUCKET, &layout::adapter(&digest, name), bytes);
    }
    storage.set_object(BUCKET, &layout::adapter(&digest, "manifest.json"), bytes);
    digest
}
