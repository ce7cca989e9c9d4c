//! What an image consists of, as SPDX: the packages of its base, and every crate in our programs.
//!
//! Syft reads it from the image itself: Debian's packages from their notes, crates from the list that cargo-auditable
//! wrote into each program. So whoever has the image can read the same again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use cooperator_cluster::command::{command, run};
use cooperator_cluster::tools::SYFT;
use cooperator_cluster::{Progress, files, paths};
use serde_json::Value;

/// A crate that each of our programs has, and a package that each base has: without them the list cannot be whole.
const SURE: [&str; 2] = ["pkg:cargo/tokio@", "pkg:deb/"];

/// Writes `target/sbom/NAME-TAG.spdx.json` for the image in `archive` (oci-archive); returns where it lies.
///
/// # Errors
/// When syft fails, or found no crates or no packages.
pub fn write(name: &str, tag: &str, archive: &Path, progress: &Progress) -> Result<PathBuf> {
    let folder = paths::workspace().join("target/sbom");
    files::create_dir(&folder)?;
    let place = folder.join(format!("{name}-{tag}.spdx.json"));
    let mut syft = command(SYFT.program("syft"), ["scan", "--quiet"]);
    syft.arg(format!("oci-archive:{}", archive.display()));
    syft.arg("--source-name").arg(format!("cooperator/{name}")).arg("--source-version").arg(tag);
    syft.arg("--output").arg(format!("spdx-json={}", place.display()));
    // It is told an exact image and needs no word from its makers.
    syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    let log = paths::cache().join("logs").join(format!("syft-{name}.log"));
    progress.during(&format!("Listing what {name} consists of"), None, || run("syft", &mut syft, &log))?;
    let listed: Value = serde_json::from_str(&files::read(&place)?)?;
    let packages = packages(&listed);
    for sure in SURE {
        let found = packages.iter().any(|package| package.starts_with(sure));
        ensure!(
            found,
            "{} lists no {sure}...: was the program compiled by cargo-auditable?",
            place.display()
        );
    }
    progress.say(&format!("{name}: {} packages", packages.len()));
    Ok(place)
}

/// The package URLs of an SPDX document.
fn packages(document: &Value) -> BTreeSet<&str> {
    let packages = document["packages"].as_array().into_iter().flatten();
    let references = packages.flat_map(|package| package["externalRefs"].as_array().into_iter().flatten());
    references
        .filter(|reference| reference["referenceType"] == "purl")
        .filter_map(|reference| reference["referenceLocator"].as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packages_are_told_by_their_urls() {
        let url = |kind: &str, locator: &str| json!({"referenceType": kind, "referenceLocator": locator});
        let document = json!({"packages": [
            {"name": "tokio", "externalRefs": [url("cpe23Type", "cpe:x"), url("purl", "pkg:cargo/tokio@1.0.0")]},
            {"name": "an image"},
        ]});
        assert_eq!(packages(&document), BTreeSet::from(["pkg:cargo/tokio@1.0.0"]));
    }
}
