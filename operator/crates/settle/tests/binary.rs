//! The binary as a pod runs it: run file and environment in, statement, termination message and exit code out.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

use std::path::Path;
use std::process::Command;

use cooperator_contract::outcome::Outcome;
use cooperator_contract::run::{RunFile, RunId, StorageLocation, Task, VERSION};
use cooperator_contract::settle::{Payee, Period, SettleTask, SplitBy, SplitRule, Statement};
use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_contract::{env, layout};
use cooperator_core::digest::Digest;
use cooperator_store::testing::Server;
use cooperator_usage::chain::Chain;
use cooperator_usage::chunk;
use cooperator_usage::hour::HourWriter;

const GATEWAY: &str = "presidents-0";

fn row(sequence: u64) -> UsageRow {
    UsageRow {
        gateway: GATEWAY.to_owned(),
        sequence,
        time: format!("2026-11-24T1{sequence}:30:00Z").parse().unwrap(),
        key: String::new(),
        consumer: String::new(),
        deployment: "presidents".to_owned(),
        adapter: None,
        input_tokens: 1_000_000,
        output_tokens: 0,
        price: PriceTag { currency: "USD".to_owned(), input: "0.10".to_owned(), output: "0".to_owned() },
        status: UsageStatus::Completed,
    }
}

fn run_file(storage: StorageLocation, folder: &Path) -> RunFile {
    let payee = |member: &str| Payee { member: member.to_owned(), account: String::new() };
    let task = SettleTask {
        collective: "presidents".to_owned(),
        period: Period {
            name: "2026-11-24".to_owned(),
            start: "2026-11-24T00:00:00Z".parse().unwrap(),
            end: "2026-11-25T00:00:00Z".parse().unwrap(),
        },
        currency: "USD".to_owned(),
        decimals: 2,
        members: vec![payee("grant"), payee("lincoln")],
        costs: vec![],
        recover_costs: true,
        reserve: None,
        split: vec![SplitRule { name: "works".to_owned(), basis_points: 10_000, by: SplitBy::Contribution }],
        previous: None,
    };
    RunFile {
        preflight: None,
        version: VERSION,
        run: RunId {
            namespace: "presidents".to_owned(),
            name: "presidents-2026-11-24".to_owned(),
            uid: "uid".to_owned(),
            attempt: 1,
        },
        storage,
        storage_broker: None,
        progress_url: None,
        traceparent: None,
        outcome_path: folder.join("outcome").display().to_string(),
        task: Task::Settle(Box::new(task)),
    }
}

/// Runs the binary; its exit code and what it left in the termination log.
async fn run(file: &RunFile, folder: &Path) -> (Option<i32>, Outcome) {
    let path = folder.join("run.json");
    std::fs::write(&path, serde_json::to_vec(file).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cooperator-settle"));
    command
        .arg("--run-file")
        .arg(path)
        .env(env::ACCESS_KEY_ID, "GKtest")
        .env(env::SECRET_ACCESS_KEY, "secret");
    let status = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
    (status.code(), serde_json::from_slice(&std::fs::read(&file.outcome_path).unwrap()).unwrap())
}

#[tokio::test]
async fn a_period_is_settled_from_a_bucket_and_again_with_the_same_digest() {
    let server = Server::start().await;
    let store = server.store("presidents");
    let mut chain = Chain::genesis(GATEWAY);
    let mut writer = HourWriter::new(Vec::new(), &chain).unwrap();
    writer.push(row(1)).unwrap();
    let (_, after, hour) = writer.finish().unwrap();
    chain.clone_from(&after);
    store.put(&layout::usage_hour(GATEWAY, "2026/11/24/11", &Digest::of(&hour)), hour.into()).await.unwrap();
    let (_, open) = chunk::encode(&mut chain, &[row(2)]).unwrap();
    store.put(&layout::usage_chunk(GATEWAY, 2, &Digest::of(&open)), open.into()).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = run_file(server.location("presidents"), folder.path());
    let (code, outcome) = run(&file, folder.path()).await;
    let Outcome::Succeeded { digest, key } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(code, Some(0));
    let statement: Statement = store.get_manifest(key, digest).await.unwrap();
    assert_eq!((statement.usage.rows, statement.gross.as_str()), (2, "0.20"));
    assert!(statement.payments.iter().all(|payment| payment.amount == "0.10"));
    let sheet = store.get(&layout::statement("2026-11-24", digest, "statement.csv")).await.unwrap();
    assert!(sheet.ends_with(b"2026-11-24,SUM,,0,100.00%,0.20,USD\n"));
    assert_eq!(run(&file, folder.path()).await, (Some(0), outcome));
}

#[tokio::test]
async fn what_no_retry_cures_ends_with_two_and_a_reason() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut file = run_file(server.location("presidents"), folder.path());
    let Task::Settle(task) = &mut file.task else { unreachable!() };
    task.split[0].basis_points = 9_000;
    let (code, outcome) = run(&file, folder.path()).await;
    assert_eq!(code, Some(2));
    let Outcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(message, "split rules: shares add up to 9000 basis points; they must add up to 10000 (100 %)");
}
