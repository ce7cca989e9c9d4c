//! Pods as the rules see them: by address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A pod with an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The ports of its containers that have names: name, protocol, number.
    pub ports: Vec<(String, Protocol, u16)>,
}

/// What ports belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As Kubernetes writes it; TCP where it writes nothing.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

/// What the plugin says of a pod that is about to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's uid.
    pub uid: String,
    /// The address it was given.
    pub address: Ipv4Addr,
}

/// Who has which address. A claim is newer than what a status says: the kubelet writes that when the pod runs.
pub fn endpoints<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    claims: &BTreeMap<Ipv4Addr, Claim>,
) -> BTreeMap<Ipv4Addr, Endpoint> {
    let pods: BTreeMap<String, &Pod> =
        pods.filter(|pod| has_address(pod)).map(|pod| (pod.uid().unwrap_or_default(), pod)).collect();
    let mut found = BTreeMap::new();
    for pod in pods.values() {
        found.extend(addresses(pod).map(|address| (address, endpoint(pod))));
    }
    for (address, claim) in claims {
        if let Some(pod) = pods.get(&claim.uid) {
            found.insert(*address, endpoint(pod));
        }
    }
    found
}

/// A pod that has ended has given its address back; one of the node's network never had one.
fn has_address(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let of_node = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    !of_node && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn addresses(pod: &Pod) -> impl Iterator<Item = Ipv4Addr> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten();
    all.filter_map(|address| address.ip.parse().ok())
}

fn endpoint(pod: &Pod) -> Endpoint {
    let spec = pod.spec.as_ref();
    let containers = spec.into_iter().flat_map(|spec| {
        let first: &[Container] = spec.init_containers.as_deref().unwrap_or_default();
        first.iter().chain(&spec.containers)
    });
    let ports = containers.flat_map(|container| container.ports.iter().flatten()).filter_map(|port| {
        let number = u16::try_from(port.container_port).ok()?;
        Some((port.name.clone()?, Protocol::parse(port.protocol.as_deref())?, number))
    });
    Endpoint {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        labels: pod.labels().clone(),
        ports: ports.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, phase: &str, address: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}")},
            "spec": {"containers": [{"name": "c", "ports": [
                {"name": "http", "containerPort": 8080}, {"containerPort": 9090}]}]},
            "status": {"phase": phase, "podIPs": [{"ip": address}, {"ip": "fd00::5"}]},
        }))
        .unwrap()
    }

    fn owners(pods: &[Pod], claims: &[(&str, &str)]) -> Vec<String> {
        let claim = |(address, uid): &(&str, &str)| {
            let address: Ipv4Addr = address.parse().unwrap();
            (address, Claim { namespace: "n".into(), uid: (*uid).into(), address })
        };
        let found = endpoints(pods.iter(), &claims.iter().map(claim).collect());
        found.iter().map(|(address, endpoint)| format!("{address} {}", endpoint.name)).collect()
    }

    #[test]
    fn a_pod_has_the_address_that_its_status_says_and_the_named_ports_of_its_containers() {
        let pods = [pod("a", "Running", "10.244.0.5")];
        assert_eq!(owners(&pods, &[]), ["10.244.0.5 a"]);
        let found = endpoints(pods.iter(), &BTreeMap::new());
        assert_eq!(found.values().next().unwrap().ports, [("http".to_owned(), Protocol::Tcp, 8080)]);
    }

    #[test]
    fn the_address_of_a_pod_that_has_ended_is_the_next_ones() {
        let pods = [pod("a", "Running", "10.244.0.5"), pod("b", "Succeeded", "10.244.0.5")];
        assert_eq!(owners(&pods, &[]), ["10.244.0.5 a"]);
    }

    #[test]
    fn a_claim_is_newer_than_a_status_and_one_of_a_pod_that_is_gone_says_nothing() {
        let pods = [pod("a", "Running", "10.244.0.5"), pod("b", "Pending", "")];
        assert_eq!(owners(&pods, &[("10.244.0.5", "uid-b")]), ["10.244.0.5 b"]);
        assert_eq!(owners(&pods, &[("10.244.0.6", "uid-b")]), ["10.244.0.5 a", "10.244.0.6 b"]);
        assert_eq!(owners(&pods, &[("10.244.0.5", "uid-gone")]), ["10.244.0.5 a"]);
    }

    #[test]
    fn a_pod_of_the_nodes_network_has_no_address_of_its_own() {
        let mut node = pod("a", "Running", "192.168.77.1");
        node.spec.as_mut().unwrap().host_network = Some(true);
        assert_eq!(owners(&[node], &[]), [""; 0]);
    }
}
