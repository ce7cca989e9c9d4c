use cooperator_contract::layout;
use cooperator_contract::manifest::{Record, Shard};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::Task;
use cooperator_core::digest::Digest;

use crate::texts::{rows, sentence};
use crate::world::{World, digest, failure, ingest};

fn records(world: &World, shards: &[Shard]) -> Vec<Record> {
    let bytes = shards.iter().flat_map(|shard| world.bytes(&layout::blob(&shard.digest)));
    let bytes: Vec<u8> = bytes.collect();
    serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_two_members_give_is_kept_once_by_the_first_contribution_name() {
    let world = World::new().await;
    let base_model = digest(world.import("tied", None).await);
    let shared = sentence(0, 7);
    world.give("washington.jsonl", rows(&[sentence(20, 5), shared.clone()]));
    world.give("lincoln.jsonl", rows(&[shared.clone(), sentence(40, 9), shared.clone()]));
    let mut task = ingest(base_model, &["washington", "lincoln"]);
    task.holdout_basis_points = 0;
    let outcome = world.run("dataset", 1, Task::Ingest(task)).await;
    let Outcome::Succeeded { digest, key } = outcome else { panic!("{outcome:?}") };
    assert_eq!(key, layout::dataset("addresses", &digest));
    assert_eq!(Digest::of(&world.bytes(&key)), digest);

    let manifest = world.dataset(&digest);
    let counts: Vec<_> = manifest
        .contributions
        .iter()
        .map(|given| {
            (given.name.as_str(), given.member.as_str(), given.records, given.tokens, given.duplicates)
        })
        .collect();
    let expected = [("lincoln", "member-lincoln", 2, 7 + 9, 1), ("washington", "member-washington", 1, 5, 1)];
    assert_eq!(counts, expected);
    assert_eq!((manifest.records, manifest.tokens), (3, 21));
    let kept = records(&world, &manifest.shards);
    let owners: Vec<&str> = kept
        .iter()
        .filter(|record| record.text == shared)
        .map(|record| record.contribution.as_str())
        .collect();
    assert_eq!(owners, ["lincoln"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_held_out_part_is_chosen_by_the_hash_of_each_text() {
    let world = World::new().await;
    let base_model = digest(world.import("tied", None).await);
    let texts: Vec<String> = (0..80).map(|first| sentence(first, 3 + first / 58)).collect();
    world.give("lincoln.jsonl", rows(&texts));
    let mut task = ingest(base_model, &["lincoln"]);
    task.holdout_basis_points = 2_500;
    let manifest = world.dataset(&digest(world.run("dataset", 1, Task::Ingest(task)).await));

    let is_held_out = |record: &Record| {
        let head: [u8; 8] = record.id.as_bytes()[..8].try_into().unwrap();
        u64::from_be_bytes(head) % 10_000 < 2_500
    };
    let (train, held_out) = (records(&world, &manifest.shards), records(&world, &manifest.held_out));
    assert!(!held_out.is_empty() && held_out.iter().all(is_held_out));
    assert!(!train.is_empty() && !train.iter().any(is_held_out));
    assert!(held_out.iter().chain(&train).all(|record| record.id == Digest::of(record.text.as_bytes())));
    assert_eq!(train.len() + held_out.len(), texts.len());
    let [count] = manifest.contributions.as_slice() else { panic!("{manifest:?}") };
    assert_eq!((count.records, count.held_out_records), (train.len() as u64, held_out.len() as u64));
    let tokens: u64 = train.iter().map(|record| u64::from(record.tokens)).sum();
    assert_eq!((count.tokens, manifest.tokens), (tokens, tokens), "held-out tokens credit nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_missing_or_no_text_ends_the_build_naming_the_contribution() {
    let world = World::new().await;
    let base_model = digest(world.import("tied", None).await);
    world.give("lincoln.jsonl", rows(&[sentence(0, 5)]));
    world.give("song.jsonl", &b"ID3\x04\0\0\xff\xfb"[..]);
    world.give("table.jsonl", "{\"text\": \"w3 w4\"}\n{\"title\": \"no text\"}\n");
    let cases = [
        ("adams", FailureReason::SourceNotFound, "s3://works/adams.jsonl"),
        ("song", FailureReason::SourceUnreadable, "song.jsonl"),
        ("table", FailureReason::SourceUnreadable, "row 2"),
    ];
    for (attempt, (name, reason, named)) in (1..).zip(cases) {
        let task = ingest(base_model, &["lincoln", name]);
        let message = failure(world.run("dataset", attempt, Task::Ingest(task)).await, reason);
        assert!(message.contains(&format!("`{name}`")) && message.contains(named), "{message}");
    }
    assert_eq!(world.keys("datasets/"), [""; 0], "no manifest is written");
}
