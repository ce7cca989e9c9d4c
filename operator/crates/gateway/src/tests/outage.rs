//! Object storage that is down for an hour while callers go on.

use std::sync::Arc;
use std::time::Duration;

use cooperator_contract::settle::Period;
use cooperator_core::time::{SignedDuration, TestClock};
use cooperator_settle::usage::count;
use cooperator_store::testing::{Fault, Rule, Server};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::harness::{Setup, World, error, hello};
use crate::wal::upload::Uploader;

const BUCKET: &str = "usage";
/// Small, so that an hour fills it.
const BUDGET: u64 = 64 * 1024;

struct Outage {
    world: World,
    storage: Server,
    clock: TestClock,
    stop: CancellationToken,
    uploading: tokio::task::JoinHandle<()>,
    answered: u64,
    refused: u64,
}

impl Outage {
    async fn begin(rule: Rule) -> Self {
        let clock = TestClock::new("2026-11-24T11:10:00Z".parse().unwrap());
        let setup = Setup { disk_budget: BUDGET, clock: Arc::new(clock.clone()), ..Setup::default() };
        let (world, storage) = (World::with(setup).await, Server::start().await);
        let store = storage.store(BUCKET).with_attempts(1);
        let uploader = Uploader::new(world.gateway.wal.clone(), store, Arc::new(clock.clone()));
        let stop = CancellationToken::new();
        storage.fault(rule);
        let uploading =
            tokio::spawn(uploader.run(Duration::from_millis(20), Duration::from_secs(20), stop.clone()));
        Self { world, storage, clock, stop, uploading, answered: 0, refused: 0 }
    }

    /// A call: answered, or told to come again.
    async fn call(&mut self) -> bool {
        let (status, headers, body) = self.world.chat_as("reader", hello()).await;
        if status == 200 {
            self.answered += 1;
            return true;
        }
        assert_eq!((status.as_u16(), &error(&body)["code"]), (503, &json!("gateway_unavailable")));
        assert!(error(&body)["message"].as_str().unwrap().contains("usage log is full"), "{body:?}");
        assert_eq!(headers["retry-after"], "5");
        self.refused += 1;
        false
    }

    /// An hour of calls, a few a minute.
    async fn hour(&mut self) {
        for _ in 0..60 {
            for _ in 0..8 {
                self.call().await;
            }
            self.clock.advance(SignedDuration::from_mins(1));
        }
    }

    /// Waits until a call is answered again.
    async fn recovered(&mut self) {
        for _ in 0..500 {
            if self.call().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("object storage is back, and billable work is still refused");
    }

    /// Whether the hour of the outage and the one after it are packed, and nothing else is left.
    fn packed(&self) -> bool {
        let keys = self.storage.keys(BUCKET);
        keys.len() == 2 && keys.iter().all(|key| key.ends_with(".parquet"))
    }

    /// Ends the gateway and holds what is settled from object storage against what was answered.
    async fn settled(self) -> (u64, u64) {
        self.stop.cancel();
        self.uploading.await.unwrap();
        let at = |text: &str| text.parse().unwrap();
        let (start, end) = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        let period = Period { name: "2026-11".to_owned(), start, end };
        let (tally, proof) = count(&self.storage.store(BUCKET), &period, &[]).await.unwrap();
        assert_eq!(proof.rows, self.answered);
        assert_eq!(proof.gateways[0].through_sequence, self.answered, "no number given out is missing");
        let (line, counted) = tally.revenue.iter().next().unwrap();
        assert_eq!((tally.revenue.len(), line.deployment.as_str()), (1, "presidents"));
        assert_eq!((counted.requests, counted.input_tokens), (self.answered, 11 * self.answered));
        (self.answered, self.refused)
    }
}

#[tokio::test]
async fn while_object_storage_is_down_the_log_fills_then_calls_are_told_to_wait_and_all_recovers_by_itself() {
    for rule in [
        Rule::new(Fault::Status(503)),
        Rule::new(Fault::Status(403)),
        Rule::new(Fault::Lost(503)).method("PUT"),
    ] {
        let mut outage = Outage::begin(rule.clone()).await;
        outage.hour().await;
        let calls = outage.world.calls() as u64;
        assert_eq!(calls, outage.answered, "a refused call reached the server");
        assert!(outage.answered > 100 && outage.refused > 100, "{} {}", outage.answered, outage.refused);
        let rows: u64 =
            outage.world.rows().iter().map(|row| serde_json::to_vec(row).unwrap().len() as u64 + 8).sum();
        // The row of the last call that was admitted may lie above the budget, and no more.
        assert!((BUDGET..BUDGET + 1024).contains(&rows), "{rows} bytes on disk");
        outage.storage.heal();
        outage.recovered().await;
        // Hours are packed as ever: the one of the outage, when it is over.
        outage.clock.advance(SignedDuration::from_hours(2));
        for _ in 0..500 {
            if outage.packed() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(outage.packed(), "{:?}", outage.storage.keys(BUCKET));
        assert!(outage.call().await);
        let (answered, refused) = outage.settled().await;
        eprintln!(
            "{rule:?} for an hour: {answered} calls answered and settled once, {refused} refused with 503"
        );
    }
}

#[tokio::test]
async fn storage_that_fails_every_other_call_loses_and_doubles_nothing() {
    let mut outage = Outage::begin(Rule::new(Fault::Status(503))).await;
    outage.storage.heal();
    for round in 0..40 {
        let fault = if round % 2 == 0 { Fault::Status(500) } else { Fault::Lost(500) };
        outage.storage.fault(Rule::new(fault).after(round % 3).times(1 + round % 4));
        for _ in 0..3 {
            outage.call().await;
        }
        outage.clock.advance(SignedDuration::from_mins(7));
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    outage.storage.heal();
    outage.recovered().await;
    let (answered, refused) = outage.settled().await;
    assert_eq!((answered, refused), (121, 0));
}
