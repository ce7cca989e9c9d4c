//! Pure: what status says.

use std::collections::BTreeMap;

use cooperator_api::common::{Attempt, condition};
use cooperator_api::dataset::{ContributionState, Dataset, DatasetStatus, Decision, MemberTokens};
use cooperator_contract::manifest::DatasetManifest;
use cooperator_core::attribution::{Given, weigh};
use cooperator_core::consent::Share;
use cooperator_core::digest::Digest;

use super::validate::Selection;
use crate::domain::{Finding, Hold, count};
use crate::runs::{self, Phase};

/// Attempts that status keeps.
const ATTEMPTS: usize = 8;

/// What a reconcile found out about the build.
#[derive(Clone, Debug)]
pub enum Build {
    /// Nothing can be built.
    Held(Hold),
    /// The newest version is the right one.
    Kept,
    /// A build is somewhere.
    Running {
        /// Digest of its inputs.
        inputs: Digest,
        /// Its attempts.
        attempts: Vec<Attempt>,
        /// Where it stands.
        phase: Phase,
    },
    /// A build has just been finished.
    Done {
        /// Digest of its inputs.
        inputs: Digest,
        /// Its attempts.
        attempts: Vec<Attempt>,
        /// Digest of the manifest.
        digest: Digest,
        /// The manifest, verified.
        manifest: Box<DatasetManifest>,
    },
}

/// What is found, `Ready` first. A Dataset with a good version is Ready, whatever becomes of the next build.
pub fn findings(dataset: &Dataset, selection: &Result<Selection, Hold>, build: &Build) -> Vec<Finding> {
    let has_version = dataset.status.as_ref().is_some_and(|status| status.digest.is_some());
    let read = match build {
        Build::Held(hold) => Finding::held(condition::SOURCES_READ, hold),
        Build::Kept | Build::Done { .. } => {
            Finding::yes(condition::SOURCES_READ, "Built", "every accepted source was read")
        }
        Build::Running { phase, .. } => Finding::held(
            condition::SOURCES_READ,
            &runs::explain(phase, ("Building", "the sources are being read")),
        ),
    };
    let ready = match (read.status, has_version) {
        (true, _) => Finding::yes(condition::READY, "Built", "the newest version can be trained on"),
        (false, true) => {
            let message = format!("the version before stays; the next build: {}", read.message);
            Finding::yes(condition::READY, read.reason.clone(), message)
        }
        (false, false) => Finding::no(condition::READY, read.reason.clone(), read.message.clone()),
    };
    vec![ready, read, consent(selection)]
}

fn consent(selection: &Result<Selection, Hold>) -> Finding {
    match selection {
        Err(hold) => Finding::held(condition::CONSENT_GIVEN, hold),
        Ok(selection) if selection.accepted.is_empty() => {
            Finding::no(condition::CONSENT_GIVEN, "NoContributions", "no selected Contribution is accepted")
        }
        Ok(Selection { accepted, refused, .. }) if !refused.is_empty() => {
            let names: Vec<&str> = refused.iter().take(8).map(|one| one.name.as_str()).collect();
            let message =
                format!("{} accepted, {} refused: {}", accepted.len(), refused.len(), names.join(", "));
            Finding::yes(condition::CONSENT_GIVEN, "SomeRefused", message)
        }
        Ok(Selection { accepted, .. }) => {
            Finding::yes(condition::CONSENT_GIVEN, "AllAccepted", format!("{} accepted", accepted.len()))
        }
    }
}

/// Everything of status but the conditions, which need the ones before.
pub fn status(dataset: &Dataset, selection: &Result<Selection, Hold>, build: Build) -> DatasetStatus {
    let before = dataset.status.clone().unwrap_or_default();
    let rows = match selection {
        Ok(selection) => rows(selection, &before.contributions),
        Err(_) => before.contributions.clone(),
    };
    let kept = DatasetStatus {
        observed_generation: dataset.metadata.generation,
        conditions: Vec::new(),
        contributions: rows,
        // The progress endpoint writes it; whoever applies this status does not own it.
        progress: None,
        ..before
    };
    match build {
        // A version is asked for by a generation only when it was built or is being built: a hold keeps it due.
        Build::Held(_) => DatasetStatus { observed_generation: before.observed_generation, ..kept },
        Build::Kept => kept,
        Build::Running { inputs, attempts, .. } => DatasetStatus {
            building: Some(inputs.to_string()),
            attempts: runs::newest(attempts, ATTEMPTS),
            ..kept
        },
        Build::Done { inputs, attempts, digest, manifest } => DatasetStatus {
            building: Some(inputs.to_string()),
            inputs_digest: Some(inputs.to_string()),
            attempts: runs::newest(attempts, ATTEMPTS),
            digest: Some(digest.to_string()),
            records: Some(count(manifest.records)),
            tokens: Some(count(manifest.tokens)),
            members: members(&manifest),
            contributions: counted(kept.contributions, &manifest),
            ..kept
        },
    }
}

/// A row for each selected Contribution, sorted by name; counts of the newest version stay with what it holds.
fn rows(selection: &Selection, before: &[ContributionState]) -> Vec<ContributionState> {
    let old: BTreeMap<&str, &ContributionState> = before.iter().map(|row| (row.name.as_str(), row)).collect();
    let accepted = selection.accepted.iter().map(|work| {
        let row = old.get(work.name.as_str());
        ContributionState {
            name: work.name.clone(),
            member: work.member.clone(),
            state: Decision::Accepted,
            records: row.and_then(|row| row.records),
            tokens: row.and_then(|row| row.tokens),
            duplicates: row.and_then(|row| row.duplicates),
            ..ContributionState::default()
        }
    });
    let refused = selection.refused.iter().map(|work| ContributionState {
        name: work.name.clone(),
        member: work.member.clone(),
        state: Decision::Refused,
        reason: Some(work.reason.clone()),
        message: Some(work.message.clone()),
        ..ContributionState::default()
    });
    let mut rows: Vec<_> = accepted.chain(refused).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

fn counted(mut rows: Vec<ContributionState>, manifest: &DatasetManifest) -> Vec<ContributionState> {
    for row in &mut rows {
        let found = manifest.contributions.iter().find(|work| work.name == row.name);
        row.records = found.map(|work| count(work.records));
        row.tokens = found.map(|work| count(work.tokens));
        row.duplicates = found.map(|work| count(work.duplicates));
    }
    rows
}

/// What each member gave. A manifest whose split sheets do not add up was not made by us; it credits nobody here.
fn members(manifest: &DatasetManifest) -> Vec<MemberTokens> {
    let sheets: Vec<Vec<Share>> = manifest
        .contributions
        .iter()
        .map(|work| {
            let share = |line: &cooperator_contract::run::SplitShare| Share {
                member: line.member.clone(),
                basis_points: line.basis_points,
            };
            work.split_sheet.iter().map(share).collect()
        })
        .collect();
    let given: Vec<Given<'_>> = manifest
        .contributions
        .iter()
        .zip(&sheets)
        .map(|(work, split_sheet)| Given { member: &work.member, tokens: work.tokens, split_sheet })
        .collect();
    let weights = weigh(&given).unwrap_or_default();
    weights
        .into_iter()
        .map(|weight| MemberTokens {
            name: weight.member,
            tokens: count(weight.tokens),
            basis_points: i32::from(weight.basis_points.get()),
        })
        .collect()
}
