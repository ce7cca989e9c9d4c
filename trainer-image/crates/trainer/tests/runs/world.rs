//! A Collective's bucket, and runs in it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_contract::manifest::{CheckpointManifest, DatasetManifest, Evaluation};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::preflight::Floors;
use cooperator_contract::run::{
    AttributionMethod, BrokerAccess, Gate, ImportTask, IngestContribution, IngestTask, LoraOptions, RunFile,
    RunId, Schedule, Source, SplitShare, Task, TextFormat, TextOptions, TrainTask, TrainingOptions, VERSION,
};
use cooperator_core::digest::Digest;
use cooperator_store::Credentials;
use cooperator_store::testing::{Fault, Rule, Server};
use cooperator_trainer::run::{Access, execute};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::texts::{rows, sentence, tokenizer};

/// The Collective's.
pub const BUCKET: &str = "presidents";
/// Where works and models come from.
pub const WORKS: &str = "works";
/// `metadata.uid` of the FineTune.
pub const UID: &str = "5f0c";
/// Most that a test waits for another task.
const PATIENCE: Duration = Duration::from_secs(20);

/// Object storage, and a folder for runs.
pub struct World {
    pub storage: Server,
    work: TempDir,
}

/// A run on its way.
pub struct Running {
    pub stop: CancellationToken,
    ending: JoinHandle<Outcome>,
}

/// An imported model and a dataset made with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    pub base_model: Digest,
    pub dataset: Digest,
}

impl World {
    pub async fn new() -> Self {
        Self { storage: Server::start().await, work: TempDir::new().unwrap() }
    }

    /// One with works of two members in it, ready to train.
    pub async fn ready() -> (Self, Inputs) {
        let world = Self::new().await;
        let base_model = digest(world.import("tied", None).await);
        let (washington, lincoln): (Vec<_>, Vec<_>) =
            (0..90).map(|first| sentence(first * 5, 6 + first % 5)).partition(|text| text.len() % 2 == 0);
        world.give("lincoln.jsonl", rows(&lincoln));
        world.give("washington.jsonl", rows(&washington));
        let task = ingest(base_model, &["lincoln", "washington"]);
        let dataset = digest(world.run("dataset", 1, Task::Ingest(task)).await);
        (world, Inputs { base_model, dataset })
    }

    /// Puts a file where works come from.
    pub fn give(&self, key: &str, bytes: impl Into<Bytes>) {
        self.storage.set_object(WORKS, key, bytes);
    }

    /// Imports a fixture of the models crate in Hugging Face layout.
    pub async fn import(&self, fixture: &str, expected: Option<Digest>) -> Outcome {
        for name in ["config.json", "model.safetensors"] {
            self.give(&format!("{fixture}/{name}"), read_fixture(fixture, name));
        }
        self.give(&format!("{fixture}/tokenizer.json"), tokenizer());
        let source = Source { storage_uri: format!("s3://{WORKS}/{fixture}/"), digest: expected };
        let task = ImportTask { source, license: "Apache-2.0".to_owned() };
        self.run("model", 1, Task::Import(task)).await
    }

    /// Trains to the end.
    pub async fn train(&self, attempt: u32, task: TrainTask) -> Outcome {
        self.begin_training(attempt, task).end().await
    }

    pub fn begin_training(&self, attempt: u32, task: TrainTask) -> Running {
        self.begin(UID, attempt, Task::Train(Box::new(task)))
    }

    pub async fn run(&self, uid: &str, attempt: u32, task: Task) -> Outcome {
        self.begin(uid, attempt, task).end().await
    }

    /// Trains without the bucket's key: by the broker at `url`.
    pub async fn train_brokered(&self, attempt: u32, task: TrainTask, url: &str) -> Outcome {
        let access = Access::Broker { token: "run-token".to_owned() };
        let broker = Some(BrokerAccess { url: url.to_owned() });
        self.begin_with(UID, attempt, Task::Train(Box::new(task)), access, (broker, None)).end().await
    }

    /// The same on a machine with these floors.
    pub async fn train_above(&self, attempt: u32, task: TrainTask, url: &str, floors: Floors) -> Outcome {
        let access = Access::Broker { token: "run-token".to_owned() };
        let broker = Some(BrokerAccess { url: url.to_owned() });
        let task = Task::Train(Box::new(task));
        self.begin_with(UID, attempt, task, access, (broker, Some(floors))).end().await
    }

    fn begin(&self, uid: &str, attempt: u32, task: Task) -> Running {
        let access = Access::Key(Credentials::new("GKtest", "test-secret"));
        self.begin_with(uid, attempt, task, access, (None, None))
    }

    fn begin_with(
        &self,
        uid: &str,
        attempt: u32,
        task: Task,
        access: Access,
        (storage_broker, preflight): (Option<BrokerAccess>, Option<Floors>),
    ) -> Running {
        let run = RunId {
            namespace: "presidents".to_owned(),
            name: "text".to_owned(),
            uid: uid.to_owned(),
            attempt,
        };
        let file = RunFile {
            version: VERSION,
            run,
            storage: self.storage.location(BUCKET),
            storage_broker,
            progress_url: None,
            preflight,
            traceparent: None,
            outcome_path: String::new(),
            task,
        };
        let (stop, work) = (CancellationToken::new(), Some(self.work_folder()));
        let ending = tokio::spawn(execute(file, access, work, stop.clone()));
        Running { stop, ending }
    }

    pub fn work_folder(&self) -> PathBuf {
        self.work.path().to_owned()
    }

    /// From now on, what would write this key gets no answer that counts, and tries again: the run stands still there.
    pub fn hold(&self, key: &str) {
        self.storage.fault(Rule::new(Fault::Status(503)).method("PUT").on(key));
    }

    /// From now on, nobody may write this key: whoever tries ends there.
    pub fn forbid(&self, key: &str) {
        self.storage.fault(Rule::new(Fault::Status(403)).method("PUT").on(key));
    }

    /// Waits until a run has tried to write this key.
    pub async fn reached(&self, key: &str) {
        let called = || self.was_written(key);
        let waiting = async {
            while !called() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{key} is never written");
    }

    /// Whether a run has tried to write this key.
    pub fn was_written(&self, key: &str) -> bool {
        let wanted = format!("PUT {BUCKET}/{key}");
        self.storage.calls().iter().any(|call| call.split('?').next() == Some(&wanted))
    }

    pub fn bytes(&self, key: &str) -> Bytes {
        self.storage.object(BUCKET, key).unwrap_or_else(|| panic!("{key} is not there"))
    }

    /// A JSON object, whatever its digest.
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_slice(&self.bytes(key)).unwrap()
    }

    /// Keys below this prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.storage.keys(BUCKET).into_iter().filter(|key| key.starts_with(prefix)).collect()
    }

    /// Every checkpoint of the FineTune, sorted by attempt, then step.
    pub fn checkpoints(&self) -> Vec<CheckpointManifest> {
        let keys = self.keys(&layout::checkpoints(UID));
        let keys = keys.iter().filter(|key| layout::checkpoint_place(UID, key).is_some());
        keys.map(|key| self.json(key)).collect()
    }

    /// Attempt and step of each.
    pub fn places(&self) -> Vec<(u32, u64)> {
        self.checkpoints().iter().map(|manifest| (manifest.attempt, manifest.step)).collect()
    }

    /// Whether every blob of every checkpoint is there and has its digest.
    pub fn assert_checkpoints_whole(&self) {
        for manifest in self.checkpoints() {
            for blob in [manifest.adapter, manifest.optimizer, manifest.state] {
                let found = Digest::of(&self.bytes(&layout::checkpoint_blob(UID, &blob)));
                assert_eq!(found, blob, "attempt {} step {}", manifest.attempt, manifest.step);
            }
        }
    }

    pub fn dataset(&self, digest: &Digest) -> DatasetManifest {
        self.json(&layout::dataset("addresses", digest))
    }

    pub fn evaluation(&self, adapter: &Digest) -> Evaluation {
        self.json(&layout::adapter(adapter, "evaluation.json"))
    }
}

impl Running {
    pub async fn end(self) -> Outcome {
        tokio::time::timeout(PATIENCE, self.ending).await.expect("the run does not end").unwrap()
    }
}

pub fn read_fixture(fixture: &str, name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/fixtures");
    std::fs::read(format!("{folder}/{fixture}/{name}")).unwrap()
}

/// The digest of a run that succeeded.
pub fn digest(outcome: Outcome) -> Digest {
    match outcome {
        Outcome::Succeeded { digest, .. } => digest,
        Outcome::Failed { reason, message } => panic!("{reason:?}: {message}"),
    }
}

/// The message of a run that failed for this reason.
pub fn failure(outcome: Outcome, expected: FailureReason) -> String {
    match outcome {
        Outcome::Failed { reason, message } => {
            assert_eq!(reason, expected, "{message}");
            assert!(!message.contains('\n') && !message.contains("test-secret"), "{message}");
            message
        }
        Outcome::Succeeded { digest, .. } => panic!("succeeded with {digest}"),
    }
}

/// Key of a checkpoint's manifest.
pub fn checkpoint(attempt: u32, step: u64) -> String {
    layout::checkpoint(UID, attempt, step)
}

/// A dataset of these contributions, a file of JSON rows each.
pub fn ingest(base_model: Digest, contributions: &[&str]) -> IngestTask {
    let contribution = |name: &&str| IngestContribution {
        name: (*name).to_owned(),
        member: format!("member-{name}"),
        source: Source { storage_uri: format!("s3://{WORKS}/{name}.jsonl"), digest: None },
        license: "CC0-1.0".to_owned(),
        split_sheet: vec![SplitShare { member: format!("member-{name}"), basis_points: 10_000 }],
    };
    IngestTask {
        dataset: "addresses".to_owned(),
        base_model,
        contributions: contributions.iter().map(contribution).collect(),
        refused: vec![],
        text: TextOptions { format: TextFormat::Auto, text_field: "text".to_owned(), record_tokens: 64 },
        deduplicate: true,
        holdout_basis_points: 1_000,
    }
}

/// Eight steps over a little more than one pass, with all that is random: order, dropout, initial values.
pub fn training(Inputs { base_model, dataset }: Inputs) -> TrainTask {
    TrainTask {
        fine_tune: "text".to_owned(),
        base_model,
        dataset: "addresses".to_owned(),
        dataset_digest: dataset,
        lora: LoraOptions {
            rank: 4,
            alpha: 8,
            dropout: "0.1".to_owned(),
            target_modules: ["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec(),
        },
        training: TrainingOptions {
            max_steps: 8,
            batch_size: 2,
            sequence_length: 24,
            gradient_accumulation: 2,
            learning_rate: "0.05".to_owned(),
            schedule: Schedule::Cosine,
            warmup_steps: 2,
            weight_decay: "0.01".to_owned(),
            clip_norm: "1".to_owned(),
            seed: 7,
        },
        checkpoint_every_steps: 2,
        checkpoint_keep: 2,
        prompts: vec!["w10 w11 w12".to_owned()],
        evaluation_tokens: 0,
        gates: Vec::<Gate>::new(),
        attribution: AttributionMethod::Tokens,
        builder_image: format!("registry.local/trainer@{}", Digest::of(b"image")),
    }
}
