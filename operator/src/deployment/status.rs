//! Pure: what status says.

use cooperator_api::collective::Collective;
use cooperator_api::common::{Money, condition};
use cooperator_api::deployment::{Deployment, DeploymentStatus, UsageStatus};
use k8s_openapi::api::apps::v1;

use super::build::upstream;
use super::validate::ValidDeployment;
use crate::domain::{Finding, Hold};
use crate::runs::Waiting;

/// Where its pods stand.
#[derive(Clone, Debug)]
pub enum Serving {
    /// It cannot be served, or not as its spec is now.
    Held(Hold),
    /// Its objects are as wanted; this is what the API server says of the pods.
    Applied {
        /// What they are made from.
        valid: Box<ValidDeployment>,
        /// The pods.
        pods: Box<v1::Deployment>,
        /// Why one of them does not run.
        waiting: Option<Waiting>,
    },
}

/// Whether every pod that answers is of the newest revision and at least one does.
pub fn rolled_out(pods: &v1::Deployment, replicas: i32) -> bool {
    let status = pods.status.clone().unwrap_or_default();
    let current = status.observed_generation == pods.metadata.generation;
    let count = |number: Option<i32>| number.unwrap_or(0);
    current
        && count(status.available_replicas) >= replicas.max(1)
        && count(status.updated_replicas) == count(status.replicas)
}

/// The labels by which its pods are found: `key=value,...`.
pub fn selector(pods: &v1::Deployment) -> String {
    let labels = pods.spec.iter().flat_map(|spec| spec.selector.match_labels.iter().flatten());
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(",")
}

/// What is found, `Ready` first.
pub fn findings(serving: &Serving, collective: Option<&Collective>) -> Vec<Finding> {
    let server = match serving {
        Serving::Held(hold) => Finding::held(condition::SERVER_READY, hold),
        Serving::Applied { valid, .. } if valid.replicas == 0 => {
            Finding::no(condition::SERVER_READY, "ScaledToZero", "spec.replicas is 0: set it to serve")
        }
        Serving::Applied { valid, pods, .. } if rolled_out(pods, valid.replicas) => Finding::yes(
            condition::SERVER_READY,
            "Available",
            "every server pod has verified its weights and answers",
        ),
        // What one pod says of itself tells more than that all of them are not there yet.
        Serving::Applied { waiting: Some(waiting), .. } => {
            Finding::no(condition::SERVER_READY, waiting.reason, waiting.message.clone())
        }
        Serving::Applied { pods, .. } => not_yet(pods),
    };
    let gateway = collective
        .and_then(|collective| collective.status.as_ref())
        .and_then(|status| status.conditions.iter().find(|found| found.type_ == condition::GATEWAY_READY));
    let route = match (&server.status, gateway) {
        (false, _) => Finding::no(condition::ROUTE_READY, server.reason.clone(), server.message.clone()),
        (true, Some(gateway)) if gateway.status == "True" => {
            Finding::yes(condition::ROUTE_READY, "Routed", "the Collective's gateway routes to it")
        }
        (true, _) => Finding::no(
            condition::ROUTE_READY,
            "GatewayNotReady",
            "the Collective's gateway is not ready: see its conditions",
        ),
    };
    let ready = match [&server, &route].into_iter().find(|finding| !finding.status) {
        Some(not) => Finding::no(condition::READY, not.reason.clone(), not.message.clone()),
        None => Finding::yes(condition::READY, "Serving", "it answers through the gateway"),
    };
    vec![ready, server, route]
}

fn not_yet(pods: &v1::Deployment) -> Finding {
    let conditions = pods.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let stuck = conditions.into_iter().find(|found| {
        (found.type_ == "Progressing" && found.status == "False") || found.type_ == "ReplicaFailure"
    });
    match stuck {
        Some(found) => Finding::no(
            condition::SERVER_READY,
            found.reason.clone().unwrap_or_else(|| "ReplicaFailure".into()),
            found.message.clone().unwrap_or_default(),
        ),
        None => Finding::no(
            condition::SERVER_READY,
            "Starting",
            "server pods are fetching and verifying their weights",
        ),
    }
}

/// Everything of status but the conditions. What is served stays said until the next adapter is served by all pods.
pub fn status(
    deployment: &Deployment,
    serving: &Serving,
    collective: Option<&Collective>,
    earned: Option<(UsageStatus, Money)>,
) -> DeploymentStatus {
    let before = deployment.status.clone().unwrap_or_default();
    let (usage, revenue) = earned.unzip();
    let kept = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        conditions: Vec::new(),
        usage: usage.or_else(|| before.usage.clone()),
        revenue: revenue.or_else(|| before.revenue.clone()),
        ..before
    };
    let Serving::Applied { valid, pods, .. } = serving else { return kept };
    let gateway = collective.and_then(|collective| collective.status.as_ref()?.gateway_url.clone());
    let adapter_digest = match rolled_out(pods, valid.replicas) {
        true => Some(valid.adapter.to_string()),
        false => kept.adapter_digest.clone(),
    };
    DeploymentStatus {
        collective: Some(valid.collective.clone()),
        model_name: Some(valid.model_name.clone()),
        url: gateway.map(|url| format!("{url}/v1")),
        upstream: Some(upstream(&valid.name, &valid.namespace)),
        adapter_digest,
        replicas: pods.status.as_ref().and_then(|status| status.replicas).or(Some(0)),
        selector: Some(selector(pods)),
        ..kept
    }
}
