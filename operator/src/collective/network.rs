//! Pure: the network around the pods of a Collective. Nothing in or out but for what is named here, and by the
//! Deployments for their servers.

use std::collections::BTreeMap;

use cooperator_api::collective::StorageStatus;
use cooperator_api::names;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::build::{ADMIN_PORT, PORT};
use crate::deployment::SERVER_PORT;
use crate::domain::located;
use crate::network::{OTLP_PORT, dns, egress, ingress, policy};
use crate::pods::{Part, texts};

/// Port of the operator's progress endpoint.
const PROGRESS_PORT: i32 = 8080;
/// kube-apiserver: a policy cannot name it, and its Service and its host use different ports.
const API_PORTS: [i32; 2] = [443, 6443];

/// Deny by default; then what gateway and runs need.
pub fn policies(part: &Part, storage: &StorageStatus) -> Vec<NetworkPolicy> {
    let common = [located(storage).port(), OTLP_PORT];
    let outside = |ports: &[i32]| vec![dns(), egress(None, &[&common, ports].concat())];
    let mut gateway_out = outside(&API_PORTS);
    gateway_out.push(egress(Some(pods(part, "server")), &[SERVER_PORT]));
    let named = |suffix: &str| format!("{}-{suffix}", part.collective);
    let callers = vec![ingress(None, &[PORT, ADMIN_PORT])];
    vec![
        policy(part, &named("default-deny"), of_collective(part), vec![], vec![]),
        // From anywhere: callers need not be in this cluster.
        policy(part, &named("gateway"), pods(part, "gateway"), callers, gateway_out),
        // Sources are on the web: https://, hf://.
        policy(part, &named("run"), pods(part, "run"), vec![], outside(&[PROGRESS_PORT, 443])),
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
