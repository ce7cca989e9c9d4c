//! What the fuzz targets share: where they start from.

use std::path::PathBuf;

/// Names the folder that inputs to start from are put into; `cargo xtask fuzz` sets it.
pub const SEEDS: &str = "COOPERATOR_FUZZ_SEEDS";

/// Puts valid inputs where libFuzzer looks for some: from these it goes on faster than from nothing. Called as a target
/// starts.
///
/// # Panics
/// When the folder cannot be written.
pub fn plant(inputs: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let Some(folder) = std::env::var_os(SEEDS).map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (number, input) in inputs.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), input).expect("a seed");
    }
}

/// One message of a kind, as the tests of `cooperator-contract` have it.
#[macro_export]
macro_rules! example {
    ($name:literal) => {
        include_bytes!(concat!("../../../operator/crates/contract/tests/examples/", $name, ".json"))
            .as_slice()
    };
}

/// What is read is written as the same again.
///
/// # Panics
/// When it is not: a bug.
#[cfg(feature = "contract")]
pub fn kept<T>(bytes: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = cooperator_contract::canonical(&read).expect("plain data is JSON");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, read);
}

/// Whether a reason is one line that can be shown: no file may make it long or break it.
///
/// # Panics
/// When it is not: a bug.
pub fn shown(error: impl std::fmt::Display) {
    let line = error.to_string();
    assert!(!line.contains(char::is_control) && line.len() < 1000, "{line:?}");
}
