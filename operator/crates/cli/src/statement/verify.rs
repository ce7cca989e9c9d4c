//! A period settled a second time, from the usage log, without writing anything.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_contract::outcome::Outcome;
use cooperator_contract::settle::Statement;
use cooperator_core::digest::Digest;
use cooperator_settle::objects::Objects;
use cooperator_settle::run::settle;
use cooperator_store::Error;
use serde::Serialize;

/// File of a statement that its digest is of.
const JSON: &str = "statement.json";

/// What a second settlement found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Digest the Settlement names.
    pub stated_digest: Digest,
    /// Digest of what the log says.
    pub recomputed_digest: Digest,
    /// What differs, as JSON Pointers into the statement (RFC 6901) with both values.
    pub differences: Vec<String>,
    /// What the log says.
    pub recomputed: Statement,
}

impl Verification {
    /// Whether both are the same, byte for byte.
    pub fn same(&self) -> bool {
        self.stated_digest == self.recomputed_digest
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = &self.recomputed.usage;
        writeln!(
            f,
            "Usage log: {} rows of {} gateways, the chain of each unbroken",
            usage.rows,
            usage.gateways.len()
        )?;
        if self.same() {
            return write!(
                f,
                "Verified: settled again from the log, it is the same to the byte ({})",
                self.stated_digest
            );
        }
        write!(
            f,
            "DIFFERS: the Settlement names {}, the log gives {}",
            self.stated_digest, self.recomputed_digest
        )?;
        self.differences.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Settles the period again and compares. The rules (members, split, costs, the period before) are those the statement
/// itself names; what it earned comes from the log alone, checked row by row along each gateway's hash chain.
///
/// # Errors
/// When the statement is not in storage or has another digest, or the log is not whole.
pub async fn verify<O: Objects>(objects: &O, period: &str, stated_digest: &Digest) -> Result<Verification> {
    let key = layout::statement(period, stated_digest, JSON);
    let bytes = objects.get(&key, stated_digest).await?;
    let stated: Statement = serde_json::from_slice(&bytes).with_context(|| key.clone())?;
    let rehearsal = Rehearsal { objects, written: Mutex::default() };
    let Outcome::Succeeded { digest, key } = settle(&rehearsal, &stated.task).await? else {
        bail!("the settlement ended without a statement")
    };
    let written = rehearsal.written.into_inner().unwrap_or_default();
    let bytes =
        written.get(&key).with_context(|| format!("the settlement named {key} and did not write it"))?;
    let recomputed: Statement = serde_json::from_slice(bytes)?;
    let differences = differences(&stated, &recomputed)?;
    Ok(Verification { stated_digest: *stated_digest, recomputed_digest: digest, differences, recomputed })
}

/// Where two statements differ.
fn differences(stated: &Statement, recomputed: &Statement) -> Result<Vec<String>> {
    let (stated, recomputed) = (serde_json::to_value(stated)?, serde_json::to_value(recomputed)?);
    let at = |value: &serde_json::Value, path: &str| {
        value.pointer(path).map_or_else(|| "nothing".to_owned(), ToString::to_string)
    };
    let patch = json_patch::diff(&stated, &recomputed);
    let paths = patch.0.iter().map(|operation| operation.path().to_string());
    Ok(paths
        .map(|path| {
            format!("{path}: stated {}, the log gives {}", at(&stated, &path), at(&recomputed, &path))
        })
        .collect())
}

/// Object storage that is read, and written to in memory alone.
struct Rehearsal<'a, O> {
    objects: &'a O,
    written: Mutex<BTreeMap<String, Bytes>>,
}

impl<O: Objects> Objects for Rehearsal<'_, O> {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.objects.list(prefix).await
    }

    async fn get(&self, key: &str, digest: &Digest) -> Result<Bytes, Error> {
        self.objects.get(key, digest).await
    }

    async fn fetch(&self, key: &str, digest: &Digest, file: &Path) -> Result<(), Error> {
        self.objects.fetch(key, digest, file).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        if let Ok(mut written) = self.written.lock() {
            written.insert(key.to_owned(), bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cooperator_contract::canonical;

    use super::*;
    use crate::statement::tests::settled;

    #[tokio::test]
    async fn a_statement_is_verified_from_the_log_and_nothing_is_written() {
        let (bucket, digest) = settled().await;
        let before = bucket.keys("");
        let verification = verify(&bucket, "2026-11", &digest).await.unwrap();
        assert!(verification.same() && verification.differences.is_empty());
        assert_eq!(bucket.keys(""), before);
        let text = verification.to_string();
        assert!(text.starts_with("Usage log: 1 rows of 1 gateways"), "{text}");
        assert!(text.contains("Verified: settled again from the log, it is the same to the byte"), "{text}");
    }

    #[tokio::test]
    async fn a_statement_that_pays_other_than_the_log_says_where() {
        let (bucket, digest) = settled().await;
        let key = layout::statement("2026-11", &digest, JSON);
        let mut forged: Statement = serde_json::from_str(&bucket.text(&key)).unwrap();
        forged.payments[0].amount = "1000.00".into();
        let bytes = canonical(&forged).unwrap();
        let digest = Digest::of(&bytes);
        bucket.insert(layout::statement("2026-11", &digest, JSON), bytes);
        let verification = verify(&bucket, "2026-11", &digest).await.unwrap();
        assert!(!verification.same());
        let [line] = verification.differences.as_slice() else { panic!("{:?}", verification.differences) };
        assert!(line.starts_with("/payments/0/amount: stated \"1000.00\", the log gives \""), "{line}");
        assert!(verification.to_string().contains("DIFFERS"), "{verification}");
    }

    #[tokio::test]
    async fn a_log_that_lost_a_row_is_not_verified() {
        let (bucket, digest) = settled().await;
        for key in bucket.keys(layout::USAGE) {
            bucket.remove(&key);
        }
        let verification = verify(&bucket, "2026-11", &digest).await.unwrap();
        assert!(!verification.same());
    }
}
