//! A bucket in memory and a gateway that fills it: for tests, so it panics where they would.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use cooperator_contract::manifest::{AdapterManifest, MemberWeight};
use cooperator_contract::run::{LoraOptions, Schedule, TrainingOptions};
use cooperator_contract::settle::{
    CostLine, FixedShare, Payee, Period, Reserve, SettleTask, SplitBy, SplitRule, StatementRef,
};
use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_contract::{canonical, layout};
use cooperator_core::digest::Digest;
use cooperator_store::Error;
use cooperator_usage::chain::Chain;
use cooperator_usage::hour::HourWriter;
use cooperator_usage::{chunk, key};
use jiff::Timestamp;

use crate::objects::Objects;

/// The key of an object that goes when it is asked for, and the objects that come in its place.
pub type Swap = (String, Vec<(String, Bytes)>);

/// A bucket in memory.
#[derive(Default)]
pub struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Moves an object aside when it is first asked for, as a compaction does, and puts others in its place.
    pub swap: Mutex<Option<Swap>>,
}

impl Bucket {
    /// Puts an object.
    pub fn insert(&self, key: String, bytes: impl Into<Bytes>) {
        self.objects.lock().unwrap().insert(key, bytes.into());
    }

    /// Takes an object away.
    pub fn remove(&self, key: &str) {
        self.objects.lock().unwrap().remove(key);
    }

    /// Keys that begin so, sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.objects.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// An object as text.
    pub fn text(&self, key: &str) -> String {
        String::from_utf8(self.objects.lock().unwrap()[key].to_vec()).unwrap()
    }

    fn read(&self, key: &str, digest: &Digest) -> Result<Bytes, Error> {
        let mut swap = self.swap.lock().unwrap();
        if swap.as_ref().is_some_and(|(old, _)| old == key) {
            self.remove(key);
            for (key, bytes) in swap.take().unwrap().1 {
                self.insert(key, bytes);
            }
        }
        let objects = self.objects.lock().unwrap();
        let bytes = objects.get(key).ok_or_else(|| Error::NotFound { what: key.to_owned() })?;
        let found = Digest::of(bytes);
        if found == *digest {
            Ok(bytes.clone())
        } else {
            Err(Error::Corrupt { what: key.to_owned(), expected: *digest, found })
        }
    }
}

impl Objects for Bucket {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.keys(prefix))
    }

    async fn get(&self, key: &str, digest: &Digest) -> Result<Bytes, Error> {
        self.read(key, digest)
    }

    async fn fetch(&self, key: &str, digest: &Digest, file: &Path) -> Result<(), Error> {
        std::fs::write(file, self.read(key, digest)?).unwrap();
        Ok(())
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        self.insert(key.to_owned(), bytes);
        Ok(())
    }
}

/// A time, RFC 3339.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A gateway: rows get its name and the next sequence.
pub struct Gateway {
    /// Where its log is.
    pub chain: Chain,
    next: u64,
}

impl Gateway {
    /// A gateway that has not logged yet.
    pub fn new(name: &str) -> Self {
        Self { chain: Chain::genesis(name), next: 1 }
    }

    /// A completed request of the presidents at this time.
    pub fn row(
        &mut self,
        time: &str,
        input_tokens: u64,
        output_tokens: u64,
        adapter: Option<Digest>,
    ) -> UsageRow {
        let sequence = self.next;
        self.next += 1;
        UsageRow {
            gateway: self.chain.gateway().to_owned(),
            sequence,
            time: at(time),
            key: "uid".to_owned(),
            consumer: "a-reading-room".to_owned(),
            deployment: "presidents".to_owned(),
            adapter,
            input_tokens,
            output_tokens,
            price: PriceTag {
                currency: "USD".to_owned(),
                input: "0.20".to_owned(),
                output: "0.80".to_owned(),
            },
            status: UsageStatus::Completed,
        }
    }

    /// A chunk with these rows, as an object.
    pub fn chunk(&mut self, rows: &[UsageRow]) -> (String, Bytes) {
        let (header, bytes) = chunk::encode(&mut self.chain, rows).unwrap();
        (layout::usage_chunk(&header.gateway, header.first_sequence, &Digest::of(&bytes)), bytes.into())
    }

    /// The hour of the first row with these rows, as an object.
    pub fn hour(&mut self, rows: &[UsageRow]) -> (String, Bytes) {
        let mut writer = HourWriter::new(Vec::new(), &self.chain).unwrap();
        for row in rows {
            writer.push(row.clone()).unwrap();
        }
        let (header, chain, bytes) = writer.finish().unwrap();
        self.chain = chain;
        (layout::usage_hour(&header.gateway, &key::hour(rows[0].time), &Digest::of(&bytes)), bytes.into())
    }
}

/// An adapter of Lincoln's and Grant's work, in the bucket.
pub fn adapter(bucket: &Bucket) -> Digest {
    let weight = |member: &str, tokens, weight| MemberWeight { member: member.to_owned(), tokens, weight };
    let manifest = AdapterManifest {
        base_model: Digest::of(b"base"),
        dataset: Digest::of(b"dataset"),
        lora: LoraOptions {
            rank: 8,
            alpha: 16,
            dropout: "0.0".to_owned(),
            target_modules: vec!["q_proj".to_owned()],
        },
        training: TrainingOptions {
            max_steps: 1,
            batch_size: 1,
            sequence_length: 16,
            gradient_accumulation: 1,
            learning_rate: "1e-3".to_owned(),
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            weight_decay: "0".to_owned(),
            clip_norm: "1.0".to_owned(),
            seed: 1,
        },
        files: vec![],
        attribution: vec![weight("grant", 10_240, 250_000_000), weight("lincoln", 30_720, 750_000_000)],
    };
    let bytes = canonical(&manifest).unwrap();
    let digest = Digest::of(&bytes);
    bucket.insert(layout::adapter(&digest, "manifest.json"), bytes);
    digest
}

/// November 2026 of the presidents.
pub fn november(previous: Option<StatementRef>) -> SettleTask {
    month("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", previous)
}

/// December 2026 of the presidents.
pub fn december(previous: Option<StatementRef>) -> SettleTask {
    month("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", previous)
}

fn month(name: &str, start: &str, end: &str, previous: Option<StatementRef>) -> SettleTask {
    let rule = |name: &str, basis_points, by| SplitRule { name: name.to_owned(), basis_points, by };
    let payee =
        |member: &str, account: &str| Payee { member: member.to_owned(), account: account.to_owned() };
    let shares = vec![FixedShare { member: "grant".to_owned(), parts: 1 }];
    SettleTask {
        collective: "presidents".to_owned(),
        period: Period { name: name.to_owned(), start: at(start), end: at(end) },
        currency: "USD".to_owned(),
        decimals: 2,
        members: vec![
            payee("grant", "IBAN DE02 1203 0000 0000 2020 51"),
            payee("lincoln", "=HYPERLINK(\"http://x\"), \"Abe\""),
            payee("taft", ""),
        ],
        costs: vec![CostLine { fine_tune: "addresses-v1".to_owned(), amount: "0.02".to_owned() }],
        recover_costs: true,
        reserve: Some(Reserve { basis_points: 500, account: "reserve".to_owned() }),
        split: vec![
            rule("works", 9000, SplitBy::Contribution),
            rule("dues", 500, SplitBy::Membership),
            rule("upkeep", 500, SplitBy::Fixed { shares }),
        ],
        previous,
    }
}
