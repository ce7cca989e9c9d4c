//! The definitions of our kinds are deleted under a running operator, with everything in use. Run last, and only on a
//! cluster that goes down afterwards.

use std::collections::BTreeMap;

use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_cli::kind::Kind;
use cooperator_contract::layout;
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

use crate::cluster::{SYSTEM, connect, eventually};
use crate::tiny::Tiny;
use crate::training::digest;

/// Marks what the operator made.
const OURS: &str = "app.kubernetes.io/managed-by=cooperator";

/// The operator's pods, and how often each was started again.
async fn operators(cluster: &Cluster) -> BTreeMap<String, i32> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let labels = ListParams::default().labels("app.kubernetes.io/component=operator");
    let pods = pods.list(&labels).await.unwrap().items.into_iter();
    pods.map(|pod| {
        let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
        (pod.name_any(), statuses.iter().map(|container| container.restart_count).sum())
    })
    .collect()
}

fn definitions(cluster: &Cluster) -> Api<CustomResourceDefinition> {
    Api::all(cluster.client.clone())
}

async fn ours(cluster: &Cluster) -> Vec<String> {
    let all = definitions(cluster).list(&ListParams::default()).await.unwrap().items;
    all.iter().map(ResourceExt::name_any).filter(|name| name.ends_with(".cooperator.dev")).collect()
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`, and ends its Collectives"]
async fn without_its_kinds_nothing_runs_on_data_stays_and_with_them_the_same_operator_works_again() {
    let cluster = connect().await;
    let tiny = Tiny::make(&cluster, PRESIDENTS, "washington").await;
    let collective: Collective = tiny.access.get(PRESIDENTS).await.unwrap();
    tiny.apply("FineTune", "endless", tiny.fine_tune(1_000_000, 1)).await;
    tiny.until(Kind::FineTune, "endless", |item| {
        item.progress.as_ref().is_some_and(|progress| progress.phase == "training")
    })
    .await;
    let before = operators(&cluster).await;
    let tune: FineTune = tiny.access.get("addresses-v1").await.unwrap();
    let retained = layout::adapter(&digest(&tune).parse().unwrap(), "");
    let files = tiny.bucket.store.list(&retained).await.unwrap().len();
    assert!(files > 0, "the adapter is there");

    let began = std::time::Instant::now();
    for name in ours(&cluster).await {
        definitions(&cluster).delete(&name, &DeleteParams::background()).await.unwrap();
    }
    eventually("the definitions are gone", async || ours(&cluster).await.is_empty()).await;
    let (pods, jobs): (Api<Pod>, Api<Job>) =
        (Api::all(cluster.client.clone()), Api::all(cluster.client.clone()));
    let labels = ListParams::default().labels(OURS);
    eventually("nothing of ours runs", async || {
        pods.list(&labels).await.unwrap().items.is_empty()
            && jobs.list(&labels).await.unwrap().items.is_empty()
    })
    .await;
    eprintln!(
        "the definitions, every object and every pod: gone after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(tiny.bucket.store.list(&retained).await.unwrap().len(), files, "deletionPolicy is Retain");

    cooperator_e2e_api::install(&cluster.client).await.unwrap();
    let spec = serde_json::to_value(&collective.spec).unwrap();
    tiny.apply("Collective", PRESIDENTS, spec).await;
    tiny.until(Kind::Collective, PRESIDENTS, cooperator_cli::items::Item::is_ready).await;
    assert_eq!(operators(&cluster).await, before, "an operator pod was started again");
}
