use std::time::Duration;

use cooperator_api::collective::Collective;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::provider::Provider;
use cooperator_core::time::SignedDuration;
use cooperator_providers::testing::Fault;
use cooperator_providers::{State, Verb};
use k8s_openapi::api::core::v1::{Node, Secret};
use serde_json::json;

mod lent;
mod limits;
mod staged;
mod timeouts;

use crate::testing::HOME;
use crate::testing::market::{Renting, billed, told};

/// A claim `m` whose machine has joined and works.
async fn working(renting: &Renting) -> NodeClaim {
    renting.claim("m", json!({}));
    for _ in 0..20 {
        renting.run("m", 30).await;
        if renting.launched("m") {
            break;
        }
    }
    renting.join("m", "8Gi");
    renting.run("m", 10).await;
    renting.read("m")
}

#[tokio::test]
async fn a_claim_rents_the_cheapest_of_all_providers_and_is_ready_once_its_node_is_what_was_rented() {
    let renting = Renting::new().await;
    let (one, other) =
        (renting.provider("one", &[("a", "0.60")]), renting.provider("other", &[("b", "0.40")]));
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    assert_eq!((one.instances().len(), other.instances().len()), (0, 1));
    assert_eq!(told(&renting.read("m"), "Ready"), ("False".into(), "Registering".into()));
    renting.join("m", "8Gi");
    renting.run("m", 10).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "Ready"), ("True".into(), "Ready".into()));
    let status = claim.status.unwrap();
    assert_eq!(status.provider_ref.unwrap().name, "other");
    assert_eq!(status.offer.unwrap().price_per_hour, "0.4");
    let node: Node = renting.cluster.find("v1", "nodes", &status.node_name.unwrap()).unwrap();
    let taints: Vec<String> = node.spec.unwrap().taints.unwrap().into_iter().map(|taint| taint.key).collect();
    assert_eq!(taints, ["cooperator.dev/rented"]);
    assert_eq!(
        node.metadata.labels.unwrap()["node-restriction.kubernetes.io/cooperator-node-claim"],
        claim.metadata.uid.unwrap()
    );
}

#[tokio::test]
async fn a_provider_that_was_asked_too_often_is_waited_for_a_moment_since_it_may_be_the_cheapest() {
    let renting = Renting::new().await;
    let (one, other) =
        (renting.provider("one", &[("a", "0.60")]), renting.provider("other", &[("b", "0.40")]));
    other.fail_next(Verb::Offers, Fault::Throttled(Duration::from_secs(4)));
    renting.claim("m", json!({}));
    drop(renting.pass("m").await);
    drop(renting.pass("m").await);
    assert_eq!(told(&renting.read("m"), "Launched").1, "WaitingForOffers");
    renting.run("m", 30).await;
    assert_eq!((one.instances().len(), other.instances().len()), (0, 1));
}

#[tokio::test]
async fn an_order_that_came_too_early_is_made_again_in_a_moment_and_counts_against_nobody() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    one.fail_next(Verb::Create, Fault::Throttled(Duration::from_secs(1)));
    renting.claim("m", json!({}));
    renting.run("m", 15).await;
    assert_eq!(one.instances().len(), 1);
    assert_eq!(
        one.calls().iter().filter(|call| call.verb == Verb::Offers).count(),
        1,
        "the market is still known"
    );
    let provider: Provider = renting.cluster.read("providers", "one");
    let status = provider.status.unwrap_or_default();
    assert_eq!((status.failures.len(), status.blocked_hosts.len()), (0, 0), "{status:?}");
}

#[tokio::test]
async fn a_vendor_that_takes_an_order_in_ten_seconds_is_not_asked_before() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    one.fail_always(Verb::Create, Fault::Throttled(Duration::from_secs(10)));
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    let orders = one.calls().iter().filter(|call| call.verb == Verb::Create).count();
    assert!((2..=4).contains(&orders), "{orders}");
}

#[tokio::test]
async fn a_provider_that_is_never_heard_holds_up_no_claim_for_long() {
    let renting = Renting::new().await;
    let (one, other) =
        (renting.provider("one", &[("a", "0.60")]), renting.provider("other", &[("b", "0.40")]));
    other.fail_always(Verb::Offers, Fault::Throttled(Duration::from_secs(4)));
    renting.claim("m", json!({}));
    renting.run("m", 120).await;
    assert_eq!((one.instances().len(), other.instances().len()), (1, 0));
}

#[tokio::test]
async fn an_operator_killed_after_any_write_rents_one_machine_and_ends_it() {
    for cut in 1..=14 {
        let renting = Renting::new().await;
        let one = renting.provider("one", &[("a", "0.60")]);
        renting.cluster.cut_after(cut);
        working(&renting).await;
        let made = one.calls().iter().filter(|call| call.verb == Verb::Create && call.answer == "Ok").count();
        assert_eq!(
            made,
            1,
            "cut after write {cut}: {:?} {:?}",
            renting.read("m").status,
            renting.cluster.writes()
        );
        assert_eq!(told(&renting.read("m"), "Ready").0, "True", "cut after write {cut}");
        renting.cluster.cut_after(cut);
        renting.delete("m").await;
        renting.run("m", 3600).await;
        let gone = renting.cluster.find::<NodeClaim>("cooperator.dev/v1alpha1", "nodeclaims", "m").is_none();
        assert!(gone, "cut after write {cut}: {:?}", renting.read("m").status);
        assert!(
            one.instances().iter().all(|instance| instance.state == State::Over),
            "cut after write {cut}"
        );
        let home: Collective = renting.cluster.read("collectives", HOME);
        assert_eq!(home.status.unwrap().departed.len(), 1, "cut after write {cut}");
    }
}

#[tokio::test]
async fn what_a_machine_cost_is_in_the_books_before_its_claim_goes() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    working(&renting).await;
    renting.cluster.clock.advance(SignedDuration::from_mins(30));
    renting.delete("m").await;
    renting.run("m", 3600).await;
    let home: Collective = renting.cluster.read("collectives", HOME);
    let departed = home.status.unwrap().departed;
    assert_eq!(departed[0].cost, billed(&one).to_string());
    assert!(renting.cluster.names("v1", "nodes").is_empty());
}

#[tokio::test]
async fn a_machine_whose_answer_was_lost_is_found_and_used() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    one.lag(SignedDuration::from_secs(20));
    one.fail_next(Verb::Create, Fault::LostAnswer);
    working(&renting).await;
    assert_eq!(one.instances().len(), 1);
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
    let events = renting.cluster.events();
    assert!(events.contains(&"Warning AnswerLost".to_owned()), "{events:?}");
    assert!(events.contains(&"Normal MachineFound".to_owned()), "{events:?}");
}

#[tokio::test]
async fn a_machine_that_is_powered_off_is_given_back_and_its_host_is_left_alone_for_a_while() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    working(&renting).await;
    renting.power_off("m");
    renting.run("m", 300).await;
    assert_eq!(told(&renting.read("m"), "InstanceTerminating"), ("True".into(), "Preempted".into()));
    assert!(one.instances().iter().all(|instance| instance.state == State::Over), "{:?}", one.instances());
    let provider: Provider = renting.cluster.read("providers", "one");
    let blocked = provider.status.unwrap().blocked_hosts;
    assert_eq!((blocked[0].host.as_str(), blocked[0].reason.as_str()), ("host-of-a", "Preempted"));
}

#[tokio::test]
async fn a_host_that_lies_about_its_memory_is_given_back_and_blocked_and_the_next_is_taken() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60"), ("b", "0.70")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    renting.join("m", "2Gi");
    renting.run("m", 300).await;
    let provider: Provider = renting.cluster.read("providers", "one");
    let blocked = provider.status.unwrap().blocked_hosts;
    assert_eq!((blocked[0].host.as_str(), blocked[0].reason.as_str()), ("host-of-a", "PreflightFailed"));
    let status = renting.read("m").status.unwrap();
    assert_eq!(status.offer.unwrap().id, "b");
    assert_eq!(status.launches[0].reason.as_deref(), Some("PreflightFailed"));
    let lives = one.instances().iter().filter(|instance| instance.state == State::Running).count();
    assert_eq!(lives, 1);
    renting.join("m", "8Gi");
    renting.run("m", 10).await;
    assert_eq!(told(&renting.read("m"), "Ready").0, "True");
}

#[tokio::test]
async fn a_machine_that_never_joins_is_given_back_in_time_and_the_next_is_taken() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60"), ("b", "0.70")]);
    renting.claim("m", json!({}));
    renting.run("m", 1200).await;
    let launches = renting.read("m").status.unwrap().launches;
    assert_eq!(launches[0].reason.as_deref(), Some("RegistrationTimeout"));
    assert_eq!(launches[1].offer["id"], "b");
}

#[tokio::test]
async fn a_machine_that_is_taken_away_ends_its_claim_for_good() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    working(&renting).await;
    one.set_state(&one.instances()[0].id, State::Preempted);
    renting.run("m", 300).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "InstanceTerminating"), ("True".into(), "Preempted".into()));
    assert_eq!(told(&claim, "Ready"), ("False".into(), "Ended".into()));
    assert_eq!(claim.status.unwrap().launches.len(), 1, "its work goes on on another claim");
    assert!(renting.cluster.names("v1", "nodes").is_empty(), "the node goes with its machine");
}

#[tokio::test]
async fn a_machine_is_given_back_before_its_budget_is_spent() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({ "budget": "0.30" }));
    renting.run("m", 60).await;
    renting.join("m", "8Gi");
    renting.run("m", 3600).await;
    assert_eq!(told(&renting.read("m"), "InstanceTerminating"), ("True".into(), "BudgetSpent".into()));
    assert!(billed(&one) <= "0.30".parse().unwrap(), "{}", billed(&one));
    assert!(billed(&one) >= "0.20".parse().unwrap(), "{}", billed(&one));
}

#[tokio::test]
async fn a_claim_waits_its_turn_where_the_pool_is_full() {
    let renting = Renting::new().await;
    renting.pool(json!({ "limits": { "machines": 1 } }));
    let one = renting.provider("one", &[("a", "0.60")]);
    working(&renting).await;
    renting.claim("second", json!({}));
    renting.run("second", 30).await;
    let second = renting.read("second");
    assert_eq!(told(&second, "Ready"), ("False".into(), "PoolFull".into()));
    assert_eq!(second.status.unwrap().position, Some(1));
    assert_eq!(one.instances().len(), 1);
}

#[tokio::test]
async fn a_price_below_the_market_says_what_the_cheapest_costs() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({ "maxPricePerHour": "0.10" }));
    renting.run("m", 10).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "Ready"), ("False".into(), "NoOffer".into()));
    let ready = &claim.status.unwrap().conditions[0];
    assert!(ready.message.contains("0.6"), "{}", ready.message);
}

#[tokio::test]
async fn a_requirement_that_no_offer_meets_is_named() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    let region = json!([{ "key": "topology.kubernetes.io/region", "operator": "In", "values": ["MARS"] }]);
    renting.claim("m", json!({ "requirements": region }));
    renting.run("m", 10).await;
    let ready = renting.read("m").status.unwrap().conditions.remove(0);
    assert!(ready.message.contains("topology.kubernetes.io/region"), "{}", ready.message);
    assert!(ready.message.contains("EU"), "{}", ready.message);
}

#[tokio::test]
async fn a_provider_that_is_down_holds_up_no_other() {
    let renting = Renting::new().await;
    let (one, other) =
        (renting.provider("one", &[("a", "0.40")]), renting.provider("other", &[("b", "0.60")]));
    one.fail_always(Verb::Offers, Fault::Unavailable);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    assert_eq!((one.instances().len(), other.instances().len()), (0, 1));
}

#[tokio::test]
async fn a_token_is_made_for_one_machine_and_goes_when_that_has_joined() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 30).await;
    let bootstrap = renting.read("m").status.unwrap().bootstrap.unwrap();
    let secret = || {
        renting.cluster.at::<Secret>(
            "/api/v1/namespaces/kube-system/secrets",
            &format!("bootstrap-token-{}", bootstrap.token_id),
        )
    };
    assert!(secret().is_some());
    renting.run("m", 60).await;
    renting.join("m", "8Gi");
    renting.run("m", 10).await;
    assert!(secret().is_none());
}

#[tokio::test]
async fn a_ledger_that_somebody_has_spoilt_stops_all_renting() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.cluster.edit("nodeclaims", "m", |claim: &mut NodeClaim| {
        let launch =
            json!({ "number": 1, "provider": "one", "offer": {}, "diskGib": 40, "intendedAt": "yesterday" });
        claim.status.get_or_insert_default().launches = vec![serde_json::from_value(launch).unwrap()];
    });
    renting.run("m", 30).await;
    assert!(one.calls().iter().all(|call| call.verb != Verb::Create));
}
