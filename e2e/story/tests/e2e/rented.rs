//! The story of `examples/rented`, with machines that really run beside the cluster.

use cooperator_cluster::{Progress, paths};
use cooperator_core::money::Amount;
use cooperator_story::rented::{self, Cloud};

use crate::cluster::{connect, told};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Where the local cloud answers.
fn cloud() -> String {
    std::env::var("COOPERATOR_E2E_CLOUD").expect("COOPERATOR_E2E_CLOUD names no cloud: run `cargo xtask test`")
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_whose_rented_machine_is_taken_back_goes_on_at_another_vendor_to_the_same_adapter() {
    told().await;
    let (cluster, cloud) = (connect().await, Cloud::at(&cloud()));
    let examples = paths::workspace().join("examples");
    let told = rented::tell(&cluster, &examples, &cloud, &Progress::new()).await.unwrap();
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
