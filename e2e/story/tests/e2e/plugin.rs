//! `kubectl coop`, as people call it: by kubectl, from the PATH.

use std::process::{Command, Output};

use cooperator_cluster::tools::KUBERNETES;
use cooperator_story::PRESIDENTS;
use cooperator_story::ask::Gateway;
use serde_json::Value;

use crate::cluster::{connect, told};

/// `kubectl coop` with these arguments, in the story's namespace.
fn coop(arguments: &[&str]) -> Output {
    let kubeconfig = std::env::var_os("COOPERATOR_E2E_KUBECONFIG").unwrap();
    let mut kubectl = Command::new(KUBERNETES.program("kubectl"));
    kubectl.args(["coop", "--namespace", PRESIDENTS]).args(arguments).env("KUBECONFIG", kubeconfig);
    kubectl.output().unwrap()
}

/// What it prints when it succeeds.
fn printed(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = coop(arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn status_shows_the_tree_of_the_collective() {
    told().await;
    let tree = printed(&["status", PRESIDENTS]);
    eprintln!("{tree}");
    for line in [
        "Collective/presidents",
        "├─ BaseModel/smollm2-135m",
        "├─ Contribution/hayes-addresses",
        "│  └─ FineTune/addresses-v1",
        "│     └─ Deployment/presidents",
        "├─ ApiKey/reader",
        "LicenseNotAllowed",
    ] {
        assert!(tree.contains(line), "{line}");
    }
    let nodes: Value = serde_json::from_str(&printed(&["status", "--output", "json"])).unwrap();
    assert_eq!(nodes[0]["ready"], "True");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_statement_is_verified_from_the_usage_log_alone() {
    told().await;
    let statement = printed(&["statement", "--verify"]);
    eprintln!("{statement}");
    assert!(statement.contains("Verified: settled again from the log, it is the same to the byte"));
    assert!(statement.contains("lincoln"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn why_follows_a_refusal_to_its_cause() {
    told().await;
    let why = printed(&["why", "contribution/hayes-addresses"]);
    eprintln!("{why}");
    assert!(why.contains("Contribution/hayes-addresses is not ready (LicenseNotAllowed"), "{why}");
    assert!(printed(&["why", "ft/addresses-v1"]).contains("Nothing is to be done."));
    let refused = coop(&["why", "ft/no-such"]);
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr).trim(),
        "error: no FineTune `no-such` in namespace `presidents`: kubectl -n presidents get coop"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_finished_fine_tune_says_what_came_of_it() {
    told().await;
    let progress = printed(&["progress", "addresses-v1"]);
    assert!(progress.starts_with("done: ") && progress.contains("held-out loss"), "{progress}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_key_made_by_the_plugin_opens_the_model_until_it_is_revoked() {
    told().await;
    let mut gateway = Gateway::open(&connect().await).await.unwrap();
    let name = format!("visitor-{}", std::process::id());
    gateway.key =
        printed(&["key", "create", &name, "--consumer", "a-visitor", "--budget", "1.00"]).trim().to_owned();
    // The gateway watches keys: a new one opens within seconds.
    let mut answer = gateway.ask("Who are you?", false).await;
    for _ in 0..20 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        answer = gateway.ask("Who are you?", false).await;
    }
    assert!(answer.unwrap().output_tokens > 0);
    printed(&["key", "revoke", &name]);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let refused = gateway.ask("And now?", false).await.unwrap_err().to_string();
    assert!(refused.contains("401"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn kubectl_is_offered_commands_and_names() {
    told().await;
    assert!(printed(&["__complete", "st"]).contains("statement\n"));
    assert!(printed(&["__complete", "progress", ""]).lines().any(|name| name == "addresses-v1"));
}
