//! Pure: the network around the pods of a Collective. Nothing in or out but for what is named here, and by the
//! Deployments for their servers.

use std::collections::BTreeMap;

use cooperator_api::collective::StorageStatus;
use cooperator_api::names;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::build::{ADMIN_PORT, PORT};
use crate::domain::located;
use crate::pods::{Part, texts};

/// Port of the server pods.
const SERVER_PORT: i32 = 8000;
/// Port of the operator's progress endpoint.
const PROGRESS_PORT: i32 = 8080;
/// Port of OTLP over HTTP.
const OTLP_PORT: i32 = 4318;
/// kube-apiserver: a policy cannot name it, and its Service and its host use different ports.
const API_PORTS: [i32; 2] = [443, 6443];

/// Deny by default; then what gateway and runs need.
pub fn policies(part: &Part, storage: &StorageStatus) -> Vec<NetworkPolicy> {
    let common = [located(storage).port(), OTLP_PORT];
    let outside = |ports: &[i32]| vec![dns(), egress(None, &[&common, ports].concat())];
    let servers =
        NetworkPolicyPeer { pod_selector: Some(selector(&pods(part, "server"))), ..Default::default() };
    let mut gateway_out = outside(&API_PORTS);
    gateway_out.push(egress(Some(servers), &[SERVER_PORT]));
    vec![
        policy(part, "default-deny", &of_collective(part), vec![], vec![]),
        policy(part, "gateway", &pods(part, "gateway"), vec![ingress(&[PORT, ADMIN_PORT])], gateway_out),
        // Sources are on the web: https://, hf://.
        policy(part, "run", &pods(part, "run"), vec![], outside(&[PROGRESS_PORT, 443])),
    ]
}

fn of_collective(part: &Part) -> BTreeMap<String, String> {
    texts(&[
        (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
        (names::LABEL_COLLECTIVE, part.collective.clone()),
    ])
}

fn pods(part: &Part, component: &str) -> BTreeMap<String, String> {
    let mut labels = of_collective(part);
    labels.extend(texts(&[("app.kubernetes.io/name", format!("cooperator-{component}"))]));
    labels
}

fn policy(
    part: &Part,
    suffix: &str,
    pods: &BTreeMap<String, String>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: part.metadata(&format!("{}-{suffix}", part.collective)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(pods)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(ingress).filter(|rules| !rules.is_empty()),
            egress: Some(egress).filter(|rules| !rules.is_empty()),
        }),
    }
}

fn selector(labels: &BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() }
}

fn dns() -> NetworkPolicyEgressRule {
    let port = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.into()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicyEgressRule { ports: Some(vec![port("UDP"), port("TCP")]), to: None }
}

fn ports(numbers: &[i32]) -> Vec<NetworkPolicyPort> {
    let tcp = |number: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*number)),
        protocol: Some("TCP".into()),
        ..NetworkPolicyPort::default()
    };
    numbers.iter().map(tcp).collect()
}

fn egress(to: Option<NetworkPolicyPeer>, numbers: &[i32]) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { ports: Some(ports(numbers)), to: to.map(|peer| vec![peer]) }
}

/// From anywhere: callers need not be in this cluster.
fn ingress(numbers: &[i32]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { ports: Some(ports(numbers)), from: None }
}
