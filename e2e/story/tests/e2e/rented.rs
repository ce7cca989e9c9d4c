//! The story of `examples/rented`, with machines that really run beside the cluster.

use std::path::PathBuf;

use cooperator_api::fine_tune::FineTune;
use cooperator_cli::kind::Kind;
use cooperator_cluster::{Progress, paths};
use cooperator_core::money::Amount;
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use cooperator_story::rented::{self, Cloud};
use futures::{StreamExt as _, stream};
use serde_json::json;

use crate::cluster::{connect, told};
use crate::tiny::Tiny;

/// Rentals that are tried, unless the environment says how many.
const RENTALS: usize = 3;
/// How many of them at a time: the host has two cores.
const AT_A_TIME: usize = 3;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Where the local cloud answers.
fn cloud() -> String {
    std::env::var("COOPERATOR_E2E_CLOUD")
        .expect("COOPERATOR_E2E_CLOUD names no cloud: run `cargo xtask test`")
}

fn examples() -> PathBuf {
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
    let providers: Vec<&str> = told.costs.iter().map(|(machine, _)| machine.provider.as_str()).collect();
    assert_eq!(providers, ["lambda", "hetzner"], "the cheapest, then the next");
    assert_eq!(told.digests[0], told.digests[1], "byte for byte the adapter of the uninterrupted training");
    assert!(cloud.machines(true).await.unwrap().is_empty(), "nothing costs any more");
    for (machine, billed) in &told.costs {
        assert_eq!(amount(&machine.cost), *billed, "{} {}", machine.provider, machine.instance);
    }
    let spent = Amount::sum(told.costs.iter().map(|(_, billed)| *billed)).unwrap();
    assert_eq!(amount(&status.cost.unwrap().amount), spent);
    let recovered = amount(&told.statement.recovered);
    assert!(recovered > Amount::ZERO, "{:?}", told.statement);
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn trainings_each_on_a_machine_of_its_own_leave_none_behind_and_cost_what_is_billed() {
    told().await;
    let (cluster, cloud) = (connect().await, Cloud::at(&cloud()));
    rented::prepare(&cluster, &examples(), &cloud, &Progress::new()).await.unwrap();
    let tiny = Tiny::make(&cluster, PRESIDENTS, "washington").await;
    tiny.reason(Kind::Dataset, "tiny", "Built").await;
    tiny.apply(
        "NodePool",
        "many",
        json!({
            "collectiveRef": {"name": PRESIDENTS}, "providerRefs": [{"name": "hetzner"}],
            "template": {"spec": {"requirements": [
                {"key": "cooperator.dev/shape", "operator": "In", "values": ["machine"]},
            ]}},
            "limits": {"machines": AT_A_TIME}, "diskGi": 20,
        }),
    )
    .await;
    let rentals = std::env::var("COOPERATOR_E2E_RENTALS").map_or(RENTALS, |count| count.parse().unwrap());
    let before = cloud.machines(false).await.unwrap().len();
    let costs: Vec<Amount> = stream::iter(1..=rentals)
        .map(|number| rental(&cluster, &cloud, &tiny, number))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let rented = cloud.machines(false).await.unwrap().len() - before;
    let billed = Amount::sum(costs).unwrap();
    eprintln!("{rentals} rentals: {rented} machines, 0 left, ledger = bill = {billed}");
    assert_eq!(rented, rentals, "one machine each");
    assert!(cloud.machines(true).await.unwrap().is_empty());
}

/// One training on a machine that is rented for it; returns what that cost.
async fn rental(cluster: &Cluster, cloud: &Cloud, tiny: &Tiny, number: usize) -> Amount {
    let name = format!("rental-{number}");
    let mut spec = tiny.fine_tune(50, 7);
    spec["compute"]["nodePoolRef"] = json!({"name": "many"});
    tiny.apply("FineTune", &name, spec).await;
    tiny.reason(Kind::FineTune, &name, "Trained").await;
    let closed = |tune: &FineTune| {
        let status = tune.status.clone().unwrap_or_default();
        !status.machines.is_empty() && status.machines.iter().all(|machine| machine.is_final)
    };
    let mut tune: FineTune = tiny.access.get(&name).await.unwrap();
    while !closed(&tune) {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        tune = tiny.access.get(&name).await.unwrap();
    }
    let costs = rented::costs(cluster, cloud, &tune).await.unwrap();
    for (machine, billed) in &costs {
        assert_eq!(amount(&machine.cost), *billed, "{name}: {} {}", machine.provider, machine.instance);
    }
    tiny.delete(Kind::FineTune, &name).await;
    eprintln!("{name}: {}", costs[0].1);
    Amount::sum(costs.into_iter().map(|(_, billed)| billed)).unwrap()
}
