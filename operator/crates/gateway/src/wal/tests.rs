use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_core::money::Amount;
use cooperator_core::time::{SignedDuration, TestClock, Timestamp};
use cooperator_store::testing::{Fault, Rule, Server};
use cooperator_usage::chunk;
use cooperator_usage::hour::HourReader;

use super::upload::Uploader;
use super::*;

mod late;
mod sweep;

impl Wal {
    /// Rows that are on disk and not in object storage.
    pub(crate) fn rows(&self) -> Vec<UsageRow> {
        self.shared.pending().iter().cloned().collect()
    }

    /// Waits until so many segments are closed, which comes after the last row was answered for.
    async fn closed_when(&self, count: usize) {
        for _ in 0..500 {
            if self.shared.closed().len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} segments are closed", self.shared.closed().len());
    }
}

fn clock() -> TestClock {
    TestClock::new("2026-11-24T11:30:00Z".parse().unwrap())
}

fn open(folder: &Path, clock: &TestClock, segment_bytes: u64) -> (Wal, Vec<(String, Amount)>) {
    let options = Options {
        folder: folder.to_owned(),
        replica: "gateway-0".to_owned(),
        disk_budget: 100_000,
        segment_bytes,
    };
    Wal::open(options, Arc::new(clock.clone()), Metrics::new().0).unwrap()
}

fn row(key: &str, output_tokens: u64) -> UsageRow {
    UsageRow {
        gateway: String::new(),
        sequence: 0,
        time: Timestamp::UNIX_EPOCH,
        key: key.to_owned(),
        consumer: "library".to_owned(),
        deployment: "presidents".to_owned(),
        adapter: None,
        input_tokens: 0,
        output_tokens,
        price: PriceTag { currency: "USD".to_owned(), input: "0".to_owned(), output: "1".to_owned() },
        status: UsageStatus::Completed,
    }
}

async fn append(wal: &Wal, tokens: &[u64]) {
    for tokens in tokens {
        wal.append(row("a", *tokens)).await.unwrap();
    }
}

fn tokens(rows: &[UsageRow]) -> Vec<u64> {
    rows.iter().map(|row| row.output_tokens).collect()
}

/// Files of a log, by name.
fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "wal")).collect();
    files.sort();
    files
}

fn uploader(wal: &Wal, server: &Server, clock: &TestClock) -> Uploader {
    Uploader::new(wal.clone(), server.store("usage").with_attempts(1), Arc::new(clock.clone()))
}

/// All rows in object storage, in order, each as often as it is there.
fn uploaded(server: &Server) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    for key in server.keys("usage") {
        let bytes = server.object("usage", &key).unwrap();
        if key.ends_with(".ndjson.zst") {
            rows.extend(chunk::decode(&bytes).unwrap().1);
        } else {
            let mut reader = HourReader::open(bytes).unwrap();
            while let Some(group) = reader.next_group().unwrap() {
                rows.extend(group);
            }
        }
    }
    rows.sort_by_key(|row| row.sequence);
    rows
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_crash_and_the_sequence_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1, 2]).await;
    let id = wal.gateway().to_owned();
    drop(wal);
    let (wal, spent) = open(folder.path(), &clock(), 1 << 20);
    assert_eq!(wal.gateway(), id);
    assert_eq!(spent, [("a".to_owned(), Amount::from_pico(3_000_000))]);
    append(&wal, &[3]).await;
    assert_eq!(wal.rows().iter().map(|row| row.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(tokens(&wal.rows()), [1, 2, 3]);
}

#[tokio::test]
async fn another_folder_is_another_log_even_of_a_pod_with_the_same_name() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ids = [open(a.path(), &clock(), 1 << 20).0, open(b.path(), &clock(), 1 << 20).0];
    assert!(ids[0].gateway() != ids[1].gateway() && ids[0].gateway().starts_with("gateway-0-"));
}

#[tokio::test]
async fn cut_anywhere_in_the_last_record_the_log_keeps_all_before_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1, 2]).await;
    let whole = fs::read(&segments(folder.path())[0]).unwrap();
    let second = whole.len() / 2;
    for length in second..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join("checkpoint.json"), copy.path().join("checkpoint.json")).unwrap();
        fs::write(copy.path().join("00000000000000000001.wal"), &whole[..length]).unwrap();
        let (wal, _) = open(copy.path(), &clock(), 1 << 20);
        assert_eq!(tokens(&wal.rows()), [1], "cut at {length} of {}", whole.len());
        append(&wal, &[9]).await;
        drop(wal);
        assert_eq!(tokens(&open(copy.path(), &clock(), 1 << 20).0.rows()), [1, 9]);
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_last_record_is_not_taken_for_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1, 2]).await;
    let whole = fs::read(&segments(folder.path())[0]).unwrap();
    for at in whole.len() / 2..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join("checkpoint.json"), copy.path().join("checkpoint.json")).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(copy.path().join("00000000000000000001.wal"), &bytes).unwrap();
        assert_eq!(tokens(&open(copy.path(), &clock(), 1 << 20).0.rows()), [1]);
    }
}

#[tokio::test]
async fn damage_before_the_last_segment_is_named_and_nothing_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path(), &clock(), 1);
    append(&wal, &[1, 2]).await;
    drop(wal);
    let first = &segments(folder.path())[0];
    let mut bytes = fs::read(first).unwrap();
    bytes[20] ^= 1;
    fs::write(first, bytes).unwrap();
    let options =
        Options { folder: folder.path().to_owned(), replica: "g".into(), disk_budget: 1, segment_bytes: 1 };
    let error = Wal::open(options.clone(), Arc::new(clock()), Metrics::new().0).err().unwrap().to_string();
    assert!(error.contains("byte 0 is damaged"), "{error}");
    fs::remove_file(first).unwrap();
    let error = Wal::open(options, Arc::new(clock()), Metrics::new().0).err().unwrap().to_string();
    assert!(error.contains("begins at sequence 2 where 1 must come"), "{error}");
}

#[tokio::test]
async fn rows_that_wait_together_are_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        folder: folder.path().to_owned(),
        replica: "g".into(),
        disk_budget: u64::MAX,
        segment_bytes: u64::MAX,
    };
    let (wal, _) =
        Wal::open(options, Arc::new(cooperator_core::time::SystemClock), Metrics::new().0).unwrap();
    let appends = (0..2000).map(|tokens| {
        let wal = wal.clone();
        tokio::spawn(async move { wal.append(row("a", tokens)).await.unwrap() })
    });
    futures::future::join_all(appends).await;
    let rows = wal.rows();
    let mut times: Vec<_> = rows.iter().map(|row| row.time).collect();
    times.dedup();
    assert!(rows.len() == 2000 && times.len() < 1000, "{} batches", times.len());
    assert!(rows.iter().zip(1..).all(|(row, sequence)| row.sequence == sequence));
}

#[tokio::test]
async fn the_log_never_goes_back_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    append(&wal, &[1]).await;
    clock.advance(SignedDuration::from_hours(-2));
    append(&wal, &[2]).await;
    let rows = wal.rows();
    assert!(rows[1].time >= rows[0].time);
}

#[tokio::test]
async fn above_the_disk_budget_nothing_new_is_admitted_until_object_storage_has_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1000);
    server.fault(Rule::new(Fault::Status(503)));
    let mut uploader = uploader(&wal, &server, &clock());
    for tokens in 0..600 {
        append(&wal, &[tokens]).await;
    }
    assert!(uploader.flush().await.is_err());
    assert!(!wal.admits());
    server.heal();
    uploader.flush().await.unwrap();
    assert!(wal.admits());
    assert_eq!(uploaded(&server).len(), 600);
}

#[tokio::test]
async fn killed_between_append_and_upload_every_row_arrives_once() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 600);
    append(&wal, &[1, 2, 3]).await;
    uploader(&wal, &server, &clock()).flush().await.unwrap();
    append(&wal, &[4, 5]).await;
    drop(wal);
    let (wal, _) = open(folder.path(), &clock(), 600);
    append(&wal, &[6]).await;
    uploader(&wal, &server, &clock()).flush().await.unwrap();
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(wal.pending(), 0);
}

#[tokio::test]
async fn killed_after_an_upload_whose_answer_was_lost_every_row_arrives_once() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1, 2]).await;
    server.fault(Rule::new(Fault::Lost(503)).method("PUT"));
    assert!(uploader(&wal, &server, &clock()).flush().await.is_err());
    server.heal();
    drop(wal);
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[3]).await;
    uploader(&wal, &server, &clock()).flush().await.unwrap();
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3]);
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_repeated_byte_for_byte() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1]).await;
    let mut uploader = uploader(&wal, &server, &clock());
    server.fault(Rule::new(Fault::Lost(503)).method("PUT").times(1));
    assert!(uploader.flush().await.is_err());
    append(&wal, &[2]).await;
    uploader.flush().await.unwrap();
    assert_eq!(tokens(&uploaded(&server)), [1, 2]);
    assert_eq!(server.keys("usage").len(), 2);
}

#[tokio::test]
async fn segments_go_only_when_object_storage_has_them_and_their_sum_stays() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1);
    append(&wal, &[1, 2, 3]).await;
    wal.closed_when(3).await;
    assert_eq!(segments(folder.path()).len(), 4, "three, and the one that is written to");
    uploader(&wal, &server, &clock()).flush().await.unwrap();
    assert_eq!(segments(folder.path()).len(), 1);
    drop(wal);
    let (wal, spent) = open(folder.path(), &clock(), 1);
    assert_eq!(spent, [("a".to_owned(), Amount::from_pico(6_000_000))]);
    append(&wal, &[4]).await;
    assert_eq!(wal.rows().last().unwrap().sequence, 4);
}

#[tokio::test]
async fn an_hour_that_is_over_becomes_one_file_and_its_chunks_go() {
    let (folder, server, clock) = (tempfile::tempdir().unwrap(), Server::start().await, clock());
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    let mut uploader = uploader(&wal, &server, &clock);
    for tokens in 1..=3 {
        append(&wal, &[tokens]).await;
        uploader.tick().await.unwrap();
    }
    assert_eq!(server.keys("usage").len(), 3);
    clock.advance(SignedDuration::from_mins(30));
    append(&wal, &[4]).await;
    uploader.tick().await.unwrap();
    assert_eq!(server.keys("usage").len(), 4, "an hour waits a minute for stragglers");
    clock.advance(SignedDuration::from_mins(2));
    uploader.tick().await.unwrap();
    let keys = server.keys("usage");
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.iter().any(|key| key.contains("/2026/11/24/11-") && key.ends_with(".parquet")), "{keys:?}");
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3, 4]);
}

#[tokio::test]
async fn killed_in_the_middle_of_a_compaction_no_row_is_lost_or_counted_twice_afterwards() {
    let (folder, server, clock) = (tempfile::tempdir().unwrap(), Server::start().await, clock());
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    let mut first = uploader(&wal, &server, &clock);
    for tokens in 1..=3 {
        append(&wal, &[tokens]).await;
        first.tick().await.unwrap();
    }
    clock.advance(SignedDuration::from_hours(2));
    server.fault(Rule::new(Fault::Status(503)).method("DELETE").after(1));
    assert!(first.tick().await.is_err());
    server.heal();
    drop((first, wal));
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    append(&wal, &[4]).await;
    uploader(&wal, &server, &clock).tick().await.unwrap();
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_uploads_all_it_has() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    let stop = tokio_util::sync::CancellationToken::new();
    let uploader = uploader(&wal, &server, &clock());
    let interval = Duration::from_millis(20);
    server.fault(Rule::new(Fault::Status(503)).times(3));
    let running = tokio::spawn(uploader.run(interval, Duration::from_secs(10), stop.clone()));
    append(&wal, &[1, 2, 3]).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3]);
}
