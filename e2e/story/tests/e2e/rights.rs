//! Every right that the chart grants is used: by what kube-apiserver noted of all that was told on the cluster.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_cluster::control_plane::AUDIT_LOG;
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::cluster::{SYSTEM, apply, connect, eventually, kubeconfig, object, told};
use crate::senators::{SENATORS, collective, founded};

/// The operator's ServiceAccount.
const OPERATOR: &str = "cooperator-system:cooperator-operator";

/// What the operator holds and a story need not use, and why it is held.
const KEPT: [(&str, &str); 2] = [
    ("patch events.k8s.io/events", "an event that comes again is counted up"),
    ("update cooperator.dev/*/finalizers", "where the API server enforces who may block an owner's deletion"),
];

/// `verb group/resource` of every rule.
fn granted(rules: Option<Vec<PolicyRule>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rule in rules.unwrap_or_default() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                found.extend(rule.verbs.iter().map(|verb| format!("{verb} {group}/{resource}")));
            }
        }
    }
    found
}

/// What the accounts of whom `is_one` speaks have asked and been let do.
fn used(is_one: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let log = kubeconfig().parent().unwrap().join("log").join(AUDIT_LOG);
    let mut found = BTreeSet::new();
    for line in BufReader::new(File::open(log).unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let user = event["user"]["username"].as_str().unwrap_or_default();
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        if !is_one(user.trim_start_matches("system:serviceaccount:")) || [401, 403].contains(&code) {
            continue;
        }
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (verb, group, resource) =
            (text("/verb"), text("/objectRef/apiGroup"), text("/objectRef/resource"));
        let resource = match text("/objectRef/subresource") {
            "" => format!("{group}/{resource}"),
            part => format!("{group}/{resource}/{part}"),
        };
        found.insert(format!("{verb} {resource}"));
        // Server-side apply of what is not there yet asks for both.
        if verb == "patch" && code == 201 {
            found.insert(format!("create {resource}"));
        }
    }
    found
}

/// What the story itself does not come to: a second gateway that goes again, and a training that is given up.
async fn more(cluster: &Cluster) {
    for replicas in [2, 1] {
        apply(cluster, collective("short-lived", replicas)).await;
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(cluster.client.clone(), SENATORS);
        eventually("a disruption budget while there are two gateways", async || {
            budgets.get_opt("short-lived-gateway").await.unwrap().is_some() == (replicas == 2)
        })
        .await;
    }
    let collectives: Api<Collective> = Api::namespaced(cluster.client.clone(), SENATORS);
    collectives.delete("short-lived", &DeleteParams::default()).await.unwrap();

    apply(cluster, object("FineTune", "given-up", json!({
        "baseModelRef": {"name": "smollm2-135m"}, "datasetRef": {"name": "addresses"}, "deletionPolicy": "Delete",
        "lora": {"rank": 8, "alpha": 16}, "training": {"maxSteps": 40, "batchSize": 2, "sequenceLength": 256},
    })))
    .await;
    let tunes: Api<FineTune> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    eventually("an attempt of the training", async || {
        let tune = tunes.get("given-up").await.unwrap();
        tune.status.is_some_and(|status| !status.attempts.is_empty())
    })
    .await;
    tunes.delete("given-up", &DeleteParams::default()).await.unwrap();
    eventually("the training is gone", async || tunes.get_opt("given-up").await.unwrap().is_none()).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn every_right_that_the_chart_grants_is_used() {
    told().await;
    founded().await;
    let cluster = connect().await;
    more(&cluster).await;
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let role = async |name: &str| granted(roles.get(name).await.unwrap().rules);
    let of_release: Api<Role> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let mut of_operator = role("cooperator-operator").await;
    of_operator.extend(role("cooperator-collective").await);
    of_operator.extend(granted(of_release.get("cooperator-operator").await.unwrap().rules));
    let of_gateway = role("cooperator-gateway").await;

    let is_kept = |right: &String| {
        let (verb, resource) = right.split_once(' ').unwrap();
        KEPT.iter().any(|(kept, _)| {
            *kept == right || (verb == "update" && resource.ends_with("/finalizers") && kept.contains('*'))
        })
    };
    for (who, granted, used) in [
        ("operator", of_operator, used(|user| user == OPERATOR)),
        ("gateway", of_gateway, used(|user| user.ends_with("-gateway"))),
    ] {
        let (kept, unused): (Vec<&String>, Vec<_>) =
            granted.difference(&used).partition(|right| is_kept(right));
        eprintln!("{who}: {} rights; unused, and kept for a reason: {kept:?}", granted.len());
        assert!(unused.is_empty(), "the {who} holds and does not use {unused:#?}; take it out of rbac.yaml");
    }
}
