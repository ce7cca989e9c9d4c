//! Pure: the network around the pods of a Collective. Nothing in or out but for what is named here, and by the
//! Deployments for their servers.

use std::collections::BTreeMap;

use cooperator_api::collective::StorageStatus;
use cooperator_api::names;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::build::{ADMIN_PORT, PORT};
use crate::deployment::SERVER_PORT;
use crate::network::{dns, egress, ingress, policy, towards, web};
use crate::pods::{Part, texts};
use crate::runs::{Program, Site};

/// kube-apiserver: a policy cannot name it, and its Service and its host use different ports.
const API_PORTS: [i32; 2] = [443, 6443];

/// Deny by default; then what gateway and runs need.
pub fn policies(part: &Part, storage: &StorageStatus, site: &Site) -> Vec<NetworkPolicy> {
    let named = |suffix: &str| format!("{}-{suffix}", part.collective);
    let mut common = vec![dns(), towards(&storage.endpoint)];
    common.extend(site.otlp_endpoint.as_deref().map(towards));
    let mut gateway_out = common.clone();
    gateway_out.extend([egress(None, &API_PORTS), egress(Some(pods(part, "server")), &[SERVER_PORT])]);
    let mut run_out = common;
    run_out.extend(site.progress_url.as_deref().map(towards));
    let callers = vec![ingress(None, &[PORT, ADMIN_PORT])];
    let mut policies = vec![
        policy(part, &named("default-deny"), of_collective(part), vec![], vec![]),
        // From anywhere: callers need not be in this cluster.
        policy(part, &named("gateway"), pods(part, "gateway"), callers, gateway_out),
        policy(part, &named("run"), pods(part, "run"), vec![], run_out),
    ];
    // Their sources are on the web: https://, hf://. Training and settling read what these have stored.
    for program in [Program::Import, Program::Ingest] {
        let mut runs = pods(part, "run");
        runs.extend(texts(&[("app.kubernetes.io/component", program.word().to_owned())]));
        policies.push(policy(part, &named(program.word()), runs, vec![], vec![web()]));
    }
    policies
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
