use std::collections::BTreeMap;

use cooperator_contract::manifest::File;
use cooperator_contract::run::{RefusedContribution, Source, SplitShare, TextFormat};
use cooperator_store::Credentials;
use cooperator_store::testing::{Fault, Rule, Server};
use tempfile::TempDir;

use super::*;
use crate::source::Guard;

mod abuse;

/// A word is a token.
const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
    "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
    "model":{"type":"WordLevel","vocab":{"?":0},"unk_token":"?"}}"#;

struct Bench {
    server: Server,
    store: Store,
    base: Digest,
}

impl Bench {
    async fn new() -> Self {
        let server = Server::start().await;
        let store = server.store("own");
        let tokenizer = store.put_blob(TOKENIZER.into()).await.unwrap();
        let files = vec![File { name: "tokenizer.json".to_owned(), digest: tokenizer, bytes: 0 }];
        let manifest = ModelManifest {
            architecture: "llama".to_owned(),
            parameters: 1,
            license: "Apache-2.0".to_owned(),
            source_digest: tokenizer,
            files,
        };
        let base = store.put_manifest(layout::model, &manifest).await.unwrap();
        Self { server, store, base }
    }

    fn task(&self, names: &[&str]) -> IngestTask {
        let contribution = |name: &&str| IngestContribution {
            name: (*name).to_owned(),
            member: format!("member-of-{name}"),
            source: Source { storage_uri: format!("s3://works/{name}/"), digest: None },
            license: "CC0-1.0".to_owned(),
            split_sheet: vec![SplitShare { member: format!("member-of-{name}"), basis_points: 10_000 }],
        };
        IngestTask {
            dataset: "addresses".to_owned(),
            base_model: self.base,
            contributions: names.iter().map(contribution).collect(),
            refused: vec![RefusedContribution {
                name: "z".to_owned(),
                member: "nixon".to_owned(),
                reason: "LicenseNotAllowed".to_owned(),
                message: "license `Proprietary` is not among the policy's".to_owned(),
            }],
            text: TextOptions { format: TextFormat::Auto, text_field: "text".to_owned(), record_tokens: 4 },
            deduplicate: true,
            holdout_basis_points: 0,
        }
    }

    async fn run(&self, task: &IngestTask) -> Result<Digest, IngestError> {
        let work = TempDir::new().unwrap();
        let credentials = Credentials::new("GKtest", "test-secret");
        let reader = Reader::new(self.server.location("own"), credentials, Guard::PUBLIC);
        ingest(task, &self.store, &reader, work.path(), |_, _| {}).await
    }

    async fn manifest(&self, digest: &Digest) -> DatasetManifest {
        self.store.get_manifest(&layout::dataset("addresses", digest), digest).await.unwrap()
    }

    async fn records(&self, shards: &[Shard]) -> Vec<Record> {
        let mut records = Vec::new();
        for shard in shards {
            let bytes = self.store.get_blob(&shard.digest).await.unwrap();
            assert_eq!(bytes.len() as u64, shard.bytes);
            let lines: Vec<Record> = bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect();
            assert_eq!(lines.len() as u64, shard.records);
            assert_eq!(lines.iter().map(|record| u64::from(record.tokens)).sum::<u64>(), shard.tokens);
            records.extend(lines);
        }
        records
    }
}

#[tokio::test]
async fn works_become_records_and_the_first_by_name_keeps_a_duplicate() {
    let bench = Bench::new().await;
    bench.server.set_object("works", "b/rows.jsonl", "{\"text\":\"one two\"}\n{\"text\":\"three\"}\n");
    bench.server.set_object("works", "a/1.txt", "one  two\r\n");
    bench.server.set_object("works", "a/2.txt", "\u{feff}one  two\n\n\n\nfour five six. Seven eight.");
    let digest = bench.run(&bench.task(&["b", "a"])).await.unwrap();
    let manifest = bench.manifest(&digest).await;
    let texts: Vec<_> =
        bench.records(&manifest.shards).await.into_iter().map(|r| (r.contribution, r.text)).collect();
    let expected =
        [("a", "one  two"), ("a", "four five six."), ("a", "Seven eight."), ("b", "one two"), ("b", "three")];
    assert_eq!(texts, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let counts: BTreeMap<_, _> = manifest
        .contributions
        .iter()
        .map(|c| (c.name.as_str(), (c.records, c.tokens, c.duplicates)))
        .collect();
    assert_eq!(counts, BTreeMap::from([("a", (3, 9, 1)), ("b", (2, 3, 0))]));
    assert_eq!((manifest.records, manifest.tokens, manifest.refused.len()), (5, 12, 1));
}

#[tokio::test]
async fn the_same_works_give_the_same_digest_whatever_order_they_are_named_in() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        let text: String = (0..200).map(|i| format!("{name} line {i}.\n\n")).collect();
        bench.server.set_object("works", &format!("{name}/text.txt"), text);
    }
    let mut task = bench.task(&["a", "b", "c"]);
    task.holdout_basis_points = 1000;
    let digest = bench.run(&task).await.unwrap();
    task.contributions.reverse();
    assert_eq!(bench.run(&task).await.unwrap(), digest);
    let manifest = bench.manifest(&digest).await;
    let held_out = bench.records(&manifest.held_out).await;
    assert!(!held_out.is_empty());
    assert_eq!(manifest.contributions.iter().map(|c| c.held_out_records).sum::<u64>(), held_out.len() as u64);
    let train = bench.records(&manifest.shards).await;
    assert!(held_out.iter().all(|record| train.iter().all(|other| other.id != record.id)));
    bench.server.set_object("works", "a/text.txt", "another text");
    assert_ne!(bench.run(&task).await.unwrap(), digest);
}

#[tokio::test]
async fn a_source_that_is_no_text_is_named_by_contribution_file_and_line() {
    let bench = Bench::new().await;
    bench.server.set_object("works", "a/fine.txt", "fine");
    bench.server.set_object("works", "b/broken.txt", &b"one\ntwo \xff"[..]);
    let error = bench.run(&bench.task(&["a", "b"])).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceUnreadable);
    let text = error.to_string();
    assert!(text.starts_with("contribution `b`: broken.txt: line 2, byte 8"), "{text}");
    assert!(
        bench.server.keys("own").iter().all(|key| !key.starts_with("datasets/")),
        "no manifest after a failure"
    );
}

#[tokio::test]
async fn a_source_that_is_missing_and_works_without_a_record_are_told_apart() {
    let bench = Bench::new().await;
    let error = bench.run(&bench.task(&["a"])).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceNotFound, "{error}");
    bench.server.set_object("works", "a/blank.txt", " \n\n");
    let error = bench.run(&bench.task(&["a"])).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::NoRecords, "{error}");
}

#[tokio::test]
async fn large_works_become_several_shards_and_a_failed_upload_leaves_no_manifest() {
    let bench = Bench::new().await;
    let text: String = (0..60_000).map(|i| format!("{{\"text\":\"{} {i}\"}}\n", "w".repeat(120))).collect();
    bench.server.set_object("works", "a/rows.jsonl", text);
    let digest = bench.run(&bench.task(&["a"])).await.unwrap();
    let manifest = bench.manifest(&digest).await;
    assert!(
        manifest.shards.len() > 1 && manifest.shards.iter().all(|shard| shard.bytes <= SHARD_BYTES as u64)
    );
    assert_eq!(bench.records(&manifest.shards).await.len(), 60_000);
    let other = Bench::new().await;
    other.server.set_object("works", "a/rows.jsonl", "{\"text\":\"one\"}");
    other.server.fault(Rule::new(Fault::Status(403)).method("PUT"));
    let error = other.run(&other.task(&["a"])).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::StorageUnavailable, "{error}");
    assert!(other.server.keys("own").iter().all(|key| !key.starts_with("datasets/")));
}
