//! Pure: rules of NetworkPolicies.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pods::Part;

/// Port of OTLP over HTTP.
pub const OTLP_PORT: i32 = 4318;

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
