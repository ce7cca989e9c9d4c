//! The cluster under test, and the story told on it once for all tests.

use std::path::PathBuf;

use cooperator_cluster::{Progress, paths};
use cooperator_story::cluster::Cluster;
use cooperator_story::{PRESIDENTS, Told, tell};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static TOLD: OnceCell<Told> = OnceCell::const_new();

fn kubeconfig() -> PathBuf {
    std::env::var_os("COOPERATOR_E2E_KUBECONFIG")
        .expect("COOPERATOR_E2E_KUBECONFIG names no cluster: run `cargo xtask test`")
        .into()
}

/// A client for the cluster under test.
pub async fn connect() -> Cluster {
    Cluster::connect(&kubeconfig()).await.unwrap()
}

/// The same cluster as another user sees it.
pub async fn as_user(user: &str) -> Cluster {
    let kubeconfig = Kubeconfig::read_from(kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info.impersonate = Some(user.into());
    Cluster { client: Client::try_from(config).unwrap() }
}

/// What happened in the story of the presidents; the first test that asks has it told.
pub async fn told() -> &'static Told {
    TOLD.get_or_init(|| async {
        let cluster = connect().await;
        let examples = paths::workspace().join("examples");
        tell(&cluster, &examples, &paths::cache(), &Progress::new()).await.unwrap()
    })
    .await
}

/// An object of ours in the story's namespace.
pub fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": PRESIDENTS}, "spec": spec,
    })
}
