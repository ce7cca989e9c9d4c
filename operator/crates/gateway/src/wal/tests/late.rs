//! Objects that come late, twice, out of order or altered; clocks that go back; disks that are set back; two replicas.

use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_contract::settle::{GatewayProof, Period};
use cooperator_core::digest::Digest;
use cooperator_settle::usage::count;
use cooperator_usage::chain::Chain;

use super::*;

/// Rows that a settlement counts, and of each gateway how many.
async fn settled(server: &Server) -> (u64, Vec<GatewayProof>) {
    let at = |text: &str| text.parse().unwrap();
    let (start, end) = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let period = Period { name: "2026-11".to_owned(), start, end };
    let (_, proof) = count(&server.store("usage"), &period, &[]).await.unwrap();
    (proof.rows, proof.gateways)
}

/// A chunk with these rows, the first of their log.
fn first_chunk(gateway: &str, rows: &[UsageRow]) -> (String, Bytes) {
    let (_, bytes) = chunk::encode(&mut Chain::genesis(gateway), rows).unwrap();
    (layout::usage_chunk(gateway, 1, &Digest::of(&bytes)), bytes.into())
}

fn parquets(server: &Server) -> usize {
    server.keys("usage").iter().filter(|key| key.ends_with(".parquet")).count()
}

#[tokio::test]
async fn a_chunk_that_cannot_be_deleted_is_not_packed_a_second_time() {
    let (folder, server, clock) = (tempfile::tempdir().unwrap(), Server::start().await, clock());
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    let mut uploader = uploader(&wal, &server, &clock);
    for tokens in 1..=3 {
        append(&wal, &[tokens]).await;
        uploader.tick().await.unwrap();
    }
    clock.advance(SignedDuration::from_hours(2));
    server.fault(Rule::new(Fault::Status(503)).method("DELETE").after(1).times(2));
    assert!(uploader.tick().await.is_err());
    assert!(uploader.tick().await.is_err());
    uploader.tick().await.unwrap();
    assert_eq!((server.keys("usage").len(), parquets(&server)), (1, 1));
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3]);
}

#[tokio::test]
async fn a_chunk_that_arrives_after_a_longer_one_in_its_place_is_counted_once() {
    let (folder, server, clock) = (tempfile::tempdir().unwrap(), Server::start().await, clock());
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    append(&wal, &[1, 2]).await;
    // Under way when the gateway is killed: the next process does not find it yet.
    let (key, bytes) = first_chunk(wal.gateway(), &wal.rows());
    drop(wal);
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    append(&wal, &[3]).await;
    uploader(&wal, &server, &clock).flush().await.unwrap();
    server.set_object("usage", &key, bytes);
    assert_eq!((server.keys("usage").len(), settled(&server).await.0), (2, 3));
    // Killed again: now both are found.
    drop(wal);
    let (wal, _) = open(folder.path(), &clock, 1 << 20);
    let mut uploader = uploader(&wal, &server, &clock);
    append(&wal, &[4]).await;
    uploader.tick().await.unwrap();
    assert_eq!(settled(&server).await.0, 4);
    clock.advance(SignedDuration::from_hours(2));
    uploader.tick().await.unwrap();
    assert_eq!((server.keys("usage").len(), parquets(&server), settled(&server).await.0), (1, 1, 4));
    assert_eq!(tokens(&uploaded(&server)), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_after_an_hour_was_packed_stops_no_upload_and_no_settlement() {
    for packed_twice in [false, true] {
        let (folder, server, clock) = (tempfile::tempdir().unwrap(), Server::start().await, clock());
        let (wal, _) = open(folder.path(), &clock, 1);
        append(&wal, &[1, 2]).await;
        let mut first = uploader(&wal, &server, &clock);
        clock.advance(SignedDuration::from_hours(2));
        first.tick().await.unwrap();
        assert_eq!(parquets(&server), 1);
        drop((first, wal));
        clock.advance(SignedDuration::from_hours(-3));
        // Started twice without a row between: only the checkpoint knows how late it was.
        drop(open(folder.path(), &clock, 1));
        let (wal, _) = open(folder.path(), &clock, 1);
        append(&wal, &[3]).await;
        let mut second = uploader(&wal, &server, &clock);
        second.tick().await.unwrap();
        if packed_twice {
            clock.advance(SignedDuration::from_hours(3));
            second.tick().await.unwrap();
            assert_eq!(parquets(&server), 2);
        }
        drop((second, wal));
        let (wal, _) = open(folder.path(), &clock, 1);
        append(&wal, &[4]).await;
        uploader(&wal, &server, &clock).tick().await.unwrap();
        assert_eq!(wal.pending(), 0);
        assert_eq!(settled(&server).await.0, 4);
        let rows = uploaded(&server);
        assert!(rows.is_sorted_by_key(|row| row.time) && tokens(&rows) == [1, 2, 3, 4], "{rows:?}");
    }
}

#[tokio::test]
async fn an_object_that_says_another_thing_than_the_disk_stops_the_upload_and_is_named() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1, 2]).await;
    let mut altered = wal.rows();
    altered[1].output_tokens = 2_000_000;
    let (key, bytes) = first_chunk(wal.gateway(), &altered);
    server.set_object("usage", &key, bytes);
    let mut uploader = uploader(&wal, &server, &clock());
    let error = uploader.flush().await.unwrap_err().to_string();
    assert!(error.contains(&key) && error.contains("row 2 is not the one on disk"), "{error}");
    assert_eq!(wal.pending(), 2);
}

#[tokio::test]
async fn a_disk_that_was_set_back_gives_no_number_out_twice() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[1]).await;
    drop(wal);
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    append(&wal, &[2]).await;
    uploader(&wal, &server, &clock()).flush().await.unwrap();
    let (old, _) = open(copy.path(), &clock(), 1 << 20);
    let error = uploader(&old, &server, &clock()).flush().await.unwrap_err().to_string();
    assert!(error.contains("row 2 is not the one on disk"), "{error}");
    append(&old, &[9]).await;
    let error = uploader(&old, &server, &clock()).flush().await.unwrap_err().to_string();
    assert!(error.contains("row 2 is not the one on disk"), "{error}");
    assert_eq!(tokens(&uploaded(&server)), [1, 2]);
}

#[tokio::test]
async fn a_folder_is_written_by_one_gateway_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path(), &clock(), 1 << 20);
    let patience = Duration::from_millis(50);
    let error = segment::lock(folder.path(), patience).unwrap_err().to_string();
    assert!(
        error.contains(&folder.path().display().to_string()) && error.contains("another gateway"),
        "{error}"
    );
    append(&wal, &[1]).await;
    drop(wal);
    assert_eq!(tokens(&open(folder.path(), &clock(), 1 << 20).0.rows()), [1]);
}

#[tokio::test]
async fn two_replicas_of_one_pods_name_write_two_logs_that_settle_once_each() {
    let (a, b, server) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Server::start().await);
    let clock = clock();
    let wals = [open(a.path(), &clock, 600).0, open(b.path(), &clock, 600).0];
    let mut uploaders = [&wals[0], &wals[1]].map(|wal| uploader(wal, &server, &clock));
    for round in 0..6 {
        for (wal, uploader) in wals.iter().zip(&mut uploaders) {
            append(wal, &[round]).await;
            uploader.tick().await.unwrap();
        }
        clock.advance(SignedDuration::from_mins(25));
    }
    let (rows, gateways) = settled(&server).await;
    assert_eq!((rows, gateways.len()), (12, 2));
    let through: Vec<u64> = gateways.iter().map(|proof| proof.through_sequence).collect();
    assert_eq!(through, [6, 6]);
    assert!(gateways[0].gateway != gateways[1].gateway);
}

#[tokio::test]
async fn a_disk_budget_below_a_segment_is_no_dead_end() {
    for (budget, segment_bytes) in [(2000, 1 << 20), (1, 1 << 20), (900, 1)] {
        let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
        let options = Options {
            folder: folder.path().to_owned(),
            replica: "gateway-0".to_owned(),
            disk_budget: budget,
            segment_bytes,
        };
        let (wal, _) = Wal::open(options, Arc::new(clock()), Metrics::new().0).unwrap();
        let mut uploader = uploader(&wal, &server, &clock());
        for round in 1..=5_usize {
            while wal.admits() {
                append(&wal, &[1]).await;
            }
            // Closed after its last row was uploaded, a segment goes with the next upload, which may be empty.
            for _ in 0..200 {
                uploader.flush().await.unwrap();
                if wal.admits() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(wal.admits(), "budget {budget}: full for ever in round {round}");
        }
        assert_eq!(uploaded(&server).len(), wal.shared.last.load(Ordering::Relaxed) as usize);
    }
}

#[tokio::test]
async fn a_segment_that_cannot_be_deleted_is_summed_up_once() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (wal, _) = open(folder.path(), &clock(), 1);
    append(&wal, &[1, 2, 3]).await;
    wal.closed_when(3).await;
    let closed = wal.shared.closed()[1].clone();
    let bytes = fs::read(&closed.path).unwrap();
    let mut uploader = uploader(&wal, &server, &clock());
    uploader.flush().await.unwrap();
    // As if the checkpoint were written and the file could not be deleted.
    fs::write(&closed.path, bytes).unwrap();
    wal.shared.bytes.fetch_add(closed.bytes, Ordering::Relaxed);
    wal.shared.closed().push_front(closed.clone());
    uploader.flush().await.unwrap();
    assert!(!closed.path.exists());
    drop((uploader, wal));
    let (_, spent) = open(folder.path(), &clock(), 1);
    assert_eq!(spent, [("a".to_owned(), Amount::from_pico(6_000_000))]);
}
