//! `helm install` of the chart in the checkout, as a platform team does it.

use std::path::Path;

use anyhow::{Context, Result};
use cooperator_cluster::command::{output, run};
use cooperator_cluster::{Progress, files, paths, tools};
use serde_json::Value;

/// Namespace of the release.
const NAMESPACE: &str = "cooperator-system";
/// Lines of the operator's log that a failed installation shows.
const LOG_LINES: &str = "--tail=20";

/// Installs the chart with these values, as arguments and as a file has them, or upgrades it to them, and waits until its pods are ready.
///
/// # Errors
/// When it does not come up: with the state of its pods and the operator's last log lines.
pub fn install(kubeconfig: &Path, values: &[String], more: &Value, progress: &Progress) -> Result<()> {
    let chart = paths::workspace().join("charts/cooperator");
    let mut helm = tools::helm(kubeconfig);
    helm.args(["upgrade", "--install", "cooperator", "--namespace", NAMESPACE, "--create-namespace"]);
    let logs = paths::cache().join("logs");
    files::create_dir(&logs)?;
    let file = logs.join("helm-values.json");
    files::write(&file, more.to_string())?;
    helm.args(["--wait", "--timeout", "5m"]).arg("--values").arg(&file).args(values).arg(&chart);
    let log = logs.join("helm-install.log");
    progress
        .during("Installing the chart", None, || run("helm install", &mut helm, &log))
        .with_context(|| what_is_there(kubeconfig))
}

/// What somebody looks at first.
fn what_is_there(kubeconfig: &Path) -> String {
    let kubectl = |arguments: &[&str]| {
        let mut kubectl = tools::kubectl(kubeconfig);
        kubectl.args(["--namespace", NAMESPACE]).args(arguments);
        output("kubectl", &mut kubectl).unwrap_or_else(|error| error.to_string())
    };
    format!(
        "the chart is not ready; its pods:\n{}last warnings:\n{}last lines of the operator's log:\n{}\
         mend it and run the same command again: it goes on from here",
        kubectl(&["get", "pods", "--output=wide"]),
        kubectl(&["get", "events", "--field-selector=type=Warning"]),
        kubectl(&["logs", "--selector=app.kubernetes.io/component=operator", LOG_LINES, "--prefix"]),
    )
}
