//! The story of `examples/rented`, with machines that really run beside the cluster.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use cooperator_api::provider::Provider;
use cooperator_cli::kind::Kind;
use cooperator_cluster::{Machine, Progress, paths};
use cooperator_core::money::Amount;
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use cooperator_story::rented::{self, Cloud, Cost};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::cluster::{SYSTEM, connect, eventually, made_for, told};
use crate::tiny::Tiny;

/// Rentals that are tried, unless the environment says how many.
const RENTALS: usize = 3;
/// How many of them at a time: the host has two cores.
const AT_A_TIME: usize = 10;

/// An amount as a status has it.
pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Where the local cloud answers.
pub fn cloud() -> String {
    std::env::var("COOPERATOR_E2E_CLOUD")
        .expect("COOPERATOR_E2E_CLOUD names no cloud: run `cargo xtask test`")
}

/// The folder of the manifests that people are shown.
pub fn examples() -> PathBuf {
    paths::workspace().join("examples")
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_whose_rented_machine_is_taken_back_goes_on_at_another_vendor_to_the_same_adapter() {
    told().await;
    let (cluster, cloud) = (connect().await, Cloud::at(&cloud()));
    let told = rented::tell(&cluster, &examples(), &cloud, &Progress::new()).await.unwrap();
    let status = told.fine_tune.status.unwrap();
    let attempts: Vec<&str> =
        status.attempts.iter().map(|attempt| attempt.reason.as_deref().unwrap_or("?")).collect();
    assert_eq!(attempts, ["Preempted", "Succeeded"]);
    let providers: Vec<&str> = told.costs.iter().map(|cost| cost.machine.provider.as_str()).collect();
    assert_eq!(providers, ["lambda", "vast"], "the cheapest for the whole training, then the next");
    assert_eq!(told.digests[0], told.digests[1], "byte for byte the adapter of the uninterrupted training");
    assert!(cloud.machines(true).await.unwrap().is_empty(), "nothing costs any more");
    let spent = Amount::sum(told.costs.iter().map(|cost| cost.counted)).unwrap();
    assert_eq!(amount(&status.cost.unwrap().amount), spent);
    let recovered = amount(&told.statement.recovered);
    assert!(recovered > Amount::ZERO, "{:?}", told.statement);
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_machine_that_nothing_can_dial_is_reached_by_the_connection_it_opened_also_after_the_operator_died()
{
    told().await;
    let (cluster, cloud) = (connect().await, Cloud::at(&cloud()));
    let tiny = pool(&cluster, &cloud, "hidden", &["lambda"], "machine").await;
    let mut spec = tiny.fine_tune(100_000, 41);
    spec["compute"]["nodePoolRef"] = json!({"name": "hidden"});
    tiny.apply("FineTune", "hidden", spec).await;
    let pod = running(&tiny, "hidden").await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap();
    let is_hidden = |address: &Ipv4Addr, node: &Node| {
        let port = node.status.as_ref()?.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref()?.port;
        let at = SocketAddr::from((*address, u16::try_from(port).ok()?));
        Some(TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_err())
    };
    let [machine] = Machine::all(&paths::cluster_state()).try_into().unwrap();
    assert_eq!(is_hidden(&machine.address, &nodes.get(&name).await.unwrap()), Some(true));
    let operators: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let pods: Api<Pod> = tiny.access.api();
    for _ in 0..2 {
        eventually("its log is read, and a program run in it", async || {
            let log = pods.logs(&pod.name_any(), &LogParams::default()).await.unwrap_or_default();
            !log.is_empty()
                && version(&pods, &pod.name_any())
                    .await
                    .is_some_and(|said| said.starts_with("cooperator-trainer"))
        })
        .await;
        // Whoever leads is where the node's address leads to.
        let leader = address(&nodes.get(&name).await.unwrap());
        let all = operators
            .list(&ListParams::default().labels("app.kubernetes.io/component=operator"))
            .await
            .unwrap();
        let is_leader = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone()) == leader;
        let leader = all.items.iter().find(is_leader).expect("the node's address is the operator's");
        operators.delete(&leader.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    tiny.delete(Kind::FineTune, "hidden").await;
    eventually("its machine is gone", async || cloud.machines(true).await.unwrap().is_empty()).await;
}

fn address(node: &Node) -> Option<String> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    Some(addresses.iter().find(|address| address.type_ == "InternalIP")?.address.clone())
}

/// What a pod's trainer says of itself; none: nothing could be run in the pod.
async fn version(pods: &Api<Pod>, name: &str) -> Option<String> {
    let command = ["/usr/bin/cooperator-trainer", "--version"];
    let mut process = pods.exec(name, command, &AttachParams::default().stderr(false)).await.ok()?;
    let mut said = String::new();
    process.stdout()?.read_to_string(&mut said).await.ok()?;
    Some(said)
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn trainings_each_on_a_machine_of_its_own_leave_none_behind_and_cost_what_is_billed() {
    told().await;
    let (cluster, cloud) = (connect().await, Cloud::at(&cloud()));
    let vendors = ["lambda", "hetzner"];
    let tiny = pool(&cluster, &cloud, "many", &vendors, "machine").await;
    let providers: Api<Provider> = tiny.access.api();
    let wide = Patch::Merge(json!({"spec": {"limits": {"machines": AT_A_TIME}}}));
    for vendor in vendors {
        providers.patch(vendor, &PatchParams::default(), &wide).await.unwrap();
    }
    let rentals = std::env::var("COOPERATOR_E2E_RENTALS").map_or(RENTALS, |count| count.parse().unwrap());
    let before = cloud.machines(false).await.unwrap().len();
    let costs: Vec<Cost> = stream::iter(1..=rentals)
        .map(|number| rental(&cluster, &cloud, &tiny, number))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let rented = cloud.machines(false).await.unwrap().len() - before;
    let sum = |of: fn(&Cost) -> Amount| Amount::sum(costs.iter().map(of)).unwrap();
    let (counted, billed) = (sum(|cost| cost.counted), sum(|cost| cost.billed));
    let above = costs.iter().filter(|cost| cost.counted > cost.billed).count();
    eprintln!(
        "{rentals} rentals: {rented} machines; ledger {counted}, bill {billed}; {above} a unit above it"
    );
    assert_eq!(rented, rentals, "one machine each");
    assert!(cloud.machines(true).await.unwrap().is_empty());
}

/// What is trained, and a pool of the presidents' that rents one shape of host from these vendors.
pub async fn pool(cluster: &Cluster, cloud: &Cloud, name: &str, vendors: &[&str], shape: &str) -> Tiny {
    let vendors: Vec<Value> = vendors.iter().map(|vendor| json!({"name": vendor})).collect();
    rented::prepare(cluster, &examples(), cloud, &Progress::new()).await.unwrap();
    let tiny = Tiny::make(cluster, PRESIDENTS, "washington").await;
    tiny.reason(Kind::Dataset, "tiny", "Built").await;
    tiny.apply(
        "NodePool",
        name,
        json!({
            "collectiveRef": {"name": PRESIDENTS}, "providerRefs": vendors,
            "template": {"spec": {"requirements": [
                {"key": "cooperator.dev/shape", "operator": "In", "values": [shape]},
            ]}},
            "limits": {"machines": AT_A_TIME}, "diskGi": 20,
            // Many at once share this host's cores: how fast they are says nothing.
            "preflight": {
                "minGflops": 0, "minDiskMibPerSecond": 0, "minDownloadMbitPerSecond": 0, "minUploadMbitPerSecond": 0,
            },
        }),
    )
    .await;
    tiny
}

/// The newest pod of a FineTune, once it runs.
pub async fn running(tiny: &Tiny, name: &str) -> Pod {
    let pods: Api<Pod> = tiny.access.api();
    let chosen = ListParams::default().labels(&made_for(Kind::FineTune, name));
    let mut found = None;
    eventually("its pod runs", async || {
        let all = pods.list(&chosen).await.unwrap().items;
        let phase = |pod: &Pod| pod.status.clone().and_then(|status| status.phase);
        found = all.into_iter().find(|pod| phase(pod).as_deref() == Some("Running"));
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// One training on a machine that is rented for it; returns what that cost.
async fn rental(cluster: &Cluster, cloud: &Cloud, tiny: &Tiny, number: usize) -> Cost {
    let name = format!("rental-{number}");
    let mut spec = tiny.fine_tune(50, 7);
    spec["compute"]["nodePoolRef"] = json!({"name": "many"});
    tiny.apply("FineTune", &name, spec).await;
    tiny.reason(Kind::FineTune, &name, "Trained").await;
    let tune = tiny.access.get(&name).await.unwrap();
    let tune = rented::accounted(cluster, tune, &Progress::new()).await.unwrap();
    let costs = rented::costs(cluster, cloud, &tune).await.unwrap();
    tiny.delete(Kind::FineTune, &name).await;
    let [cost] = costs.try_into().unwrap();
    eprintln!("{name}: {} {}, billed {}", cost.machine.provider, cost.counted, cost.billed);
    cost
}
