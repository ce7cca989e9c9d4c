//! Pure: rules of NetworkPolicies.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use url::{Host, Url};

use crate::pods::{Part, texts};

/// The label by which a namespace is selected by name; every namespace has it.
const NAMESPACE: &str = "kubernetes.io/metadata.name";
/// Addresses that are nobody's on the web: private, shared, loopback, link-local, of one cloud's agent, of measurements,
/// and from 224.0.0.0 on no machine's.
const NOT_THE_WEB: [&str; 10] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];
/// Global unicast addresses of IPv6.
const WEB_OF_IPV6: &str = "2000::/3";

/// A policy for the pods with these labels: what is not named does not pass, either way.
pub fn policy(
    part: &Part,
    name: &str,
    pods: BTreeMap<String, String>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: part.metadata(name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(pods)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(ingress).filter(|rules| !rules.is_empty()),
            egress: Some(egress).filter(|rules| !rules.is_empty()),
        }),
    }
}

/// From pods with these labels, or from anywhere, to TCP ports.
pub fn ingress(from: Option<BTreeMap<String, String>>, numbers: &[i32]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { ports: Some(ports(numbers)), from: from.map(|labels| vec![peer(labels)]) }
}

/// To TCP ports of pods with these labels, or of anything.
pub fn egress(to: Option<BTreeMap<String, String>>, numbers: &[i32]) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { ports: Some(ports(numbers)), to: to.map(|labels| vec![peer(labels)]) }
}

/// To name servers.
pub fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { ports: Some(vec![port(53, "UDP"), port(53, "TCP")]), to: None }
}

/// To what a URL names: the pods of a namespace for `<service>.<namespace>.svc`, else whatever has the port, since a policy
/// knows no names. A policy sees the port of the pod: a Service of the cluster must have the same.
pub fn towards(url: &str) -> NetworkPolicyEgressRule {
    let url = Url::parse(url).ok();
    let port = url.as_ref().and_then(Url::port_or_known_default).map_or(443, i32::from);
    let peer = url.as_ref().and_then(namespace_of).map(|namespace| NetworkPolicyPeer {
        namespace_selector: Some(selector(texts(&[(NAMESPACE, namespace)]))),
        ..NetworkPolicyPeer::default()
    });
    NetworkPolicyEgressRule { ports: Some(ports(&[port])), to: peer.map(|peer| vec![peer]) }
}

/// To the web, over TLS: to no address of a private network, so of no pod, node or cloud.
pub fn web() -> NetworkPolicyEgressRule {
    let block = |cidr: &str, except: Option<Vec<String>>| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except }),
        ..NetworkPolicyPeer::default()
    };
    let holes = NOT_THE_WEB.map(str::to_owned).to_vec();
    NetworkPolicyEgressRule {
        ports: Some(ports(&[443])),
        to: Some(vec![block("0.0.0.0/0", Some(holes)), block(WEB_OF_IPV6, None)]),
    }
}

/// The namespace of a Service's address.
fn namespace_of(url: &Url) -> Option<String> {
    let Some(Host::Domain(name)) = url.host() else { return None };
    let name = name.trim_end_matches('.').trim_end_matches(".cluster.local");
    let (_, namespace) = name.strip_suffix(".svc")?.split_once('.')?;
    Some(namespace.to_owned())
}

fn ports(numbers: &[i32]) -> Vec<NetworkPolicyPort> {
    numbers.iter().map(|number| port(*number, "TCP")).collect()
}

fn port(number: i32, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.into()),
        ..NetworkPolicyPort::default()
    }
}

fn peer(labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(selector(labels)), ..NetworkPolicyPeer::default() }
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Namespace and port of what a URL names.
    fn of(url: &str) -> (Option<String>, IntOrString) {
        let NetworkPolicyEgressRule { ports, to } = towards(url);
        let label = |peer: &NetworkPolicyPeer| {
            peer.namespace_selector.as_ref()?.match_labels.as_ref()?.get(NAMESPACE).cloned()
        };
        (to.and_then(|peers| label(&peers[0])), ports.unwrap()[0].port.clone().unwrap())
    }

    #[test]
    fn a_service_is_reached_in_its_namespace_and_any_other_name_by_its_port() {
        let system = || Some("cooperator-system".to_owned());
        for (url, namespace, port) in [
            ("http://garage.cooperator-system.svc:3900", system(), 3900),
            ("http://garage.cooperator-system.svc.cluster.local:3900/", system(), 3900),
            ("http://operator.cooperator-system.svc/v1", system(), 80),
            ("https://s3.example.org", None, 443),
            ("http://192.168.1.7:9000", None, 9000),
            ("http://svc:4318", None, 4318),
            ("no url", None, 443),
        ] {
            assert_eq!(of(url), (namespace, IntOrString::Int(port)), "{url}");
        }
    }

    #[test]
    fn the_web_is_no_private_address() {
        let peers = web().to.unwrap();
        let blocks: Vec<&IPBlock> = peers.iter().filter_map(|peer| peer.ip_block.as_ref()).collect();
        assert_eq!(blocks[0].cidr, "0.0.0.0/0");
        assert!(blocks[0].except.as_ref().unwrap().contains(&"169.254.0.0/16".to_owned()));
        assert_eq!((blocks[1].cidr.as_str(), &blocks[1].except), ("2000::/3", &None));
    }
}
