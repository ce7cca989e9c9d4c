//! `cargo xtask test`: all that has to hold. CI runs this and nothing else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cooperator_cluster::command::{command, output, run};
use cooperator_cluster::tools::{ETCD, HELM, KUBERNETES};
use cooperator_cluster::{Progress, paths, tools};

use crate::codegen;

/// Kubernetes version the chart is rendered for.
const KUBE_VERSION: &str = "1.34.4";

/// Checks everything below `root`, cheapest first.
pub fn test(root: &Path, progress: &Progress) -> Result<()> {
    let logs = paths::cache().join("logs");
    let cargo = |arguments: &[&str]| {
        let mut cargo = command("cargo", arguments);
        cargo.current_dir(root);
        cargo
    };
    progress.during("Formatting", None, || {
        run("cargo fmt", &mut cargo(&["fmt", "--all", "--check"]), &logs.join("fmt.log"))
    })?;
    progress.during("Generated files", None, || codegen::check(root))?;
    tools::ensure(&[ETCD, KUBERNETES, HELM], progress)?;
    progress.during("Chart", None, || chart(root, &logs))?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    progress.during("Clippy", None, || run("cargo clippy", &mut clippy, &logs.join("clippy.log")))?;
    progress.say("Tests");
    shown(cargo(&["test", "--workspace"]))
}

/// Runs a command whose output people and CI read as it comes.
fn shown(mut command: Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(
        status.success(),
        "the tests failed ({status}): the lines above say which, run one by `cargo test -p CRATE NAME`"
    );
    Ok(())
}

/// `helm lint`, and what the templates say for the values people set.
fn chart(root: &Path, logs: &Path) -> Result<()> {
    let chart = root.join("charts/cooperator");
    let helm = |arguments: &[&str]| {
        let mut helm = command(HELM.program("helm"), arguments);
        helm.arg(&chart);
        helm
    };
    run("helm lint", &mut helm(&["lint", "--strict"]), &logs.join("helm-lint.log"))?;
    let none: &[&str] = &[];
    for (name, set) in [
        ("default", none),
        ("without-store", &["--set", "objectStorage.embedded.enabled=false"]),
        ("one-replica", &["--set", "operator.replicas=1", "--set", "serviceMonitor.enabled=true"]),
        (
            "namespaces",
            &["--set", "collectives.namespaces={presidents}", "--set", "networkPolicy.enabled=false"],
        ),
    ] {
        let mut template =
            helm(&["template", "cooperator", "-n", "cooperator-system", "--kube-version", KUBE_VERSION]);
        let rendered = output(&format!("helm template ({name})"), template.args(set))?;
        refuse_wide_rights(&rendered).with_context(|| format!("the chart with the values `{name}`"))?;
    }
    let mut wrong =
        helm(&["template", "cooperator", "--kube-version", KUBE_VERSION, "--set", "operator.replicas=0"]);
    let refused = output("helm template (wrong)", &mut wrong).is_err();
    ensure!(refused, "values.schema.json accepts operator.replicas=0");
    Ok(())
}

/// No wildcard in any rule, and Secrets in none but the role a namespace grants.
fn refuse_wide_rights(rendered: &str) -> Result<()> {
    use serde::Deserialize;
    for document in serde_yaml::Deserializer::from_str(rendered) {
        let object = serde_yaml::Value::deserialize(document)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let kind = object["kind"].as_str().unwrap_or_default();
        if kind != "ClusterRole" && kind != "Role" {
            continue;
        }
        let text = serde_yaml::to_string(&object["rules"])?;
        ensure!(!text.contains('*'), "{kind} {name} has a wildcard");
        let secrets = text.contains("secrets");
        ensure!(!secrets || name == "cooperator-collective", "{kind} {name} may touch Secrets");
    }
    Ok(())
}
