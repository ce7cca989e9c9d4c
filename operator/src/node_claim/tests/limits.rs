//! Bounds of machines, price and money, each held where a machine is chosen and while it is kept.

use cooperator_api::collective::Collective;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_core::money::Amount;
use cooperator_core::time::SignedDuration;
use serde_json::{Value, json};

use crate::testing::HOME;
use crate::testing::market::{Renting, billed, told};

fn message(claim: &NodeClaim) -> String {
    let conditions = claim.status.clone().unwrap().conditions;
    conditions.into_iter().find(|found| found.type_ == "Ready").unwrap().message
}

/// Changes the limits of a Provider.
fn limit(renting: &Renting, provider: &str, limits: Value) {
    renting.cluster.edit("providers", provider, |provider: &mut Provider| {
        provider.spec.limits = serde_json::from_value(limits.clone()).unwrap();
    });
}

/// Sets the Collective's budget.
fn budget(renting: &Renting, amount: &str) {
    renting.cluster.edit("collectives", HOME, |home: &mut Collective| {
        home.spec.budget =
            Some(serde_json::from_value(json!({ "amount": amount, "period": "Monthly" })).unwrap());
    });
}

/// A claim whose machine has joined.
async fn works(renting: &Renting, name: &str, spec: Value) {
    renting.claim(name, spec);
    renting.run(name, 60).await;
    renting.join(name, "8Gi");
    renting.run(name, 10).await;
    assert_eq!(told(&renting.read(name), "Ready").0, "True", "{}", message(&renting.read(name)));
}

fn waits_for(renting: &Renting, name: &str, reason: &str, parts: &[&str]) {
    let claim = renting.read(name);
    assert_eq!(told(&claim, "Ready"), ("False".into(), reason.into()), "{}", message(&claim));
    for part in parts {
        assert!(message(&claim).contains(part), "`{part}` is not in: {}", message(&claim));
    }
}

#[tokio::test]
async fn the_price_of_all_machines_of_a_pool_bounds_the_next_one_and_says_so() {
    let renting = Renting::new().await;
    renting.pool(json!({ "limits": { "machines": 4, "pricePerHour": "1.00" } }));
    renting.provider("one", &[("a", "0.60"), ("b", "0.60")]);
    works(&renting, "m", json!({})).await;
    renting.claim("second", json!({}));
    renting.run("second", 30).await;
    let parts =
        ["0.6 an hour are rented", "spec.limits.pricePerHour of NodePool `cheap`, which is 1:", "raise it"];
    waits_for(&renting, "second", "NoOffer", &parts);
}

#[tokio::test]
async fn a_provider_that_is_full_rents_no_more_and_says_so() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60"), ("b", "0.60")]);
    limit(&renting, "one", json!({ "machines": 1 }));
    works(&renting, "m", json!({})).await;
    renting.claim("second", json!({}));
    renting.run("second", 30).await;
    waits_for(&renting, "second", "NoOffer", &["1 of 1 machines", "raise its spec.limits.machines"]);
    assert_eq!(one.instances().len(), 1);
    renting.delete("m").await;
    renting.run("m", 3600).await;
    renting.run("second", 120).await;
    assert_eq!(told(&renting.read("second"), "Launched").0, "True", "there is room again");
}

#[tokio::test]
async fn a_provider_that_is_full_leaves_the_next_machine_to_another() {
    let renting = Renting::new().await;
    let (one, other) = (
        renting.provider("one", &[("a", "0.40"), ("b", "0.40")]),
        renting.provider("other", &[("c", "0.60")]),
    );
    limit(&renting, "one", json!({ "machines": 0 }));
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    assert_eq!((one.instances().len(), other.instances().len()), (0, 1));
}

#[tokio::test]
async fn the_price_of_all_machines_of_a_provider_bounds_the_next_one_and_says_so() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60"), ("b", "0.60")]);
    limit(&renting, "one", json!({ "pricePerHour": "1.00" }));
    works(&renting, "m", json!({})).await;
    renting.claim("second", json!({}));
    renting.run("second", 30).await;
    waits_for(
        &renting,
        "second",
        "NoOffer",
        &["0.6 an hour are rented", "spec.limits.pricePerHour of Provider `one`"],
    );
    assert_eq!(one.instances().len(), 1);
}

#[tokio::test]
async fn two_claims_that_are_decided_at_once_do_not_pass_a_limit() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60"), ("b", "0.60")]);
    limit(&renting, "one", json!({ "machines": 1 }));
    renting.claim("m", json!({}));
    renting.claim("second", json!({}));
    for _ in 0..6 {
        let (first, second) = futures::join!(renting.pass("m"), renting.pass("second"));
        drop((first, second));
    }
    assert_eq!(one.instances().len(), 1);
}

#[tokio::test]
async fn a_pool_whose_budget_is_spent_rents_nothing_until_the_next_period() {
    let renting = Renting::new().await;
    renting.pool(json!({ "limits": { "machines": 4, "budget": { "amount": "5", "period": "Daily" } } }));
    let one = renting.provider("one", &[("a", "0.60")]);
    renting.cluster.edit("nodepools", "cheap", |pool: &mut NodePool| {
        let bill = json!({ "uid": "gone", "startedAt": "2026-11-24T09:00:00Z", "cost": "5" });
        pool.status.get_or_insert_default().bills = vec![serde_json::from_value(bill).unwrap()];
    });
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    let parts = [
        "5 USD are spent of spec.limits.budget of NodePool `cheap`, which is 5 until 2026-11-25T00:00:00Z",
        "raise it",
    ];
    waits_for(&renting, "m", "BudgetSpent", &parts);
    assert!(one.instances().is_empty());
    renting.cluster.clock.advance(SignedDuration::from_hours(13));
    renting.run("m", 60).await;
    assert_eq!(one.instances().len(), 1, "a new day has a new budget");
}

#[tokio::test]
async fn machines_of_a_pool_are_given_back_before_its_budget_is_spent_whoever_spends_it() {
    let renting = Renting::new().await;
    renting.pool(json!({ "limits": { "machines": 4, "budget": { "amount": "1", "period": "Monthly" } } }));
    let one = renting.provider("one", &[("a", "0.60"), ("b", "0.60")]);
    works(&renting, "m", json!({})).await;
    works(&renting, "second", json!({})).await;
    for _ in 0..720 {
        renting.run("m", 5).await;
        renting.run("second", 5).await;
    }
    for name in ["m", "second"] {
        assert_eq!(told(&renting.read(name), "InstanceTerminating"), ("True".into(), "BudgetSpent".into()));
    }
    let bill = billed(&one);
    assert!(bill <= "1".parse().unwrap() && bill >= "0.75".parse::<Amount>().unwrap(), "{bill}");
    renting.claim("third", json!({}));
    renting.run("third", 30).await;
    waits_for(&renting, "third", "BudgetSpent", &["spec.limits.budget of NodePool `cheap`", "raise it"]);
    assert!(renting.read("third").status.unwrap().launches.is_empty(), "what is left pays for no job");
}

#[tokio::test]
async fn a_collective_whose_budget_is_spent_rents_nothing() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    budget(&renting, "2");
    renting.cluster.edit("collectives", HOME, |home: &mut Collective| {
        let gone =
            json!({ "uid": "gone", "fineTune": "v0", "cost": "2.5", "endedAt": "2026-11-20T00:00:00Z" });
        home.status.get_or_insert_default().departed = vec![serde_json::from_value(gone).unwrap()];
    });
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    let parts = ["2.5 USD are spent of spec.budget of Collective `presidents`, which is 2", "raise it"];
    waits_for(&renting, "m", "BudgetSpent", &parts);
    assert!(one.instances().is_empty());
}

#[tokio::test]
async fn a_machine_is_given_back_before_the_budget_of_its_collective_is_spent() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    budget(&renting, "0.50");
    works(&renting, "m", json!({})).await;
    renting.run("m", 3600).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "InstanceTerminating"), ("True".into(), "BudgetSpent".into()));
    assert!(message(&claim).contains("spec.budget of Collective `presidents`"), "{}", message(&claim));
    assert!(billed(&one) <= "0.50".parse().unwrap(), "{}", billed(&one));
}
