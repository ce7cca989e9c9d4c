//! The cluster the story is told on.

use std::path::Path;

use anyhow::{Context, Result, bail};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Api, Client, Config, Discovery, ResourceExt};
use serde::Deserialize;

/// Who applies the story's manifests.
const FIELD_MANAGER: &str = "cooperator-story";

/// A client, and nothing else.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the rights of the kubeconfig's user.
    pub client: Client,
}

impl Cluster {
    /// A cluster by its kubeconfig file.
    ///
    /// # Errors
    /// When the file cannot be read or names no cluster.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        // A second install is an error that says it is installed: that is what we want.
        drop(rustls::crypto::ring::default_provider().install_default());
        let kubeconfig = Kubeconfig::read_from(kubeconfig)
            .with_context(|| format!("cannot read kubeconfig {}", kubeconfig.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)? })
    }

    /// Applies every object of a manifest file, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// What the API server refuses, with the file and the object.
    pub async fn apply(&self, manifest: &Path) -> Result<()> {
        self.apply_with(manifest, |_| ()).await
    }

    /// The same, with each object changed before it is applied.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn apply_with(&self, manifest: &Path, change: impl Fn(&mut DynamicObject)) -> Result<()> {
        let text = std::fs::read_to_string(manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        let discovery = Discovery::new(self.client.clone()).run().await?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = serde_yaml::Value::deserialize(document)?;
            let mut object: DynamicObject = serde_yaml::from_value(value)?;
            change(&mut object);
            let types = object.types.clone().context("an object has apiVersion and kind")?;
            let gvk = kube::core::GroupVersionKind::try_from(types)?;
            let name = object.name_any();
            let (resource, ApiCapabilities { scope, .. }) = discovery
                .resolve_gvk(&gvk)
                .with_context(|| format!("{}: the cluster has no kind {}", manifest.display(), gvk.kind))?;
            let api: Api<DynamicObject> = match (&scope, object.namespace()) {
                (Scope::Namespaced, Some(namespace)) => {
                    Api::namespaced_with(self.client.clone(), &namespace, &resource)
                }
                _ => Api::all_with(self.client.clone(), &resource),
            };
            let applied =
                api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await;
            match applied {
                Ok(_) => {}
                // Its message says it all; the rest of the answer repeats it.
                Err(kube::Error::Api(status)) => bail!("{}: {}", manifest.display(), status.message),
                Err(error) => {
                    return Err(error).context(format!("{}: {} {name}", manifest.display(), gvk.kind));
                }
            }
        }
        Ok(())
    }
}
