use std::sync::Arc;

use cooperator_api::collective::{Collective, Storage};
use cooperator_api::common::LocalRef;
use cooperator_store::Credentials;
use cooperator_store::testing::{Fault, Rule};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use super::reconcile::reconcile;
use crate::context::{Context, DefaultStore, Parts};
use crate::testing::{Cluster, HOME};

async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    let location = cluster.storage.location(HOME);
    cluster.edit::<Collective>("collectives", HOME, |collective| {
        collective.status = None;
        collective.spec.storage = Some(Storage {
            bucket: location.bucket,
            prefix: "works/".into(),
            endpoint: location.endpoint,
            region: location.region,
            secret_ref: LocalRef { name: "presidents-storage".into() },
        });
    });
    cluster
}

async fn settle(cluster: &Cluster) {
    settle_with(cluster, None).await;
}

async fn settle_with(cluster: &Cluster, default_store: Option<DefaultStore>) {
    let context = Arc::new(Context {
        pipeline: cluster.pipeline.clone(),
        rent: None,
        default_store,
        service_account: "cooperator-system/cooperator-operator".into(),
    });
    for _ in 0..5 {
        let before = cluster.writes().len();
        reconcile(Arc::new(object(cluster)), context.clone()).await.unwrap();
        if cluster.writes().len() == before {
            return;
        }
    }
    panic!("never silent: {:?}", cluster.writes());
}

fn object(cluster: &Cluster) -> Collective {
    cluster.read("collectives", HOME)
}

fn reason(cluster: &Cluster, type_: &str) -> (String, String) {
    let status = object(cluster).status.unwrap();
    let found = status.conditions.iter().find(|found| found.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.into(), reason.into())
}

#[tokio::test]
async fn it_is_ready_when_storage_and_gateway_answer_and_then_silent() {
    let cluster = cluster().await;
    settle(&cluster).await;
    assert_eq!(reason(&cluster, "StorageReady"), is("True", "Answers"));
    assert_eq!(reason(&cluster, "Ready"), is("False", "Starting"));
    let mut gateway: Value = cluster.find("apps/v1", "deployments", "presidents-gateway").unwrap();
    gateway["status"] = json!({ "availableReplicas": 1 });
    cluster.put("apps/v1", "deployments", gateway);
    settle(&cluster).await;
    assert_eq!(reason(&cluster, "Ready"), is("True", "Ready"));
    let status = object(&cluster).status.unwrap();
    assert_eq!(status.gateway_url.as_deref(), Some("http://presidents-gateway.presidents.svc"));
    assert_eq!((status.members, status.storage.unwrap().prefix.as_str()), (Some(2), "works/"));
    assert!(cluster.storage.keys(HOME).is_empty(), "the check leaves nothing behind");
}

#[tokio::test]
async fn the_gateway_knows_its_storage_and_keeps_to_pod_security_restricted() {
    let cluster = cluster().await;
    settle(&cluster).await;
    let gateway: Deployment = cluster.find("apps/v1", "deployments", "presidents-gateway").unwrap();
    let pod = gateway.spec.unwrap().template.spec.unwrap();
    let container = &pod.containers[0];
    let value = |name: &str| {
        let found = container.env.iter().flatten().find(|variable| variable.name == name);
        found.and_then(|variable| variable.value.clone()).unwrap_or_default()
    };
    assert_eq!(
        (value("COOPERATOR_COLLECTIVE").as_str(), value("COOPERATOR_S3_PREFIX").as_str()),
        (HOME, "works/")
    );
    let security = container.security_context.clone().unwrap();
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(pod.security_context.unwrap().run_as_non_root, Some(true));
    assert_eq!(pod.service_account_name.as_deref(), Some("presidents-gateway"));
}

#[tokio::test]
async fn the_network_is_closed_but_for_what_is_named() {
    let cluster = cluster().await;
    settle(&cluster).await;
    let names = cluster.names("networking.k8s.io/v1", "networkpolicies");
    assert_eq!(
        names,
        [
            "presidents-default-deny",
            "presidents-gateway",
            "presidents-import",
            "presidents-ingest",
            "presidents-run"
        ]
    );
    let deny: NetworkPolicy =
        cluster.find("networking.k8s.io/v1", "networkpolicies", "presidents-default-deny").unwrap();
    let spec = deny.spec.unwrap();
    assert!(spec.ingress.is_none() && spec.egress.is_none() && spec.policy_types.unwrap().len() == 2);
}

#[tokio::test]
async fn without_a_store_it_says_so_and_makes_nothing() {
    let cluster = cluster().await;
    cluster.edit::<Collective>("collectives", HOME, |collective| collective.spec.storage = None);
    settle(&cluster).await;
    assert_eq!(reason(&cluster, "Ready"), is("False", "NoDefaultStore"));
    assert_eq!(reason(&cluster, "GatewayReady"), is("False", "StorageNotReady"));
    assert_eq!(cluster.writes(), ["STATUS collectives/presidents"]);
}

#[tokio::test]
async fn in_a_shared_bucket_it_has_a_prefix_and_a_secret_of_its_own() {
    let cluster = cluster().await;
    cluster.edit::<Collective>("collectives", HOME, |collective| collective.spec.storage = None);
    let location = cluster.storage.location(HOME);
    let parts = Parts::Prefixes {
        bucket: location.bucket,
        prefix: "coops/".into(),
        key: Credentials::new("id".to_owned(), "secret".to_owned()),
    };
    settle_with(&cluster, Some(DefaultStore { endpoint: location.endpoint, region: location.region, parts }))
        .await;
    assert_eq!(reason(&cluster, "StorageReady"), is("True", "Answers"));
    let storage = object(&cluster).status.unwrap().storage.unwrap();
    assert_eq!(
        (storage.prefix.as_str(), storage.secret_name.as_str()),
        ("coops/presidents/presidents/", "presidents-storage")
    );
}

#[tokio::test]
async fn a_missing_secret_and_a_refused_key_are_told_apart_and_the_gateway_stays() {
    let cluster = cluster().await;
    settle(&cluster).await;
    cluster.storage.fault(Rule::new(Fault::Status(403)));
    settle(&cluster).await;
    assert_eq!(reason(&cluster, "StorageReady"), is("False", "StorageForbidden"));
    cluster.remove("v1", "secrets", "presidents-storage");
    settle(&cluster).await;
    assert_eq!(reason(&cluster, "StorageReady"), is("False", "SecretNotFound"));
    assert!(cluster.find::<Deployment>("apps/v1", "deployments", "presidents-gateway").is_some());
}
