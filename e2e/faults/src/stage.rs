//! Where the story is told: a kube-apiserver without nodes, a Garage, and the gates before them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cooperator_cli::access::Access;
use cooperator_cluster::tools::{self, GARAGE};
use cooperator_cluster::{ApiServer, Progress, files};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::discovery::verbs;
use kube::{Api, Client, Config, Discovery, ResourceExt as _};
use serde_json::json;

use crate::call::Server;
use crate::garage::{ADMIN_TOKEN, Garage};
use crate::gate::{self, Gate, Listening};
use crate::network::Network;
use crate::operator::Reach;

/// Namespace of the story.
pub const NAMESPACE: &str = "band";
/// Calls to the API server at once when all is listed or taken away.
const AT_ONCE: usize = 16;

/// Servers and gates.
pub struct Stage {
    /// The API server, with all rights and past the gate.
    pub client: Client,
    /// The gate of all three servers.
    pub gate: Gate,
    /// Where Garage's S3 answers, past the gate.
    pub s3: SocketAddr,
    /// Its kubeconfig, past the gate.
    pub kubeconfig: PathBuf,
    /// Files of this stage.
    pub folder: PathBuf,
    /// What makes the way to the gates bad, if anything does.
    pub network: Option<Network>,
    garage: Garage,
    gates: [Listening; 3],
    kinds: Vec<ApiResource>,
    _api_server: ApiServer,
}

impl Stage {
    /// Starts all of it, with its files in `folder`.
    ///
    /// # Errors
    /// When something does not come up: with the end of its log.
    pub async fn set(folder: &Path) -> Result<Self> {
        tools::ensure(&[GARAGE], &Progress::new())?;
        let path = folder.join("api-server");
        let api_server = tokio::task::spawn_blocking(move || ApiServer::up(&path)).await??;
        let kubeconfig = api_server.kubeconfig.clone();
        let config = Config::from_custom_kubeconfig(
            Kubeconfig::read_from(&kubeconfig)?,
            &KubeConfigOptions::default(),
        )
        .await?;
        let client = Client::try_from(config)?;
        install(&client).await?;
        let kinds = kinds(&client).await?;
        let garage = Garage::start(folder).await?;
        let gate = Gate::default();
        let gates = [
            gate::kubernetes(gate.clone(), client.clone()).await?,
            gate::http(gate.clone(), Server::S3, garage.s3).await?,
            gate::http(gate.clone(), Server::Garage, garage.admin).await?,
        ];
        let (s3, folder) = (garage.s3, folder.to_owned());
        let (network, _api_server) = (None, api_server);
        Ok(Self { client, gate, s3, kubeconfig, folder, network, garage, gates, kinds, _api_server })
    }

    /// Puts a network that can be made bad before the gates.
    ///
    /// # Errors
    /// When its proxy does not come up.
    pub async fn behind_network(mut self) -> Result<Self> {
        let gates = self.gates.each_ref().map(|gate| gate.address);
        self.network = Some(Network::start(&self.folder, gates).await?);
        Ok(self)
    }

    /// The story's namespace, past the gate.
    pub fn access(&self) -> Access {
        Access { client: self.client.clone(), namespace: NAMESPACE.into() }
    }

    /// Where an operator finds each of the servers: the gates, or the network before them.
    pub fn doors(&self) -> [SocketAddr; 3] {
        let gates = self.gates.each_ref().map(|gate| gate.address);
        self.network.as_ref().map_or(gates, |network| network.doors)
    }

    /// How an operator reaches all of it, through the gate, and through the network if there is one.
    ///
    /// # Errors
    /// When its kubeconfig cannot be written.
    pub fn reach(&self) -> Result<Reach> {
        let [kubernetes, s3, admin] = self.doors().map(|address| format!("http://{address}"));
        let kubeconfig = self.folder.join("operator-kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": kubernetes}}],
            "users": [{"name": "operator", "user": {}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "operator"}}],
        });
        files::write(&kubeconfig, text.to_string())?;
        Ok(Reach { kubeconfig, s3, admin, admin_token: ADMIN_TOKEN.into() })
    }

    /// Every object of the namespace, by kind; no events and leases.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn objects(&self) -> Result<Vec<(&ApiResource, DynamicObject)>> {
        let listed = self.kinds.iter().map(|kind| async move {
            let found = self.api(kind).list(&ListParams::default()).await?;
            anyhow::Ok(found.items.into_iter().map(move |object| (kind, object)))
        });
        let all: Vec<_> = futures::stream::iter(listed).buffered(AT_ONCE).try_collect().await?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Takes everything of the last story away: every object of the namespace, every byte of the store.
    ///
    /// # Errors
    /// When the API server refuses, or Garage does not come up again.
    pub async fn clear(&self) -> Result<()> {
        let objects = self.objects().await?.into_iter();
        // Without it nothing can be made in a namespace.
        let kept = |kind: &ApiResource, object: &DynamicObject| {
            kind.kind == "ServiceAccount" && object.name_any() == "default"
        };
        let gone = objects.filter(|(kind, object)| !kept(kind, object)).map(|(kind, object)| async move {
            self.remove(kind, &object).await.with_context(|| format!("{} {}", kind.kind, object.name_any()))
        });
        let (gone, emptied) = futures::join!(
            futures::stream::iter(gone).buffer_unordered(AT_ONCE).try_collect::<()>(),
            self.garage.again()
        );
        gone.and(emptied)
    }

    async fn remove(&self, kind: &ApiResource, object: &DynamicObject) -> kube::Result<()> {
        let (api, name) = (self.api(kind), object.name_any());
        if !object.finalizers().is_empty() {
            let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            api.patch(&name, &PatchParams::default(), &free).await?;
        }
        // No kubelet says that a pod has ended.
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
        match api.delete(&name, &now).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            done => done.map(drop),
        }
    }

    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, kind)
    }
}

/// Definitions, and the namespace with what its controllers would put there.
async fn install(client: &Client) -> Result<()> {
    cooperator_e2e_api::install(client).await?;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
    Api::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &account).await?;
    Ok(())
}

/// Every kind that a namespace has objects of and that can be deleted; no events and leases.
async fn kinds(client: &Client) -> Result<Vec<ApiResource>> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let resources = discovery.groups().flat_map(|group| group.recommended_resources());
    let ours = resources.filter(|(resource, capabilities)| {
        let namespaced = capabilities.scope == kube::discovery::Scope::Namespaced;
        let told = resource.kind != "Event" && resource.kind != "Lease";
        namespaced && told && capabilities.supports_operation(verbs::DELETE)
    });
    Ok(ours.map(|(resource, _)| resource).collect())
}
