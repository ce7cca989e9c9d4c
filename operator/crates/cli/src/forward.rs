//! A port of a pod, reached through the API server: what `kubectl port-forward` does.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
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
        let pod = running(client, namespace, labels).await?;
        Self::to_pod(client, &pod, port).await
    }

    /// Leads a free loopback port to a port of a Service's first running pod.
    ///
    /// # Errors
    /// When there is no such Service, it has no such port or selects no pods, or no pod of it runs.
    pub async fn to_service(client: &Client, namespace: &str, name: &str, port: u16) -> Result<Self> {
        let service = Api::<Service>::namespaced(client.clone(), namespace).get(name).await?;
        let nowhere = || format!("Service {namespace}/{name} leads port {port} to no port of a pod");
        let (labels, target) = behind(&service, port).with_context(nowhere)?;
        let pod = running(client, namespace, &labels).await?;
        Self::to_pod(client, &pod, number(&pod, &target).with_context(nowhere)?).await
    }

    async fn to_pod(client: &Client, pod: &Pod, port: u16) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let pod = pod.name_any();
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

/// A running pod with these labels.
async fn running(client: &Client, namespace: &str, labels: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(labels)).await?.items;
    best(found).with_context(|| format!("no running pod in {namespace} has the labels {labels}"))
}

/// The pod to lead to: one that runs and does not end, one that is ready before one that is not.
fn best(pods: Vec<Pod>) -> Option<Pod> {
    let runs = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let lasts = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
    pods.into_iter().filter(|pod| runs(pod) && lasts(pod)).min_by_key(|pod| !is_ready(pod))
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|found| found.type_ == "Ready" && found.status == "True")
}

/// Labels of the pods behind a Service, and the port of theirs, by number or name, that its `port` leads to.
fn behind(service: &Service, port: u16) -> Option<(String, IntOrString)> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let found = spec.ports.iter().flatten().find(|found| found.port == i32::from(port))?;
    Some((labels.join(","), found.target_port.clone().unwrap_or(IntOrString::Int(found.port))))
}

/// The number of a pod's port.
fn number(pod: &Pod, target: &IntOrString) -> Option<u16> {
    let number = match target {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let ports =
                pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|one| one.ports.iter().flatten());
            ports.into_iter().find(|port| port.name.as_deref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok()
}

async fn bridge(pods: &Api<Pod>, pod: &str, port: u16, mut local: TcpStream) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let mut remote = forwarder.take_stream(port).context("the stream of the port asked for")?;
    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(port: Value) -> Service {
        let spec =
            json!({"selector": {"app": "s3", "part": "a"}, "ports": [{"port": 9, "targetPort": 1}, port]});
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_pod_that_ends_is_not_led_to_and_one_that_is_ready_is_preferred() {
        let pod = |name: &str, phase: &str, ready: &str, metadata: Value| {
            let mut pod = json!({"metadata": metadata,
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
            pod["metadata"]["name"] = json!(name);
            serde_json::from_value::<Pod>(pod).unwrap()
        };
        let ending =
            || pod("ending", "Running", "True", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
        let starting = || pod("starting", "Running", "False", json!({}));
        let ready = || pod("ready", "Running", "True", json!({}));
        let pending = || pod("pending", "Pending", "False", json!({}));
        let name = |pods: Vec<Pod>| best(pods).map(|pod| pod.name_any());
        assert_eq!(name(vec![ending(), starting(), ready()]).as_deref(), Some("ready"));
        assert_eq!(name(vec![ending(), pending(), starting()]).as_deref(), Some("starting"));
        assert_eq!(name(vec![ending(), pending()]), None);
    }

    fn leads(port: Value, to: u16) -> Option<u16> {
        let pod = json!({"metadata": {}, "spec": {"containers": [
            {"name": "s3", "ports": [{"name": "s3", "containerPort": 3900}]}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let (labels, target) = behind(&service(port), to)?;
        assert_eq!(labels, "app=s3,part=a");
        number(&pod, &target)
    }

    #[test]
    fn a_services_port_leads_to_the_port_of_its_pods_by_number_or_name() {
        assert_eq!(leads(json!({"port": 80, "targetPort": 8000}), 80), Some(8000));
        assert_eq!(leads(json!({"port": 80, "targetPort": "s3"}), 80), Some(3900));
        assert_eq!(leads(json!({"port": 80}), 80), Some(80));
    }

    #[test]
    fn a_port_that_neither_service_nor_pod_has_leads_nowhere() {
        assert_eq!(leads(json!({"port": 80, "targetPort": "admin"}), 80), None);
        assert_eq!(leads(json!({"port": 81}), 80), None);
    }
}
