//! `kubectl coop statement`: who is paid what for a period, and whether the usage log says the same.

mod sheet;
mod verify;

use std::process::ExitCode;

use anyhow::{Result, bail};
use cooperator_api::collective::Collective;
use cooperator_api::settlement::Settlement;
use cooperator_core::digest::Digest;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::access::Access;
use crate::{output, storage};

pub use sheet::{sum, table};
pub use verify::{Verification, verify};

/// Options of `statement`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The Settlement; by default the newest in the namespace
    pub name: Option<String>,
    /// Only Settlements of this Collective
    #[arg(long)]
    pub collective: Option<String>,
    /// Compute it again from the usage log, and compare; needs the Collective's storage key
    #[arg(long)]
    pub verify: bool,
    /// How to print.
    #[command(flatten)]
    pub output: output::Options,
}

/// A statement and whether the log says the same.
#[derive(Serialize)]
struct Verified<'a> {
    settlement: &'a cooperator_api::settlement::SettlementSpec,
    verification: &'a Verification,
}

/// Prints it; exit status 1 if it was to be verified and the log says something else.
///
/// # Errors
/// When there is no Settlement, or cluster or storage do not answer.
pub async fn statement(access: &Access, options: &Options) -> Result<ExitCode> {
    let settlement = match &options.name {
        Some(name) => access.get(name).await?,
        None => newest(access.list().await?, options.collective.as_deref(), &access.namespace)?,
    };
    if !options.verify {
        output::print(options.output, &settlement.spec, || sheet::of_settlement(&settlement.spec))?;
        return Ok(ExitCode::SUCCESS);
    }
    let collective: Collective = access.get(&settlement.spec.collective_ref.name).await?;
    let bucket = storage::open(&access.client, &collective).await?;
    let digest: Digest = settlement.spec.statement.digest.parse()?;
    let verification = verify(&bucket.store, &settlement.spec.period.name, &digest).await?;
    let text = format!("{}\n\n{verification}", table(&verification.recomputed)?);
    let verified = Verified { settlement: &settlement.spec, verification: &verification };
    output::print(options.output, &verified, || text)?;
    Ok(if verification.same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn newest(all: Vec<Settlement>, collective: Option<&str>, namespace: &str) -> Result<Settlement> {
    let of =
        |settlement: &Settlement| collective.is_none_or(|name| settlement.spec.collective_ref.name == name);
    let newest = all
        .into_iter()
        .filter(of)
        .max_by_key(|settlement| (settlement.spec.period.end.clone(), settlement.name_any()));
    match newest {
        Some(settlement) => Ok(settlement),
        None => bail!("no period is settled yet in namespace `{namespace}`: kubectl -n {namespace} get coll"),
    }
}

#[cfg(test)]
mod tests {
    use cooperator_contract::outcome::Outcome;
    use cooperator_settle::fixture::{Bucket, Gateway, adapter, november};
    use cooperator_settle::run::settle;

    use super::*;

    /// A bucket with a settled November, and its statement's digest.
    pub(super) async fn settled() -> (Bucket, Digest) {
        let bucket = Bucket::default();
        let adapter = adapter(&bucket);
        let mut gateway = Gateway::new("presidents-0");
        let rows = [gateway.row("2026-11-05T10:30:00Z", 400_000, 1_600_000, Some(adapter))];
        let (key, bytes) = gateway.chunk(&rows);
        bucket.insert(key, bytes);
        let Outcome::Succeeded { digest, .. } = settle(&bucket, &november(None)).await.unwrap() else {
            panic!("it settles")
        };
        (bucket, digest)
    }
}
