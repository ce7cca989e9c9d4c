//! Trainings on hosts that let a container and no machine: one pod on a virtual node each, and nothing of the cluster there.

use std::time::Duration;

use cooperator_api::fine_tune::FineTune;
use cooperator_cli::kind::Kind;
use cooperator_cluster::Progress;
use cooperator_story::cluster::Cluster;
use cooperator_story::rented::{self, Cloud, Cost};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::LogParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cluster::{connect, eventually, told};
use crate::rented::{cloud, pool, running};
use crate::tiny::Tiny;
use crate::training::{digest, has_checkpoint, train};

/// Steps of a training that takes long enough to be looked at.
const STEPS: u64 = 3000;
/// The step after whose checkpoint a container is taken back.
const INTERRUPTED_AT: u64 = 500;
/// Seconds that its vendor says so before.
const NOTICE: u64 = 60;

/// A pool of containers at Vast.ai, and what is trained there.
async fn hosts() -> (Cluster, Cloud, Tiny) {
    told().await;
    let (cluster, cloud) = (connect().await, Cloud::at(&cloud()));
    let tiny = pool(&cluster, &cloud, "hosts", &["vast"], "container").await;
    (cluster, cloud, tiny)
}

async fn begin(tiny: &Tiny, name: &str, steps: u64, seed: u64) {
    let mut spec = tiny.fine_tune(steps, seed);
    spec["compute"]["nodePoolRef"] = json!({"name": "hosts"});
    tiny.apply("FineTune", name, spec).await;
}

/// What each container cost, once that is final and nothing of them is left; each is what the vendor billed.
async fn closed(cluster: &Cluster, cloud: &Cloud, tiny: &Tiny, name: &str) -> FineTune {
    let tune =
        rented::accounted(cluster, tiny.access.get(name).await.unwrap(), &Progress::new()).await.unwrap();
    for Cost { machine, counted, billed, .. } in rented::costs(cluster, cloud, &tune).await.unwrap() {
        eprintln!("{name}: {} {} {} s, {billed}", machine.provider, machine.instance, machine.seconds);
        assert_eq!(counted, billed, "{} {}", machine.provider, machine.instance);
    }
    assert!(cloud.machines(true).await.unwrap().is_empty(), "nothing costs any more");
    tune
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_container_on_somebodys_host_trains_what_the_cluster_does_shows_its_log_and_leaves_only_its_bill() {
    let (cluster, cloud, tiny) = hosts().await;
    let here = train(&tiny, "hosted-here", STEPS, 31, &[]).await;
    begin(&tiny, "hosted", STEPS, 31).await;
    let pod = running(&tiny, "hosted").await;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap();
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let version = nodes.get(&node).await.unwrap().status.unwrap().node_info.unwrap().kubelet_version;
    assert!(version.contains("cooperator"), "no kubelet runs there: {version}");
    let pods: Api<Pod> = tiny.access.api();
    eventually("its log is read through the API server", async || {
        let log = pods.logs(&pod.name_any(), &LogParams::default()).await.unwrap_or_default();
        !log.is_empty()
    })
    .await;
    tiny.reason(Kind::FineTune, "hosted", "Trained").await;
    let tune = closed(&cluster, &cloud, &tiny, "hosted").await;
    assert_eq!(tune.status.as_ref().unwrap().attempts.len(), 1);
    assert_eq!(digest(&tune), digest(&here));
    eventually("the virtual node is gone", async || nodes.get_opt(&node).await.unwrap().is_none()).await;
    for name in ["hosted", "hosted-here"] {
        tiny.delete(Kind::FineTune, name).await;
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_container_that_its_host_takes_back_saves_and_its_training_goes_on_in_the_next() {
    let (cluster, cloud, tiny) = hosts().await;
    begin(&tiny, "moved", STEPS, 32).await;
    let uid = tiny.access.get::<FineTune>("moved").await.unwrap().uid().unwrap();
    while !has_checkpoint(&tiny, &uid, 1, INTERRUPTED_AT).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let [machine] = cloud.machines(true).await.unwrap().try_into().unwrap();
    cloud.take_back(&machine, NOTICE).await.unwrap();
    tiny.reason(Kind::FineTune, "moved", "Trained").await;
    let tune = closed(&cluster, &cloud, &tiny, "moved").await;
    let attempts = tune.status.clone().unwrap().attempts;
    let reasons: Vec<&str> = attempts.iter().map(|one| one.reason.as_deref().unwrap_or("?")).collect();
    // The run says so itself before its host does.
    assert_eq!(reasons, ["Interrupted", "Succeeded"]);
    let whole = train(&tiny, "moved-here", STEPS, 32, &[]).await;
    assert_eq!(digest(&tune), digest(&whole));
    for name in ["moved", "moved-here"] {
        tiny.delete(Kind::FineTune, name).await;
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_that_is_deleted_ends_its_container_and_its_pod_goes_once_that_is_so() {
    let (cluster, cloud, tiny) = hosts().await;
    begin(&tiny, "dropped", 100 * STEPS, 33).await;
    let pod = running(&tiny, "dropped").await;
    let seconds = tiny.delete(Kind::FineTune, "dropped").await.as_secs();
    eprintln!("gone after {seconds} s");
    assert!(cloud.machines(true).await.unwrap().is_empty(), "it was told to stop, and is gone");
    let (pods, nodes): (Api<Pod>, Api<Node>) = (tiny.access.api(), Api::all(cluster.client.clone()));
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap();
    eventually("neither pod nor node is left", async || {
        let (pod, node) =
            tokio::join!(pods.get_opt(pod.metadata.name.as_deref().unwrap()), nodes.get_opt(&node));
        pod.unwrap().is_none() && node.unwrap().is_none()
    })
    .await;
}
