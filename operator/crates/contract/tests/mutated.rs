//! What the parts say to each other, almost in order: it is refused, or read as what it says. The files in `examples`
//! are one message of each kind; the fuzz targets in `e2e/fuzz` start from them too.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Debug;
use std::path::Path;

use cooperator_contract::canonical;
use cooperator_contract::manifest::{
    AdapterManifest, CheckpointManifest, DatasetManifest, Evaluation, ModelManifest, Record,
};
use cooperator_contract::outcome::Outcome;
use cooperator_contract::progress::Progress;
use cooperator_contract::run::RunFile;
use cooperator_contract::settle::Statement;
use cooperator_contract::usage::UsageRow;
use cooperator_mutate::mutated;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn example(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/examples/{name}.json"));
    std::fs::read(path).unwrap()
}

/// What is read, is written as the same again.
fn kept<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return Ok(()) };
    let written = canonical(&read).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let again: T =
        serde_json::from_slice(&written).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&again, &read);
    prop_assert_eq!(canonical(&again).ok(), Some(written));
    Ok(())
}

fn canonical_bytes<T: Serialize + DeserializeOwned>(name: &str) -> Vec<u8> {
    canonical(&serde_json::from_slice::<T>(&example(name)).unwrap()).unwrap()
}

#[test]
fn every_example_is_in_canonical_form() {
    for run in ["import", "ingest", "train", "serve", "settle"] {
        let name = format!("run-{run}");
        assert_eq!(canonical_bytes::<RunFile>(&name), example(&name), "{name}");
    }
    assert_eq!(canonical_bytes::<ModelManifest>("model"), example("model"));
    assert_eq!(canonical_bytes::<DatasetManifest>("dataset"), example("dataset"));
    assert_eq!(canonical_bytes::<Record>("record"), example("record"));
    assert_eq!(canonical_bytes::<CheckpointManifest>("checkpoint"), example("checkpoint"));
    assert_eq!(canonical_bytes::<AdapterManifest>("adapter"), example("adapter"));
    assert_eq!(canonical_bytes::<Evaluation>("evaluation"), example("evaluation"));
    assert_eq!(canonical_bytes::<Statement>("statement"), example("statement"));
    assert_eq!(canonical_bytes::<Outcome>("succeeded"), example("succeeded"));
    assert_eq!(canonical_bytes::<Outcome>("failed"), example("failed"));
    assert_eq!(canonical_bytes::<Progress>("progress"), example("progress"));
    assert_eq!(canonical_bytes::<UsageRow>("usage-row"), example("usage-row"));
}

proptest! {
    #[test]
    fn run_files(bytes in mutated(["import", "ingest", "train", "serve", "settle"].map(|run| example(&format!("run-{run}"))).to_vec())) {
        kept::<RunFile>(&bytes)?;
    }

    #[test]
    fn manifests(bytes in mutated(["model", "dataset", "record", "checkpoint", "adapter", "evaluation"].map(example).to_vec())) {
        kept::<ModelManifest>(&bytes)?;
        kept::<DatasetManifest>(&bytes)?;
        kept::<Record>(&bytes)?;
        kept::<CheckpointManifest>(&bytes)?;
        kept::<AdapterManifest>(&bytes)?;
        kept::<Evaluation>(&bytes)?;
    }

    #[test]
    fn statements(bytes in mutated(vec![example("statement")])) {
        kept::<Statement>(&bytes)?;
    }

    #[test]
    fn words_of_a_pod(bytes in mutated(["succeeded", "failed", "progress"].map(example).to_vec())) {
        kept::<Outcome>(&bytes)?;
        kept::<Progress>(&bytes)?;
        if let Ok(outcome) = serde_json::from_slice::<Outcome>(&bytes) {
            prop_assert!(outcome.to_termination_message().len() <= cooperator_contract::outcome::MAX_BYTES);
        }
    }

    #[test]
    fn rows_of_usage(bytes in mutated(vec![example("usage-row")])) {
        kept::<UsageRow>(&bytes)?;
    }
}
