//! The cluster under test, and the story told on it once for all tests.

use std::path::PathBuf;
use std::time::Duration;

use cooperator_api::names;
use cooperator_cli::access::Access;
use cooperator_cli::kind::Kind;
use cooperator_cluster::{Progress, paths};
use cooperator_story::cluster::Cluster;
use cooperator_story::{PRESIDENTS, Told, tell};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DynamicObject;
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static TOLD: OnceCell<Told> = OnceCell::const_new();

/// Where operator and Garage run.
pub const SYSTEM: &str = "cooperator-system";

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The kubeconfig of an administrator.
pub fn kubeconfig() -> PathBuf {
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
    object_in(PRESIDENTS, kind, name, spec)
}

/// An object of ours in a namespace.
pub fn object_in(namespace: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

/// Applies an object of ours, as `kubectl apply --server-side` does.
pub async fn apply(cluster: &Cluster, object: Value) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let access = Access { client: cluster.client.clone(), namespace: object.namespace().unwrap() };
    let api = access.dynamic(&object.types.as_ref().unwrap().kind);
    let params = PatchParams::apply("a-test").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.unwrap();
}

/// Makes a namespace of a collective that lets the operator in, as README says, or finds it made.
pub async fn welcome(cluster: &Cluster, name: &str) {
    let apply_as = PatchParams::apply("a-test").force();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.patch(name, &apply_as, &Patch::Apply(&namespace)).await.unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "cooperator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cooperator-collective"},
        "subjects": [{"kind": "ServiceAccount", "name": "cooperator-operator", "namespace": SYSTEM}],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), name);
    bindings.patch("cooperator", &apply_as, &Patch::Apply(&binding)).await.unwrap();
}

/// The labels of what was made for an object.
pub fn made_for(kind: Kind, name: &str) -> String {
    let kind = kind.name().to_lowercase();
    format!("{}={kind},{}={name}", names::LABEL_KIND, names::LABEL_NAME)
}

/// As a node that burns: the pods with these labels are gone without a word.
pub async fn burn(pods: &Api<Pod>, labels: &str) {
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete_collection(&now, &ListParams::default().labels(labels)).await.unwrap();
}
