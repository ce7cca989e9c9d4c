//! `cargo xtask test`: all that has to hold. CI runs this and nothing else.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cooperator_cluster::command::{command, output, run, shown};
use cooperator_cluster::tools::{CARGO_DENY, HELM};
use cooperator_cluster::{Cluster, Progress, paths};

use crate::faults::{self, Harm};
use crate::workspace::{Programs, cargo, path_with};
use crate::{cluster, codegen, demo, deny, plugin, rented};

/// Kubernetes version the chart is rendered for.
const KUBE_VERSION: &str = "1.34.4";

/// Values of a default store that is not ours.
const EXTERNAL_STORE: &str = "objectStorage.embedded.enabled=false,objectStorage.external.endpoint=https://s3.example.org,\
                              objectStorage.external.bucket=works,objectStorage.external.existingSecret=works-key";

/// Values with which machines are rented.
const RENTED: &str = "rentedNodes.enabled=true,rentedNodes.apiServer=https://cluster.example.org:6443,\
                      rentedNodes.progressUrl=https://progress.example.org,rentedNodes.storeEndpoint=https://s3.example.org,\
                      rentedNodes.service.type=LoadBalancer,rentedNodes.providerPorts[0]=8443,\
                      rentedNodes.artifacts[0].name=kubelet,rentedNodes.artifacts[0].form=Program,\
                      rentedNodes.artifacts[0].url=https://dl.example.org/kubelet,\
                      rentedNodes.artifacts[0].sha256=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Values with which those machines are reached by a tunnel.
const TUNNEL: &str =
    "rentedNodes.tunnel.server=tunnel.example.org:6445,rentedNodes.tunnel.certificateSecret=tunnel-tls";
/// The role in kube-system that makes bootstrap tokens of rented machines.
const BOOTSTRAP: &str = "cooperator-bootstrap";

/// Points at which the operator is killed.
const DEATHS: usize = 20;
/// Tellings with a bad network.
const BAD_NETWORKS: u64 = 2;
/// Deaths of a gateway that are tried.
const KILLS: u32 = 20;

/// End-to-end tests that end every Collective: not on a cluster that somebody has started to look at.
const LAST: &str = "uninstall::";

/// Environment variable with the kubeconfig of the cluster that end-to-end tests use.
const KUBECONFIG: &str = "COOPERATOR_E2E_KUBECONFIG";
/// Environment variable with the URL of the cloud that they rent from.
const CLOUD: &str = "COOPERATOR_E2E_CLOUD";

/// Checks everything below `root`, cheapest first.
pub fn test(root: &Path, progress: &Progress) -> Result<()> {
    let logs = paths::cache().join("logs");
    progress.during("Formatting", None, || {
        run("cargo fmt", &mut cargo(&["fmt", "--all", "--check"]), &logs.join("fmt.log"))?;
        let mut fuzz = cargo(&["fmt", "--manifest-path", "e2e/fuzz/Cargo.toml", "--check"]);
        run("cargo fmt", &mut fuzz, &logs.join("fmt-fuzz.log"))
    })?;
    let programs = demo::made(&[CARGO_DENY], progress)?;
    progress.during("Generated files", None, || codegen::check(root, programs.path("crdgen")?))?;
    progress.during("Chart", None, || chart(root, &logs))?;
    deny::deny(root, progress)?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    progress.during("Clippy", None, || run("cargo clippy", &mut clippy, &logs.join("clippy.log")))?;
    progress.say("Tests");
    shown("cargo test", &mut cargo(&["test", "--workspace"]))?;
    progress.say("Tests of members' machines, by OpenSSH's own server");
    let mut tests = cargo(&["test", "--workspace", "--test", "openssh", "--", "--include-ignored"]);
    shown("cargo test --test openssh", &mut tests)?;
    progress.say("Harm: a sample; `cargo xtask faults` does much more");
    for harm in [
        Harm::Operator { sample: Some(DEATHS), seed: 1, point: None },
        Harm::Network { runs: BAD_NETWORKS, seed: 1 },
        Harm::Gateway { kills: KILLS, seed: 1 },
    ] {
        faults::harm_with(&harm, &programs)?;
    }
    end_to_end(&programs, progress)
}

/// The tests that need a cluster with the chart installed, on one of our own. It is taken down after a success; after
/// a failure it stays, for its logs.
fn end_to_end(programs: &Programs, progress: &Progress) -> Result<()> {
    let was_up = Cluster::open(&paths::cluster_state()).is_ok();
    if !was_up {
        progress.say("Tests of the local cluster itself");
        let mut tests = cargo(&["test", "--workspace", "--test", "cluster", "--", "--include-ignored"]);
        shown("cargo test --test cluster", &mut tests)?;
    }
    let cluster = demo::installed(programs, progress)?;
    progress.say("End-to-end tests");
    e2e(&cluster, &["--skip", LAST])?;
    if was_up {
        return Ok(());
    }
    e2e(&cluster, &[LAST])?;
    cluster::down(progress)
}

/// The end-to-end tests that these arguments choose.
fn e2e(cluster: &Cluster, chosen: &[&str]) -> Result<()> {
    let mut tests =
        cargo(&["test", "--workspace", "--test", "e2e", "--", "--include-ignored", "--test-threads=1"]);
    tests.args(chosen).env(KUBECONFIG, &cluster.kubeconfig).env(CLOUD, rented::cloud());
    tests.env("PATH", path_with(plugin::folder())?);
    shown("cargo test --test e2e", &mut tests).map_err(|error| {
        anyhow::Error::from(error).context(format!("the cluster is still up: {}", cluster::way_on(cluster)))
    })
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
        ("external-store", &["--set", EXTERNAL_STORE]),
        ("one-replica", &["--set", "operator.replicas=1", "--set", "serviceMonitor.enabled=true"]),
        (
            "namespaces",
            &["--set", "collectives.namespaces={presidents}", "--set", "networkPolicy.enabled=false"],
        ),
        ("rented-nodes", &["--set", RENTED]),
        ("rented-nodes-by-tunnel", &["--set", RENTED, "--set", TUNNEL]),
    ] {
        let mut template =
            helm(&["template", "cooperator", "-n", "cooperator-system", "--kube-version", KUBE_VERSION]);
        let rendered = output(&format!("helm template ({name})"), template.args(set))?;
        refuse_wide_rights(&rendered).with_context(|| format!("the chart with the values `{name}`"))?;
    }
    for wrong in [
        "operator.replicas=0",
        "rentedNodes.enabled=true",
        "rentedNodes.apiServer=http://cluster.example.org",
        "rentedNodes.tunnel.server=tunnel.example.org",
    ] {
        let mut helm = helm(&["template", "cooperator", "--kube-version", KUBE_VERSION, "--set", wrong]);
        ensure!(output("helm template (wrong)", &mut helm).is_err(), "the chart accepts {wrong}");
    }
    Ok(())
}

/// No wildcard in any rule, and Secrets in none but the role a namespace grants and that of bootstrap tokens.
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
        let namespace = object["metadata"]["namespace"].as_str();
        let may = match namespace {
            None => kind == "ClusterRole" && name == "cooperator-collective",
            Some(namespace) => kind == "Role" && namespace == "kube-system" && name == BOOTSTRAP,
        };
        ensure!(may || !text.contains("secrets"), "{kind} {name} may touch Secrets");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(kind: &str, name: &str, namespace: &str, resource: &str) -> String {
        format!(
            "kind: {kind}\nmetadata: {{name: {name}{namespace}}}\nrules: [{{apiGroups: [''], resources: [{resource}], verbs: [get]}}]\n"
        )
    }

    #[test]
    fn secrets_are_in_the_role_of_a_namespace_and_in_that_of_bootstrap_tokens_alone() {
        let refused =
            |kind, name, namespace| refuse_wide_rights(&role(kind, name, namespace, "secrets")).is_err();
        assert!(!refused("ClusterRole", "cooperator-collective", ""));
        assert!(!refused("Role", BOOTSTRAP, ", namespace: kube-system"));
        assert!(refused("ClusterRole", BOOTSTRAP, ""));
        assert!(refused("Role", BOOTSTRAP, ", namespace: default"));
        assert!(refused("Role", "another", ", namespace: kube-system"));
        assert!(refused("Role", "cooperator-collective", ", namespace: kube-system"));
    }

    #[test]
    fn a_wildcard_is_in_no_rule() {
        let wide = role("Role", BOOTSTRAP, ", namespace: kube-system", "'*'");
        assert!(refuse_wide_rights(&wide).is_err());
        assert!(refuse_wide_rights(&role("ClusterRole", "any", "", "pods")).is_ok());
    }
}
