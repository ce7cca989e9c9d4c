//! The way to the cluster: the same files, context and namespace that `kubectl` takes.

use std::fmt::Debug;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

/// Which cluster and namespace.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Kubeconfig file; by default $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in that file; by default its current one
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Namespace; by default that of the context
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
}

/// What to say where there is no Collective.
pub fn no_collective(namespace: &str) -> String {
    format!("no Collective in namespace `{namespace}`; name another with --namespace")
}

/// A client, and the namespace to look at.
#[derive(Clone)]
pub struct Access {
    /// Client with the rights of the user.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Access {
    /// Opens the cluster that the options name.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it names no such context.
    pub async fn connect(options: &Options) -> Result<Self> {
        // A second install is an error that says it is installed: that is what we want.
        drop(rustls::crypto::ring::default_provider().install_default());
        let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
        let config = match (&options.kubeconfig, &options.context) {
            (Some(file), _) => {
                let kubeconfig = Kubeconfig::read_from(file)
                    .with_context(|| format!("cannot read kubeconfig {}", file.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &chosen).await?
            }
            (None, Some(_)) => Config::from_kubeconfig(&chosen).await?,
            (None, None) => Config::infer().await.context("no cluster: set KUBECONFIG or --kubeconfig")?,
        };
        let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config)?, namespace })
    }

    /// The objects of a kind of ours in the namespace, as they are written.
    pub fn dynamic(&self, kind: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(cooperator_api::GROUP, "v1alpha1", kind);
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::from_gvk(&gvk))
    }

    /// The objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Every object of a kind in the namespace.
    ///
    /// # Errors
    /// When the cluster does not have the kind, or the user may not list it.
    pub async fn list<K>(&self) -> Result<Vec<K>>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        match self.api::<K>().list(&ListParams::default()).await {
            Ok(list) => Ok(list.items),
            Err(kube::Error::Api(status)) if status.code == 404 => bail!(
                "this cluster has no {}.{}: install Cooperator with helm first",
                K::plural(&()),
                K::group(&())
            ),
            Err(kube::Error::Api(status)) => bail!("{}", status.message),
            Err(error) => Err(error).context("the API server does not answer"),
        }
    }

    /// The object of this kind and name.
    ///
    /// # Errors
    /// When it is not there, or may not be read.
    pub async fn get<K>(&self, name: &str) -> Result<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned,
    {
        match self.api::<K>().get_opt(name).await {
            Ok(Some(object)) => Ok(object),
            Ok(None) => bail!(
                "no {} `{name}` in namespace `{}`; see what is there: kubectl -n {} get coop",
                K::kind(&()),
                self.namespace,
                self.namespace
            ),
            Err(kube::Error::Api(status)) => bail!("{}", status.message),
            Err(error) => Err(error).context("the API server does not answer"),
        }
    }
}
