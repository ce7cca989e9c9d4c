//! `cargo xtask bench NAME`: measures a part beside others that do the same, from release builds, and writes what came of it
//! into `e2e/bench/RESULTS.md`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use cooperator_cluster::command::{command, output, run, shown};
use cooperator_cluster::{Cluster, Progress, debian, files, paths};

use crate::workspace::Programs;

/// What is compiled with --release to be measured.
const PACKAGES: [&str; 4] =
    ["cooperator-operator", "cooperator-gateway", "cooperator-settle", "cooperator-bench"];
/// Debian's packages that a benchmark calls by name.
const LOAD: [(&str, &str); 1] = [("wrk", "/usr/bin/wrk")];

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// What to measure
    name: Name,
    /// Measure the dev build: to try a benchmark out. Nothing is written down
    #[arg(long)]
    dev: bool,
    /// Options of the benchmark, after `--`: `cargo xtask bench operator -- --sizes 100 --runs 1`
    #[arg(last = true)]
    more: Vec<String>,
}

/// A benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The operator's memory and API calls beside a controller-runtime twin
    Operator,
    /// The gateway's requests a second beside nginx and LiteLLM
    Gateway,
    /// Rows of usage settled a second
    Settle,
    /// How long nobody reconciles after the leader went
    Failover,
    /// From applying a FineTune to its first step, on the local cluster of `cargo xtask demo`
    FirstStep,
}

/// Compiles, brings what it is measured beside, and measures.
///
/// # Errors
/// When something does not compile or cannot be brought, or the benchmark fails: it says why.
pub fn bench(options: &Options, progress: &Progress) -> Result<()> {
    let programs =
        if options.dev { Programs::build(progress)? } else { Programs::release(&PACKAGES, progress)? };
    let mut bench = Command::new(programs.path("cooperator-bench")?);
    if !options.dev {
        bench.arg("--results").arg(paths::workspace().join("e2e/bench/RESULTS.md"));
    }
    let program = |bench: &mut Command, part: &str| -> Result<()> {
        bench.arg(format!("--{part}")).arg(programs.path(&format!("cooperator-{part}"))?);
        Ok(())
    };
    match options.name {
        Name::Operator => {
            bench.arg("operator").arg("--twin").arg(twin(progress)?);
            ["operator", "settle"].into_iter().try_for_each(|part| program(&mut bench, part))?;
            // It trains in the story, and is not measured.
            bench.arg("--trainer").arg(trainer(&programs, progress)?);
        }
        Name::Gateway => {
            debian::ensure_packages(&LOAD, progress)?;
            bench
                .arg("gateway")
                .arg("--nginx")
                .arg(nginx(progress)?)
                .arg("--litellm")
                .arg(litellm(progress)?);
            ["operator", "gateway"].into_iter().try_for_each(|part| program(&mut bench, part))?;
        }
        Name::Settle => {
            bench.arg("settle");
            ["operator", "settle"].into_iter().try_for_each(|part| program(&mut bench, part))?;
        }
        Name::Failover => {
            bench.arg("failover");
            program(&mut bench, "operator")?;
        }
        Name::FirstStep => {
            let cluster = Cluster::open(&paths::cluster_state()).context("run `cargo xtask demo` first")?;
            bench.arg("first-step").arg("--kubeconfig").arg(cluster.kubeconfig);
        }
    }
    Ok(shown("cooperator-bench", bench.args(&options.more))?)
}

/// The trainer: from these programs, or else of the dev profile, whose arithmetic is optimised too.
fn trainer(programs: &Programs, progress: &Progress) -> Result<PathBuf> {
    match programs.path("cooperator-trainer") {
        Ok(found) => Ok(found.to_owned()),
        Err(_) => Ok(Programs::build(progress)?.path("cooperator-trainer")?.to_owned()),
    }
}

/// The controller-runtime twin, compiled.
fn twin(progress: &Progress) -> Result<PathBuf> {
    let folder = folder()?;
    let program = folder.join("twin");
    let mut go = command("go", ["build", "-trimpath", "-ldflags", "-s -w", "-o"]);
    go.arg(&program).arg(".").current_dir(paths::workspace().join("e2e/bench/twin")).env("CGO_ENABLED", "0");
    progress
        .during("Compiling the controller-runtime twin", None, || run("go build", &mut go, &log("twin")))?;
    Ok(program)
}

/// Debian's nginx, unpacked and not installed: an installed one would be started.
fn nginx(progress: &Progress) -> Result<PathBuf> {
    let folder = folder()?.join("nginx");
    let program = folder.join("usr/sbin/nginx");
    if program.is_file() {
        return Ok(program);
    }
    files::remove(&folder)?;
    files::create_dir(&folder)?;
    progress.during("Fetching nginx", None, || -> Result<()> {
        let mut download = command("apt-get", ["download", "nginx"]);
        run("apt-get download", download.current_dir(&folder), &log("nginx"))?;
        let package = output("ls", command("sh", ["-c", "ls nginx_*.deb"]).current_dir(&folder))?;
        let mut extract = command("dpkg-deb", ["--extract", package.trim(), "."]);
        Ok(run("dpkg-deb", extract.current_dir(&folder), &log("nginx"))?)
    })?;
    Ok(program)
}

/// A Python environment with LiteLLM, in the version that `requirements.txt` pins.
fn litellm(progress: &Progress) -> Result<PathBuf> {
    let environment = folder()?.join("litellm");
    progress.during("Fetching LiteLLM", None, || -> Result<()> {
        if !environment.join("bin/pip").is_file() {
            run("python3 -m venv", command("python3", ["-m", "venv"]).arg(&environment), &log("litellm"))?;
        }
        let mut pip = Command::new(environment.join("bin/pip"));
        pip.args(["install", "--quiet", "--only-binary", ":all:", "--requirement"]);
        pip.arg(paths::workspace().join("e2e/bench/requirements.txt"));
        Ok(run("pip install", &mut pip, &log("litellm"))?)
    })?;
    Ok(environment)
}

/// Where what others made is kept.
fn folder() -> Result<PathBuf> {
    let folder = paths::cache().join("bench");
    files::create_dir(&folder)?;
    Ok(folder)
}

fn log(name: &str) -> PathBuf {
    paths::cache().join(Path::new("logs")).join(format!("bench-{name}.log"))
}
