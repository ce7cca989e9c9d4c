//! What operator, gateway and runs may do, and what they let slip.

use std::collections::{BTreeMap, BTreeSet};

use cooperator_cli::items;
use cooperator_story::PRESIDENTS;
use cooperator_story::ask::QUESTIONS;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::{ListParams, LogParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cluster::{SYSTEM, as_user, connect, told};

/// Our kinds, by plural.
const KINDS: [&str; 8] = [
    "apikeys",
    "basemodels",
    "collectives",
    "contributions",
    "datasets",
    "deployments",
    "finetunes",
    "settlements",
];

/// Those that own other objects.
const OWNERS: [&str; 6] = ["apikeys", "basemodels", "collectives", "datasets", "deployments", "finetunes"];

async fn all<K>(cluster: &Cluster, namespace: &str) -> Vec<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), namespace);
    api.list(&ListParams::default()).await.unwrap().items
}

/// Every value that nobody may read by the way: of each Secret but helm's own, and what people asked.
async fn secrets(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> =
        QUESTIONS.iter().map(|(question, _)| ((*question).to_owned(), "a prompt".to_owned())).collect();
    for namespace in [PRESIDENTS, SYSTEM] {
        for secret in all::<Secret>(cluster, namespace).await {
            if secret.type_.as_deref() == Some("helm.sh/release.v1") {
                continue;
            }
            for (field, value) in secret.data.clone().unwrap_or_default() {
                // The id of an access key is no secret: it is in every request's signature.
                let text = String::from_utf8(value.0).unwrap_or_default();
                if field != "AWS_ACCESS_KEY_ID" && text.len() >= 12 {
                    found.insert(text, format!("Secret {namespace}/{} {field}", secret.name_any()));
                }
            }
        }
    }
    found
}

/// Everything that is written down for people: logs, events, statuses.
async fn written(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for namespace in [PRESIDENTS, SYSTEM] {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        for pod in all::<Pod>(cluster, namespace).await {
            let name = pod.name_any();
            let log = pods.logs(&name, &LogParams::default()).await.unwrap_or_default();
            texts.insert(format!("log of {namespace}/{name}"), log);
            texts.insert(
                format!("status of Pod {namespace}/{name}"),
                serde_json::to_string(&pod.status).unwrap(),
            );
        }
        for event in all::<Event>(cluster, namespace).await {
            let text = format!("{:?}", (event.reason.clone(), event.message.clone()));
            texts.insert(format!("event {namespace}/{}", event.name_any()), text);
        }
    }
    let access =
        cooperator_cli::access::Access { client: cluster.client.clone(), namespace: PRESIDENTS.into() };
    for item in items::fetch(&access).await.unwrap() {
        texts.insert(format!("status of {}/{}", item.kind, item.name), format!("{item:?}"));
    }
    texts
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn no_secret_and_no_prompt_stands_in_a_log_an_event_or_a_status() {
    told().await;
    let cluster = connect().await;
    let (secrets, written) = (secrets(&cluster).await, written(&cluster).await);
    let logs = written.iter().filter(|(place, text)| place.starts_with("log") && !text.is_empty()).count();
    assert!(
        secrets.len() >= 8 && logs >= 8,
        "{} secrets, {logs} logs: too few to mean anything",
        secrets.len()
    );
    for (secret, what) in &secrets {
        for (place, text) in &written {
            assert!(!text.contains(secret.as_str()), "{what} stands in the {place}");
        }
    }
    eprintln!("{} secrets and prompts looked for in {} texts", secrets.len(), written.len());
}

/// What a ServiceAccount may do in a namespace, `verb group/resource`, but for what everybody may.
async fn rights(account: &str, namespace: &str) -> BTreeSet<String> {
    let cluster = as_user(&format!("system:serviceaccount:{account}")).await;
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.into()) },
        ..SelfSubjectRulesReview::default()
    };
    let reviews: Api<SelfSubjectRulesReview> = Api::all(cluster.client);
    let status = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    let mut found = BTreeSet::new();
    for rule in status.resource_rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten().filter(|name| !name.starts_with("selfsubject")) {
                found.extend(rule.verbs.iter().map(|verb| format!("{verb} {group}/{resource}")));
            }
        }
    }
    found
}

/// `verb group/resource` for each verb and resource.
fn list(group: &str, resources: &[&str], verbs: &[&str]) -> Vec<String> {
    let one = |resource: &&str| {
        verbs.iter().map(move |verb| format!("{verb} {group}/{resource}")).collect::<Vec<_>>()
    };
    resources.iter().flat_map(one).collect()
}

/// What the operator may do in every namespace.
fn everywhere() -> BTreeSet<String> {
    let ours = "cooperator.dev";
    let below = |kinds: &[&str], part: &str, verb: &str| -> Vec<String> {
        kinds.iter().map(|kind| format!("{verb} {ours}/{kind}/{part}")).collect()
    };
    [
        list(ours, &KINDS, &["get", "list", "watch"]),
        below(&KINDS, "status", "patch"),
        list(ours, &["finetunes"], &["patch"]),
        below(&OWNERS, "finalizers", "update"),
        list(ours, &["settlements"], &["create"]),
        list("batch", &["jobs"], &["list", "watch"]),
        list("apps", &["deployments"], &["list", "watch"]),
        list("", &["pods"], &["list", "watch"]),
        list("events.k8s.io", &["events"], &["create", "patch"]),
        to_rent(),
    ]
    .concat()
    .into_iter()
    .collect()
}

/// What it may besides, where machines are rented.
fn to_rent() -> Vec<String> {
    let ours = "cooperator.dev";
    [
        list(ours, &["nodeclaims", "nodepools", "providers"], &["get", "list", "watch", "patch"]),
        list(ours, &["nodeclaims/status", "nodepools/status", "providers/status"], &["patch"]),
        list(ours, &["nodeclaims/finalizers", "nodepools/finalizers"], &["update"]),
        list(ours, &["nodeclaims"], &["create", "delete"]),
        // Virtual nodes of rented containers are made, and where tunnels lead to is told.
        list("", &["nodes"], &["get", "list", "watch", "create", "patch", "delete"]),
        list("", &["nodes/status"], &["patch"]),
        list("", &["namespaces"], &["get"]),
        list("certificates.k8s.io", &["certificatesigningrequests"], &["get", "list", "watch"]),
        list("certificates.k8s.io", &["certificatesigningrequests/approval"], &["patch"]),
        list("certificates.k8s.io", &["signers"], &["approve"]),
    ]
    .concat()
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_operator_may_do_what_it_needs_and_touches_secrets_only_where_it_was_let_in() {
    told().await;
    let operator = format!("{SYSTEM}:cooperator-operator");
    assert_eq!(rights(&operator, "default").await, everywhere());
    let mut home = everywhere();
    let (make, remove) = (["get", "create", "patch"], ["get", "create", "patch", "delete"]);
    for (group, resources, verbs) in [
        ("", &["secrets"][..], &remove[..]),
        ("", &["configmaps", "services", "serviceaccounts"], &make),
        // It stands in for the kubelet of pods on rented containers.
        ("", &["pods"], &["get", "delete"]),
        ("", &["pods/status"], &["patch"]),
        ("batch", &["jobs"], &["get", "create", "delete"]),
        ("apps", &["deployments"], &make),
        ("policy", &["poddisruptionbudgets"], &remove),
        ("networking.k8s.io", &["networkpolicies"], &make),
        ("rbac.authorization.k8s.io", &["rolebindings"], &make),
    ] {
        home.extend(list(group, resources, verbs));
    }
    assert_eq!(rights(&operator, PRESIDENTS).await, home);
    let mut system = everywhere();
    system.extend(list("coordination.k8s.io", &["leases"], &["get", "create", "update"]));
    assert_eq!(rights(&operator, SYSTEM).await, system);
    // Tokens of rented machines: made and taken away, never read.
    let mut tokens = everywhere();
    tokens.extend(list("", &["secrets"], &["create", "delete"]));
    assert_eq!(rights(&operator, "kube-system").await, tokens);
    // That virtual nodes live.
    let mut leases = everywhere();
    leases.extend(list("coordination.k8s.io", &["leases"], &["create", "patch"]));
    assert_eq!(rights(&operator, "kube-node-lease").await, leases);
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_gateway_may_read_its_own_kinds_at_home_and_nothing_elsewhere() {
    told().await;
    let gateway = format!("{PRESIDENTS}:{PRESIDENTS}-gateway");
    let mut home = list("cooperator.dev", &["apikeys", "collectives", "deployments"], &["list", "watch"]);
    home.extend(list("cooperator.dev", &["apikeys", "collectives"], &["get"]));
    home.extend(list("cooperator.dev", &["apikeys/status"], &["patch"]));
    assert_eq!(rights(&gateway, PRESIDENTS).await, home.into_iter().collect());
    for elsewhere in [SYSTEM, "default"] {
        assert_eq!(rights(&gateway, elsewhere).await, BTreeSet::new(), "{elsewhere}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn runs_and_servers_have_no_rights_and_no_token() {
    told().await;
    assert_eq!(rights(&format!("{PRESIDENTS}:default"), PRESIDENTS).await, BTreeSet::new());
    for pod in all::<Pod>(&connect().await, PRESIDENTS).await {
        let spec = pod.spec.clone().unwrap();
        let is_gateway = spec.service_account_name.as_deref() == Some("presidents-gateway");
        let token = spec.volumes.iter().flatten().any(|volume| volume.name.starts_with("kube-api-access"));
        assert!(is_gateway || !token, "{} has a token", pod.name_any());
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_privileged_pod_is_refused_where_a_collective_lives() {
    told().await;
    let pods: Api<Pod> = Api::namespaced(connect().await.client, PRESIDENTS);
    let pod = |security: serde_json::Value, host: bool| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "intruder"},
            "spec": {"hostNetwork": host, "containers": [
                {"name": "intruder", "image": "intruder", "securityContext": security}]},
        }))
        .unwrap()
    };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for (what, pod) in [
        ("privileged", pod(json!({"privileged": true}), false)),
        ("of the host's network", pod(json!({}), true)),
        ("without a security context", pod(json!({}), false)),
    ] {
        let error = pods.create(&dry, &pod).await.expect_err(what).to_string();
        assert!(error.contains("violates PodSecurity \"restricted:latest\""), "{what}: {error}");
    }
}
