use cooperator_contract::settle::Statement;
use cooperator_contract::usage::{UsageRow, UsageStatus};
use cooperator_core::money::Amount;

use super::*;
use crate::fixture::{Bucket, Gateway, adapter, december, november};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

async fn settled(bucket: &Bucket, task: &SettleTask) -> (Digest, Statement) {
    match settle(bucket, task).await.unwrap() {
        Outcome::Succeeded { digest, key } => (digest, serde_json::from_str(&bucket.text(&key)).unwrap()),
        Outcome::Failed { message, .. } => panic!("{message}"),
    }
}

async fn refused(bucket: &Bucket, task: &SettleTask) -> (FailureReason, String) {
    let error = settle(bucket, task).await.unwrap_err();
    assert!(bucket.keys("settlements/2026-11").is_empty(), "nothing may be written");
    assert!(!error.to_string().contains('\n'));
    (error.reason(), error.to_string())
}

fn balanced(statement: &Statement) -> bool {
    let payments = statement.payments.iter().map(|payment| amount(&payment.amount));
    let rest = [&statement.recovered, &statement.reserve, &statement.suspense.after].map(|text| amount(text));
    let out = Amount::sum(payments.chain(rest)).unwrap();
    out == amount(&statement.suspense.before).plus(amount(&statement.gross)).unwrap()
}

/// Three rows of November and one of December; the third of November failed.
fn rows(gateway: &mut Gateway, adapter: Digest) -> Vec<UsageRow> {
    let failed = gateway.row("2026-11-05T10:30:00Z", 7, 7, Some(adapter));
    let mut rows = vec![UsageRow { status: UsageStatus::Failed, ..failed }];
    rows.push(gateway.row("2026-11-05T10:31:00Z", 400_000, 1_600_000, Some(adapter)));
    rows.push(gateway.row("2026-11-05T11:00:00Z", 600_000, 2_400_000, Some(adapter)));
    rows.push(gateway.row("2026-11-30T23:59:59.999999Z", 1, 1, None));
    rows.push(gateway.row("2026-12-01T00:00:00Z", 1_000_000, 0, Some(adapter)));
    rows
}

fn sheet_of(statement: &Statement) -> String {
    String::from_utf8(sheet::csv(statement).unwrap()).unwrap()
}

#[tokio::test]
async fn a_period_is_settled_to_the_last_unit() {
    let bucket = Bucket::default();
    let mut gateway = Gateway::new("presidents-0");
    let rows = rows(&mut gateway, adapter(&bucket));
    let (key, bytes) = gateway.chunk(&rows);
    bucket.insert(key, bytes);
    let (digest, statement) = settled(&bucket, &november(None)).await;
    assert_eq!(statement.usage.rows, 4);
    assert!(balanced(&statement));
    insta::assert_json_snapshot!("november", statement);
    let csv = bucket.text(&layout::statement("2026-11", &digest, "statement.csv"));
    insta::assert_snapshot!("november_csv", csv);
}

#[tokio::test]
async fn the_same_log_packed_otherwise_and_settled_again_has_the_same_digest() {
    let mut digests = Vec::new();
    for packing in 0..4 {
        let bucket = Bucket::default();
        let mut gateway = Gateway::new("presidents-0");
        let rows = rows(&mut gateway, adapter(&bucket));
        let objects = match packing {
            0 => vec![gateway.chunk(&rows)],
            1 => rows.iter().map(|row| gateway.chunk(std::slice::from_ref(row))).collect(),
            2 => [&rows[..2], &rows[2..3], &rows[3..4], &rows[4..]].map(|rows| gateway.hour(rows)).into(),
            // Compacted, and the chunks not removed yet.
            _ => {
                let mut hours = Gateway::new("presidents-0");
                let mut all = vec![hours.hour(&rows[..2]), hours.hour(&rows[2..3])];
                all.extend([&rows[..3], &rows[3..]].map(|rows| gateway.chunk(rows)));
                all
            }
        };
        for (key, bytes) in objects {
            bucket.insert(key, bytes);
        }
        digests.push(settled(&bucket, &november(None)).await.0);
        digests.push(settled(&bucket, &november(None)).await.0);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[tokio::test]
async fn a_period_that_ends_within_an_hour_counts_the_hour_to_there_and_the_next_one_the_rest() {
    let mut told = Vec::new();
    for hours in [false, true] {
        let bucket = Bucket::default();
        let mut gateway = Gateway::new("presidents-0");
        let rows = rows(&mut gateway, adapter(&bucket));
        let pack = |rows: &[UsageRow]| if hours { gateway.hour(rows) } else { gateway.chunk(rows) };
        for (key, bytes) in [&rows[..2], &rows[2..3], &rows[3..4], &rows[4..]].map(pack) {
            bucket.insert(key, bytes);
        }
        let mut early = november(None);
        early.period.end = "2026-11-05T10:30:30Z".parse().unwrap();
        let (digest, first) = settled(&bucket, &early).await;
        let mut rest = november(Some(StatementRef { period: "2026-11".to_owned(), digest }));
        rest.period.start = early.period.end;
        let second = settled(&bucket, &rest).await.1;
        assert_eq!((first.usage.rows, second.usage.rows), (1, 3));
        assert_eq!(first.usage.gateways[0].through_sequence, 1);
        told.push((first.usage, second.usage, second.gross));
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn late_rows_become_corrections_and_no_row_is_counted_twice() {
    let bucket = Bucket::default();
    let adapter = adapter(&bucket);
    let (mut on_time, mut late) = (Gateway::new("presidents-0"), Gateway::new("presidents-1"));
    let rows = rows(&mut on_time, adapter);
    for (key, bytes) in [on_time.hour(&rows[..2]), on_time.chunk(&rows[2..])] {
        bucket.insert(key, bytes);
    }
    let early = late.row("2026-11-02T08:00:00Z", 1_000_000, 0, Some(adapter));
    let (key, bytes) = late.hour(&[early]);
    bucket.insert(key, bytes);
    let (digest, november) = settled(&bucket, &november(None)).await;
    assert_eq!((november.usage.rows, november.corrections.len()), (5, 0));

    let strayed = late.row("2026-11-20T08:00:00Z", 0, 1_000_000, Some(adapter));
    let (key, bytes) = late.hour(&[strayed]);
    bucket.insert(key, bytes);
    let previous = StatementRef { period: "2026-11".to_owned(), digest };
    let (digest, december) = settled(&bucket, &december(Some(previous.clone()))).await;
    assert_eq!((december.revenue.len(), december.corrections.len()), (1, 1));
    assert_eq!(
        (december.revenue[0].amount.as_str(), december.corrections[0].amount.as_str()),
        ("0.20", "0.80")
    );
    assert_eq!((december.usage.rows, december.suspense.before.clone()), (2, november.suspense.after));
    assert!(balanced(&december));
    insta::assert_snapshot!("december_csv", sheet_of(&december));

    let previous = StatementRef { period: "2026-12".to_owned(), digest };
    let again = settled(&bucket, &crate::fixture::december(Some(previous))).await.1;
    assert_eq!((again.usage.rows, again.gross.as_str()), (0, "0.00"));
    assert_eq!(again.usage.gateways, december.usage.gateways);
}

#[tokio::test]
async fn a_log_that_is_compacted_while_it_is_read_is_read_again() {
    let bucket = Bucket::default();
    let mut gateway = Gateway::new("presidents-0");
    let rows = rows(&mut gateway, adapter(&bucket));
    let (key, bytes) = gateway.chunk(&rows);
    bucket.insert(key.clone(), bytes);
    let (whole, _) = settled(&bucket, &november(None)).await;
    let mut hours = Gateway::new("presidents-0");
    let parts = [&rows[..2], &rows[2..3], &rows[3..]].map(|rows| hours.hour(rows));
    *bucket.swap.lock().unwrap() = Some((key, parts.into()));
    assert_eq!(settled(&bucket, &november(None)).await.0, whole);
    assert!(bucket.swap.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_log_with_a_gap_a_break_or_a_changed_object_is_not_settled() {
    let lay = |skip: Option<usize>, forge: bool| {
        let bucket = Bucket::default();
        let mut gateway = Gateway::new("presidents-0");
        let rows = rows(&mut gateway, adapter(&bucket));
        let mut objects = vec![gateway.chunk(&rows[..2])];
        if forge {
            gateway.chain = Chain::resume("presidents-0", 2, Digest::of(b"another past"));
        }
        objects.push(gateway.chunk(&rows[2..3]));
        objects.push(gateway.chunk(&rows[3..]));
        for (_, (key, bytes)) in objects.into_iter().enumerate().filter(|(index, _)| Some(*index) != skip) {
            bucket.insert(key, bytes);
        }
        bucket
    };
    use cooperator_usage::chain::Chain;
    let (reason, message) = refused(&lay(Some(1), false), &november(None)).await;
    assert_eq!(reason, FailureReason::UsageLogBroken);
    assert!(message.contains("goes on at sequence 4 where 3 must come"), "{message}");
    let (reason, message) = refused(&lay(None, true), &november(None)).await;
    assert_eq!(reason, FailureReason::UsageLogBroken);
    assert!(message.contains("broken at sequence 3"), "{message}");
    let changed = lay(None, false);
    let key = changed.keys("usage/")[1].clone();
    changed.insert(key, "another chunk");
    assert_eq!(refused(&changed, &november(None)).await.0, FailureReason::DigestMismatch);
}

/// The first so many rows as a chunk; with `altered`, the second costs another sum.
fn first_chunk(rows: &[UsageRow], count: usize, altered: bool) -> (String, bytes::Bytes) {
    let mut rows = rows[..count].to_vec();
    if altered {
        rows[1].output_tokens += 1;
    }
    Gateway::new("presidents-0").chunk(&rows)
}

#[tokio::test]
async fn chunks_that_come_twice_late_or_in_any_order_count_once() {
    let bucket = Bucket::default();
    let mut gateway = Gateway::new("presidents-0");
    let rows = rows(&mut gateway, adapter(&bucket));
    let parts: Vec<_> = rows.iter().map(|row| gateway.chunk(std::slice::from_ref(row))).collect();
    let (key, bytes) = first_chunk(&rows, rows.len(), false);
    bucket.insert(key.clone(), bytes);
    let (whole, _) = settled(&bucket, &november(None)).await;
    // A shorter chunk of the same rows that was under way, each of the rows alone, last first, and both hours.
    let mut hours = Gateway::new("presidents-0");
    let hours = [&rows[..2], &rows[2..3]].map(|rows| hours.hour(rows));
    let late = (1..rows.len()).map(|count| first_chunk(&rows, count, false));
    for (key, bytes) in late.chain(parts.into_iter().rev()).chain(hours) {
        bucket.insert(key, bytes);
        assert_eq!(settled(&bucket, &november(None)).await.0, whole);
    }
    bucket.remove(&key);
    assert_eq!(settled(&bucket, &november(None)).await.0, whole);
}

#[tokio::test]
async fn the_same_event_with_other_fields_is_an_error_however_it_is_packed() {
    let mut cases = 0;
    for (first, second) in [(2, 2), (2, 3), (3, 2), (4, 3), (2, 5), (5, 2), (5, 5)] {
        for packed in [false, true] {
            let bucket = Bucket::default();
            let mut gateway = Gateway::new("presidents-0");
            let rows = rows(&mut gateway, adapter(&bucket));
            let (key, bytes) = match packed {
                false => first_chunk(&rows, first, false),
                true => Gateway::new("presidents-0").hour(&rows[..first.min(3)]),
            };
            bucket.insert(key, bytes);
            let (key, bytes) = first_chunk(&rows, second, true);
            bucket.insert(key, bytes);
            let (reason, message) = refused(&bucket, &november(None)).await;
            assert_eq!(reason, FailureReason::UsageLogBroken, "{first} {second} {packed}: {message}");
            cases += 1;
        }
    }
    eprintln!("{cases} altered events");
}

#[tokio::test]
async fn two_objects_of_one_hour_are_read_in_the_order_of_their_rows() {
    // A clock that is set back after an hour was packed makes a second; which name is first is chance.
    for tokens in 0..8 {
        let bucket = Bucket::default();
        let adapter = adapter(&bucket);
        let mut gateway = Gateway::new("presidents-0");
        for _ in 0..3 {
            let row = gateway.row("2026-11-05T10:59:59Z", tokens, 1, Some(adapter));
            let (key, bytes) = gateway.hour(&[row]);
            bucket.insert(key, bytes);
        }
        let statement = settled(&bucket, &november(None)).await.1;
        assert_eq!((statement.usage.rows, statement.revenue[0].input_tokens), (3, 3 * tokens));
    }
}

#[tokio::test]
async fn what_is_missing_or_does_not_fit_is_named() {
    let bucket = Bucket::default();
    let adapter = adapter(&bucket);
    let mut gateway = Gateway::new("presidents-0");
    let rows = rows(&mut gateway, adapter);
    let (key, bytes) = gateway.chunk(&rows);
    bucket.insert(key, bytes);
    let task = SettleTask { currency: "EUR".to_owned(), ..november(None) };
    let (reason, message) = refused(&bucket, &task).await;
    assert_eq!(reason, FailureReason::InvalidRunFile);
    assert!(message.contains("is priced in `USD`, the Collective settles in `EUR`"), "{message}");
    let previous = StatementRef { period: "2026-10".to_owned(), digest: Digest::of(b"") };
    assert_eq!(refused(&bucket, &november(Some(previous))).await.0, FailureReason::SourceNotFound);
    bucket.remove(&layout::adapter(&adapter, "manifest.json"));
    assert_eq!(refused(&bucket, &november(None)).await.0, FailureReason::SourceNotFound);
}

#[tokio::test]
async fn a_period_without_usage_has_a_statement_of_nothing() {
    let (_, statement) = settled(&Bucket::default(), &november(None)).await;
    assert_eq!((statement.gross.as_str(), statement.unrecovered.as_str()), ("0.00", "0.02"));
    assert!(statement.payments.iter().all(|payment| payment.amount == "0.00"));
    assert!(sheet_of(&statement).ends_with("2026-11,SUM,,0,0.00%,0.00,USD\n"));
}

#[test]
fn a_run_file_of_another_kind_or_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    assert_eq!(read_run_file(&path).unwrap_err().reason(), FailureReason::InvalidRunFile);
    std::fs::write(&path, "{}").unwrap();
    let error = read_run_file(&path).unwrap_err();
    assert!(matches!(error, RunError::Json(_)), "{error}");
}
