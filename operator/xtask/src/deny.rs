//! Every dependency's licence, source and known vulnerabilities, as `deny.toml` has them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use cooperator_cluster::command::{command, run};
use cooperator_cluster::tools::CARGO_DENY;
use cooperator_cluster::{Progress, paths};

/// Checks them. The list of known vulnerabilities is fetched; where that cannot be, it is said and the rest is checked.
///
/// # Errors
/// When a dependency may not be here: with what cargo-deny says of it.
pub fn deny(root: &Path, progress: &Progress) -> Result<()> {
    let log = paths::cache().join("logs/cargo-deny.log");
    let deny = |arguments: &[&str]| -> Command {
        let mut deny = command(CARGO_DENY.program("cargo-deny"), arguments);
        deny.current_dir(root);
        deny
    };
    progress.during("Licences and sources of dependencies", None, || {
        run("cargo deny", &mut deny(&["check", "bans", "licenses", "sources"]), &log)
    })?;
    let fetched =
        run("cargo deny fetch", &mut deny(&["fetch", "db"]), &paths::cache().join("logs/advisories.log"));
    if fetched.is_err() {
        progress.say("Known vulnerabilities are NOT looked up: the advisory database cannot be fetched here");
        return Ok(());
    }
    progress.during("Known vulnerabilities of dependencies", None, || {
        run("cargo deny", &mut deny(&["check", "advisories"]), &log)
    })?;
    Ok(())
}
