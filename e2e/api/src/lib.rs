//! A real kube-apiserver with our definitions, for tests: what it refuses, it refuses with the operator down.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cooperator_cluster::ApiServer;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Request};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client, Config, Resource as _};
use serde::Serialize;
use serde_json::Value;

/// Longest wait for the server to serve a definition.
const PATIENCE: Duration = Duration::from_secs(30);
/// Namespace of every object here.
pub const NAMESPACE: &str = "presidents";

/// The server and a client with all rights.
pub struct Server {
    /// Client.
    pub client: Client,
    running: Arc<Running>,
}

/// What ends when the last client of it is dropped.
struct Running {
    server: ApiServer,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts etcd and kube-apiserver on free ports, installs the definitions and makes [`NAMESPACE`].
    ///
    /// # Errors
    /// When the server does not come up or refuses a definition.
    pub async fn start() -> Result<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_owned();
        let server = tokio::task::spawn_blocking(move || ApiServer::up(&path)).await??;
        let client = Client::try_from(config(&server).await?)?;
        install(&client).await?;
        let namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": NAMESPACE}}))?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(Self { client, running: Arc::new(Running { server, _folder: folder }) })
    }

    /// The same server as another user sees it: of these groups, with all rights besides.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn as_user(&self, user: &str, groups: &[&str]) -> Result<Self> {
        let mut config = config(&self.running.server).await?;
        config.auth_info.impersonate = Some(user.to_owned());
        let groups = groups.iter().chain(&["system:masters"]).map(|group| (*group).to_owned());
        config.auth_info.impersonate_groups = Some(groups.collect());
        Ok(Self { client: Client::try_from(config)?, running: self.running.clone() })
    }

    /// The API of a kind of ours in [`NAMESPACE`].
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource(kind))
    }

    /// What the server says to this object: the stored form (nothing is stored), or the refusal.
    ///
    /// # Errors
    /// Only when the server cannot be asked.
    pub async fn try_create(&self, object: &Value) -> Result<Result<Value, String>> {
        let kind = object["kind"].as_str().context("an object has a kind")?;
        self.try_create_text(kind, object.to_string()).await
    }

    /// The same of JSON that no [`Value`] can be: with a field twice, or a number out of range. As strict as kubectl:
    /// an unknown field is refused.
    ///
    /// # Errors
    /// Only when the server cannot be asked.
    pub async fn try_create_text(&self, kind: &str, json: String) -> Result<Result<Value, String>> {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let path = DynamicObject::url_path(&resource(kind), Some(NAMESPACE));
        let mut request = Request::new(path).create(&dry, json.into_bytes())?;
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
        answer(self.client.request::<Value>(request).await)
    }

    /// What the server says to this change of a stored object.
    ///
    /// # Errors
    /// Only when the server cannot be asked.
    pub async fn try_update(&self, kind: &str, name: &str, merge: &Value) -> Result<Result<Value, String>> {
        answer(self.api(kind).patch(name, &strict(), &Patch::Merge(merge)).await)
    }

    /// What the server says to this change of a stored object's status.
    ///
    /// # Errors
    /// Only when the server cannot be asked.
    pub async fn try_status(&self, kind: &str, name: &str, merge: &Value) -> Result<Result<Value, String>> {
        answer(self.api(kind).patch_status(name, &strict(), &Patch::Merge(merge)).await)
    }
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(cooperator_api::GROUP, "v1alpha1", kind))
}

fn strict() -> PatchParams {
    let field_validation = Some(ValidationDirective::Strict);
    PatchParams { dry_run: true, field_validation, ..PatchParams::default() }
}

async fn config(server: &ApiServer) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(&server.kubeconfig)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn answer<T: Serialize>(result: kube::Result<T>) -> Result<Result<Value, String>> {
    match result {
        Ok(object) => Ok(Ok(serde_json::to_value(object)?)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(other) => Err(other.into()),
    }
}

/// Installs our definitions and waits until they are served.
///
/// # Errors
/// When the server refuses one, or does not serve it in time.
pub async fn install(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in cooperator_api::crds() {
        let name = crd.metadata.name.clone().context("a definition has a name")?;
        api.create(&PostParams::default(), &crd).await.with_context(|| format!("definition {name}"))?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established)
            .await
            .with_context(|| format!("{name} is not served"))??;
    }
    Ok(())
}

/// Every object of ours in the examples, in the order people apply them.
///
/// # Errors
/// When a file is no YAML.
pub fn examples() -> Result<Vec<Value>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let presidents =
        ["collective", "basemodel", "contributions", "dataset", "finetune", "deployment", "apikey"];
    let rented = ["providers", "nodepool", "finetune"];
    let files = presidents.map(|name| format!("presidents/{name}.yaml")).into_iter();
    let mut objects = Vec::new();
    for file in files.chain(rented.map(|name| format!("rented/{name}.yaml"))) {
        let text = std::fs::read_to_string(folder.join(file))?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            objects.push(serde::Deserialize::deserialize(document)?);
        }
    }
    Ok(objects)
}
