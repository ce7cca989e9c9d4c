//! `cargo xtask fuzz [TARGET]`: looks for inputs over which a parser panics, hangs or takes all memory.
//!
//! The targets in `e2e/fuzz` have the layout of cargo-fuzz, but cargo-fuzz wants a nightly compiler for its sanitizers.
//! Safe Rust gains little by those: here a compiler of the release channel notes the branches that are taken, with
//! the flags that `cargo fuzz build --sanitizer none` gives it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cooperator_cluster::command::{cargo, command, lines, output, run};
use cooperator_cluster::{Progress, paths};
use serde_json::Value;

/// Notes of branches and comparisons, for libFuzzer.
const FLAGS: &str = "-Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
/// Seconds after which an input counts as one that hangs.
const HANG: u32 = 20;
/// Mebibytes above which an input counts as one that takes all memory.
const MEMORY: u32 = 2048;
/// Longest input, bytes: about the least file of a model.
const LONGEST: u32 = 1 << 18;
/// Names the folder that a target puts its first inputs into.
const SEEDS: &str = "COOPERATOR_FUZZ_SEEDS";

/// What is fuzzed, and for how long.
#[derive(Args)]
pub struct Options {
    /// This target alone, as `e2e/fuzz/fuzz_targets` has it; by default each after the other
    target: Option<String>,
    /// Seconds a target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// A program that feeds a parser.
struct Target {
    name: String,
    feature: String,
}

/// What became of a target.
struct Found {
    runs: u64,
    corpus: usize,
    /// Inputs that broke it.
    broken: Vec<PathBuf>,
}

/// Builds the targets, feeds each, and prints a table.
///
/// # Errors
/// When a target does not compile, or an input breaks one: its file is named.
pub fn fuzz(options: &Options, progress: &Progress) -> Result<()> {
    let root = paths::workspace().join("e2e/fuzz");
    let mut targets = targets(&root)?;
    if let Some(wanted) = &options.target {
        targets.retain(|target| target.name == *wanted);
        ensure!(!targets.is_empty(), "no fuzz target `{wanted}`; those in e2e/fuzz/fuzz_targets are there");
    }
    let programs = build(&root, &targets, progress)?;
    let mut table = vec![["TARGET", "RUNS", "CORPUS", "CRASHES"].map(str::to_owned)];
    let mut broken = Vec::new();
    for target in &targets {
        let name = &target.name;
        let found = progress.during(&format!("Fuzzing {name}"), None, || {
            feed(&root, name, &programs.join(name), options.seconds)
        })?;
        table.push([
            name.clone(),
            found.runs.to_string(),
            found.corpus.to_string(),
            found.broken.len().to_string(),
        ]);
        broken.extend(found.broken);
    }
    for [target, runs, corpus, crashes] in table {
        writeln!(io::stdout(), "{target:<16}{runs:>12}{corpus:>9}{crashes:>9}")?;
    }
    match broken.first() {
        None => Ok(()),
        Some(first) => bail!("{} inputs break a parser, the first is {}", broken.len(), first.display()),
    }
}

/// Every target and the feature that it needs, from the manifest.
fn targets(root: &Path) -> Result<Vec<Target>> {
    let mut metadata = cargo(["metadata", "--format-version=1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&output("cargo metadata", metadata.current_dir(root))?)?;
    let all = metadata["packages"][0]["targets"].as_array().context("cargo metadata names no targets")?;
    let target = |target: &Value| {
        let feature = target["required-features"][0].as_str()?.to_owned();
        Some(Target { name: target["name"].as_str()?.to_owned(), feature })
    };
    Ok(all.iter().filter_map(target).collect())
}

/// Compiles the targets, and says in which folder they lie.
fn build(root: &Path, targets: &[Target], progress: &Progress) -> Result<PathBuf> {
    let host = output("rustc -vV", &mut command("rustc", ["-vV"]))?;
    let host =
        host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?.to_owned();
    let folder = root.join("target");
    // With a target, even that of the machine itself, the flags reach no build script and no macro.
    let mut cargo = cargo(["build", "--release", "--locked", "--target", &host]);
    cargo
        .current_dir(root)
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_BUILD_BUILD_DIR", &folder)
        .env("CARGO_TARGET_DIR", &folder);
    for target in targets {
        cargo.args(["--bin", &target.name, "--features", &target.feature]);
    }
    progress.during("Compiling the fuzz targets", None, || {
        lines("cargo build", &mut cargo, &paths::cache().join("logs/fuzz-build.log"), |_| {})
    })?;
    Ok(folder.join(host).join("release"))
}

/// Feeds a target. What it finds worth keeping stays in its corpus, from which the next time goes on.
fn feed(root: &Path, name: &str, program: &Path, seconds: u32) -> Result<Found> {
    let (corpus, artifacts) = (root.join("corpus").join(name), root.join("artifacts").join(name));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    // What broke it before comes first: it may be mended.
    for old in files(&artifacts)? {
        fs::rename(&old, corpus.join(old.file_name().unwrap_or_default()))?;
    }
    let log = paths::cache().join(format!("logs/fuzz-{name}.log"));
    let mut target = Command::new(program);
    target.env(SEEDS, &corpus).arg(&corpus).args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={HANG}"),
        format!("-rss_limit_mb={MEMORY}"),
        format!("-max_len={LONGEST}"),
        format!("-artifact_prefix={}/", artifacts.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    // A crash is told by the file it leaves, with all others.
    let ended = run(name, &mut target, &log);
    let broken = files(&artifacts)?;
    if broken.is_empty() {
        ended?;
    }
    Ok(Found { runs: runs(&fs::read_to_string(&log)?), corpus: files(&corpus)?.len(), broken })
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// How many inputs were tried, as libFuzzer says at its end.
fn runs(log: &str) -> u64 {
    let said = log.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    said.and_then(|said| said.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_from_what_libfuzzer_says() {
        assert_eq!(runs("Done 7\nstat::number_of_executed_units: 12345\nstat::peak_rss_mb: 3\n"), 12345);
        assert_eq!(runs("==1== ERROR"), 0);
    }

    #[test]
    fn every_target_is_listed_with_what_it_needs_and_every_file_is_a_target() {
        let root = paths::workspace().join("e2e/fuzz");
        let targets = targets(&root).unwrap();
        let mut names: Vec<String> =
            targets.into_iter().map(|target| format!("{}.rs", target.name)).collect();
        names.sort();
        let found = files(&root.join("fuzz_targets")).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
        assert_eq!(found, names);
        assert!(names.len() >= 12);
    }
}
