//! A port of a pod, reached through the API server: what `kubectl port-forward` does.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A local port that leads to a pod's, until it is dropped.
pub struct Forward {
    address: SocketAddr,
    accept: JoinHandle<()>,
}

impl Forward {
    /// Leads a free loopback port to `port` of the first running pod with these labels.
    ///
    /// # Errors
    /// When no such pod runs.
    pub async fn to(client: &Client, namespace: &str, labels: &str, port: u16) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pod = pods
            .list(&ListParams::default().labels(labels))
            .await?
            .into_iter()
            .find(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"))
            .with_context(|| format!("no running pod in {namespace} has the labels {labels}"))?
            .name_any();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (pods, pod) = (pods.clone(), pod.clone());
                // A connection that breaks is the caller's to notice, as with any network.
                tokio::spawn(async move { bridge(&pods, &pod, port, stream).await });
            }
        });
        Ok(Self { address, accept })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn bridge(pods: &Api<Pod>, pod: &str, port: u16, mut local: TcpStream) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let mut remote = forwarder.take_stream(port).context("the stream of the port asked for")?;
    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
    Ok(())
}
