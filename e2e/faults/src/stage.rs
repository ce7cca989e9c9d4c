//! Where the story is told: a kube-apiserver without nodes, a Garage, and the gates before them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cooperator_cli::access::Access;
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::tools::{self, GARAGE};
use cooperator_cluster::{ApiServer, Progress, files, ports};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::verbs;
use kube::{Api, Client, Config, Discovery, ResourceExt as _};
use serde_json::json;

use crate::call::Server;
use crate::gate::{self, Gate, Listening};
use crate::operator::Reach;

/// Namespace of the story.
pub const NAMESPACE: &str = "band";
/// Longest wait for something to come up.
const PATIENCE: Duration = Duration::from_secs(30);
const ADMIN_TOKEN: &str = "a-token-of-this-test-alone";
/// Hex, as Garage wants it.
const RPC_SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

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
    garage: Garage,
    listening: [Listening; 3],
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
        let garage = Garage::start(folder).await?;
        let gate = Gate::default();
        let listening = [
            gate::kubernetes(gate.clone(), client.clone()).await?,
            gate::http(gate.clone(), Server::S3, garage.s3).await?,
            gate::http(gate.clone(), Server::Garage, garage.admin).await?,
        ];
        let s3 = garage.s3;
        let folder = folder.to_owned();
        Ok(Self { client, gate, s3, kubeconfig, folder, garage, listening, _api_server: api_server })
    }

    /// The story's namespace, past the gate.
    pub fn access(&self) -> Access {
        Access { client: self.client.clone(), namespace: NAMESPACE.into() }
    }

    /// How an operator reaches all of it, through the gate.
    ///
    /// # Errors
    /// When its kubeconfig cannot be written.
    pub fn reach(&self) -> Result<Reach> {
        let [kubernetes, s3, admin] = &self.listening;
        let kubeconfig = self.folder.join("operator-kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": kubernetes.url()}}],
            "users": [{"name": "operator", "user": {}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "operator"}}],
        });
        files::write(&kubeconfig, text.to_string())?;
        Ok(Reach { kubeconfig, s3: s3.url(), admin: admin.url(), admin_token: ADMIN_TOKEN.into() })
    }

    /// Takes everything of the last story away: every object of the namespace, every byte of the store.
    ///
    /// # Errors
    /// When the API server refuses, or Garage does not come up again.
    pub async fn clear(&mut self) -> Result<()> {
        clear(&self.client).await?;
        self.garage.again().await
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

async fn clear(client: &Client) -> Result<()> {
    for (kind, api) in everything(client).await? {
        for object in api.list(&ListParams::default()).await? {
            if kind == "ServiceAccount" && object.name_any() == "default" {
                continue;
            }
            let name = object.name_any();
            if !object.finalizers().is_empty() {
                let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                api.patch(&name, &PatchParams::default(), &free).await?;
            }
            match api.delete(&name, &DeleteParams::background()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error).with_context(|| format!("{kind} {name}")),
            }
        }
    }
    Ok(())
}

/// Every kind that the namespace has objects of, and can be deleted.
///
/// # Errors
/// When the API server does not answer.
pub async fn everything(client: &Client) -> Result<Vec<(String, Api<DynamicObject>)>> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut found = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let namespaced = capabilities.scope == kube::discovery::Scope::Namespaced;
            let ours = namespaced && capabilities.supports_operation(verbs::DELETE);
            if ours && resource.kind != "Event" && resource.kind != "Lease" {
                let api = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
                found.push((resource.kind.clone(), api));
            }
        }
    }
    Ok(found)
}

/// A store that can be emptied.
struct Garage {
    folder: PathBuf,
    processes: Processes,
    s3: SocketAddr,
    admin: SocketAddr,
}

impl Garage {
    async fn start(folder: &Path) -> Result<Self> {
        let folder = folder.join("garage");
        let [s3, admin, rpc] = ports::free()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        files::create_dir(&folder)?;
        let data = folder.join("data");
        let config = format!(
            "metadata_dir = {meta:?}\ndata_dir = {data:?}\ndb_engine = \"lmdb\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{RPC_SECRET}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"{s3}\"\n\
             [admin]\napi_bind_addr = \"{admin}\"\nadmin_token = \"{ADMIN_TOKEN}\"\n",
            meta = data.join("meta"),
        );
        files::write(&folder.join("garage.toml"), config)?;
        let garage = Self { processes: Processes::new(&folder, Life::Tied), folder, s3, admin };
        garage.up().await?;
        Ok(garage)
    }

    /// An empty one on the same ports.
    async fn again(&self) -> Result<()> {
        self.processes.stop_all(&[])?;
        files::remove(&self.folder.join("data"))?;
        self.up().await
    }

    async fn up(&self) -> Result<()> {
        files::create_dir(&self.folder.join("data"))?;
        let mut server = std::process::Command::new(GARAGE.program("garage"));
        server.arg("-c").arg(self.folder.join("garage.toml")).args(["server", "--single-node"]);
        self.processes.start("garage", server.env("RUST_LOG", "garage=warn"))?;
        for _ in 0..PATIENCE.as_millis() / 100 {
            if healthy(self.admin).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!(
            "garage is not ready after {} s; its log: {}",
            PATIENCE.as_secs(),
            self.processes.log("garage").display()
        )
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        drop(self.processes.stop_all(&[]));
    }
}

/// Whether the store has its layout and can be written.
async fn healthy(admin: SocketAddr) -> bool {
    use hyper_util::client::legacy::Client as HttpClient;
    let client = HttpClient::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let Ok(uri) = format!("http://{admin}/health").parse() else { return false };
    let answer: Result<http::Response<_>, _> =
        (client as HttpClient<_, http_body_util::Empty<bytes::Bytes>>).get(uri).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}
