//! The programs of this workspace, compiled once: for tests, demo and images alike.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cooperator_cluster::command::{self, lines, output};
use cooperator_cluster::tools::{self, CARGO_AUDITABLE};
use cooperator_cluster::{Progress, paths};
use serde_json::Value;

use crate::cache;

/// Where each compiled program lies.
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Compiles every program with the dev profile.
    ///
    /// Selects what makes cargo choose the features that `cargo test --workspace` has: the whole workspace, and
    /// examples, because they alone of what is not a test switch on the features of dev-dependencies.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn build(progress: &Progress) -> Result<Self> {
        progress.during("Linking what another checkout compiled", None, cache::fill)?;
        let build = cargo(&["build", "--workspace", "--bins", "--examples"]);
        compile(build, "Compiling the workspace", progress)
    }

    /// Compiles one program and what it needs, with the features that [`Self::build`] chooses.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn one(name: &str, progress: &Progress) -> Result<Self> {
        progress.during("Linking what another checkout compiled", None, cache::fill)?;
        let build = cargo(&["build", "--workspace", "--bin", name]);
        compile(build, &format!("Compiling {name}"), progress)
    }

    /// Compiles the programs of these packages as people run them: with the release profile, the list of all crates in
    /// each program.
    ///
    /// # Errors
    /// When one does not compile.
    pub fn release(packages: &[&str], progress: &Progress) -> Result<Self> {
        tools::ensure(&[CARGO_AUDITABLE], progress)?;
        let mut auditable = cargo(&["auditable", "build", "--bins", "--release"]);
        auditable.args(packages.iter().flat_map(|name| ["--package", *name]));
        // cargo finds its subcommands there.
        auditable.env("PATH", path_with(CARGO_AUDITABLE.folder())?);
        compile(auditable, "Compiling our programs with --release", progress)
    }

    /// Where the program of this name lies.
    ///
    /// # Errors
    /// When no package has one of this name.
    pub fn path(&self, name: &str) -> Result<&Path> {
        Ok(self.0.get(name).with_context(|| format!("no package has a program {name}"))?)
    }
}

fn compile(mut build: Command, what: &str, progress: &Progress) -> Result<Programs> {
    let total = packages().unwrap_or(0);
    build.arg("--message-format=json-render-diagnostics");
    let (mut done, mut programs) = (BTreeSet::new(), BTreeMap::new());
    let step = progress.step(what, None);
    let result = lines("cargo build", &mut build, &paths::cache().join("logs/cargo-build.log"), |line| {
        let Ok(message) = serde_json::from_str::<Value>(line) else { return };
        let Some(package) = message["package_id"].as_str() else { return };
        done.insert(package.to_owned());
        // What was compiled before comes first and says nothing about how long the rest takes.
        if message["fresh"] == false {
            step.at(done.len() as u64, total.max(done.len()) as u64);
        }
        programs.extend(program(&message));
    });
    match result {
        Ok(()) => step.done(),
        Err(_) => step.failed(),
    }
    result?;
    Ok(Programs(programs))
}

/// `cargo` at the root of the checkout.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command::cargo(arguments);
    cargo.current_dir(paths::workspace());
    cargo
}

/// The PATH of this process with a folder before all others.
///
/// # Errors
/// When the folder's name cannot stand in a PATH.
pub fn path_with(folder: PathBuf) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path)))?)
}

/// How many packages there are to compile, ours and others'.
fn packages() -> Result<usize> {
    let mut tree = cargo(&["tree", "--workspace", "--prefix", "none", "--format", "{p}"]);
    let tree = output("cargo tree", &mut tree)?;
    let of_line = |line: &str| line.trim_end_matches(" (*)").to_owned();
    Ok(tree.lines().map(of_line).filter(|line| !line.is_empty()).collect::<BTreeSet<_>>().len())
}

/// Program and where it lies, if that is what cargo tells here.
fn program(message: &Value) -> Option<(String, PathBuf)> {
    let executable = message["executable"].as_str()?.into();
    Some((message["target"]["name"].as_str()?.to_owned(), executable))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_read_from_what_cargo_says() {
        let library = json!({"target": {"name": "a-lib"}, "executable": null});
        let server =
            json!({"target": {"name": "cooperator-server"}, "executable": "/t/debug/cooperator-server"});
        assert_eq!(program(&library), None);
        assert_eq!(
            program(&server),
            Some(("cooperator-server".to_owned(), PathBuf::from("/t/debug/cooperator-server")))
        );
    }
}
