//! The cluster under test, and the story told on it once for all tests.

use std::path::Path;

use cooperator_cluster::{Progress, paths};
use cooperator_story::cluster::Cluster;
use cooperator_story::{PRESIDENTS, Told, tell};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static TOLD: OnceCell<Told> = OnceCell::const_new();

/// A client for the cluster under test.
pub async fn connect() -> Cluster {
    let kubeconfig = std::env::var_os("COOPERATOR_E2E_KUBECONFIG")
        .expect("COOPERATOR_E2E_KUBECONFIG names no cluster: run `cargo xtask test`");
    Cluster::connect(Path::new(&kubeconfig)).await.unwrap()
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
