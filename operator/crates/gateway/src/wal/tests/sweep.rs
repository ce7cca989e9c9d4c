//! A gateway that dies at every call it makes to object storage, before it is done and after: the end is the same.

use cooperator_contract::settle::Period;
use cooperator_settle::usage::count;

use super::*;

/// Rows of a story, two at a time, over two hours and a half.
const ROUNDS: u64 = 6;

/// What is there at the end.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// Rows in object storage, each as often as it is there.
    tokens: Vec<u64>,
    /// Hours, and nothing else.
    objects: usize,
    settled: u64,
    /// What the disk says was spent.
    spent: Vec<(String, Amount)>,
}

/// Tells the story; at the call that goes wrong the process dies and the next one goes on.
async fn story(rule: Option<Rule>) -> (End, usize) {
    let (folder, server, clock) = (tempfile::tempdir().unwrap(), Server::start().await, clock());
    if let Some(rule) = rule {
        server.fault(rule);
    }
    let mut process = begin(folder.path(), &server, &clock);
    for round in 0..=ROUNDS {
        if round < ROUNDS {
            append(&process.0, &[2 * round, 2 * round + 1]).await;
        } else {
            clock.advance(SignedDuration::from_hours(3));
        }
        while process.1.tick().await.is_err() {
            drop(process);
            process = begin(folder.path(), &server, &clock);
        }
        clock.advance(SignedDuration::from_mins(25));
    }
    drop(process);
    let calls = server.calls().len();
    let at = |text: &str| text.parse().unwrap();
    let (start, end) = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let period = Period { name: "2026-11".to_owned(), start, end };
    let (_, proof) = count(&server.store("usage"), &period, &[]).await.unwrap();
    let keys = server.keys("usage");
    assert!(keys.iter().all(|key| key.ends_with(".parquet")), "{keys:?}");
    let spent = open(folder.path(), &clock, 1).1;
    (End { tokens: tokens(&uploaded(&server)), objects: keys.len(), settled: proof.rows, spent }, calls)
}

/// A process: its log, of small segments, and its uploader.
fn begin(folder: &Path, server: &Server, clock: &TestClock) -> (Wal, Uploader) {
    let (wal, _) = open(folder, clock, 700);
    let uploader = uploader(&wal, server, clock);
    (wal, uploader)
}

#[tokio::test]
async fn killed_at_any_call_of_object_storage_a_gateway_ends_as_if_it_had_not_been() {
    let (expected, calls) = story(None).await;
    assert_eq!((expected.settled, expected.objects), (2 * ROUNDS, 3));
    assert_eq!(expected.tokens, (0..2 * ROUNDS).collect::<Vec<_>>());
    let mut points = 0;
    for call in 0..calls as u64 {
        for fault in [Fault::Status(503), Fault::Lost(503)] {
            let (end, _) = story(Some(Rule::new(fault).after(call).times(1))).await;
            assert_eq!(end, expected, "{fault:?} at call {call} of {calls}");
            points += 1;
        }
    }
    eprintln!("{points} crash points of a gateway's {calls} calls of object storage, 0 differences");
}
