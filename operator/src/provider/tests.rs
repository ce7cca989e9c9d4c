use std::sync::Arc;

use cooperator_api::collective::Collective;
use cooperator_api::provider::{Provider, ProviderStatus};
use cooperator_core::time::{Clock as _, SignedDuration};
use cooperator_providers::testing::Fault;
use cooperator_providers::{State, Verb};
use cooperator_rental::{News, Reason, Target};
use serde_json::json;

use super::note;
use super::reconcile::reconcile;
use crate::testing::HOME;
use crate::testing::market::{Renting, billed};

/// Looks at the Provider for so many seconds, as often as it asks to be looked at.
async fn run(renting: &Renting, name: &str, seconds: i64) -> ProviderStatus {
    for _ in 0..seconds / 5 {
        // What is to follow at once does.
        for _ in 0..6 {
            let before = renting.cluster.writes().len();
            let provider: Arc<Provider> = Arc::new(renting.cluster.read("providers", name));
            reconcile(provider, renting.rent.clone()).await.unwrap();
            if renting.cluster.writes().len() == before {
                break;
            }
        }
        renting.cluster.clock.advance(SignedDuration::from_secs(5));
    }
    renting.cluster.read::<Provider>("providers", name).status.unwrap()
}

fn ready(status: &ProviderStatus) -> (&str, &str, &str) {
    let found = status.conditions.iter().find(|found| found.type_ == "Ready").unwrap();
    (&found.status, &found.reason, &found.message)
}

#[tokio::test]
async fn a_provider_that_answers_says_what_it_offers() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60"), ("b", "0.40")]);
    let status = run(&renting, "one", 5).await;
    assert_eq!(ready(&status).1, "Reachable");
    assert_eq!(status.offers, Some(2));
    assert_eq!(status.cheapest.unwrap().price_per_hour, "0.4");
}

#[tokio::test]
async fn a_provider_that_is_paused_says_until_when() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    renting.cluster.edit("providers", "one", |provider: &mut Provider| {
        let until = renting.cluster.clock.now() + SignedDuration::from_mins(10);
        provider.status.get_or_insert_default().paused_until = Some(until.to_string());
    });
    let status = run(&renting, "one", 5).await;
    assert_eq!(ready(&status).1, "Paused");
    assert!(ready(&status).2.contains("paused until 2026-"), "{}", ready(&status).2);
    renting.cluster.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(ready(&run(&renting, "one", 5).await).1, "Reachable");
}

#[tokio::test]
async fn hosts_that_two_claims_block_in_the_same_second_are_both_blocked() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    let read: Provider = renting.cluster.read("providers", "one");
    for host in ["7", "8"] {
        let news = News::Block { target: Target::Host(host.into()), reason: Reason::PreflightFailed };
        note(&renting.rent, &read, renting.cluster.clock.now(), &[news]).await.unwrap();
    }
    let blocks = renting.cluster.read::<Provider>("providers", "one").status.unwrap().blocked_hosts;
    assert_eq!(blocks.iter().map(|block| block.host.as_str()).collect::<Vec<_>>(), ["7", "8"]);
}

#[tokio::test]
async fn a_machine_that_lost_its_claim_is_ended_within_ninety_seconds_and_written_down() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    renting.cluster.remove("cooperator.dev/v1alpha1", "nodeclaims", "m");
    let status = run(&renting, "one", 90).await;
    let states: Vec<State> = vendor.instances().iter().map(|instance| instance.state).collect();
    assert!(
        states.iter().all(|state| matches!(state, State::Over | State::Ending)),
        "{states:?} {:?}",
        status.strays
    );
    assert_eq!(status.strays.len(), 1);
}

#[tokio::test]
async fn a_machine_whose_claim_lives_is_left_alone() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    let status = run(&renting, "one", 120).await;
    assert_eq!(vendor.instances()[0].state, State::Running);
    assert_eq!((status.strays.len(), status.machines), (0, Some(1)));
}

#[tokio::test]
async fn a_machine_whose_claim_is_in_another_namespace_is_left_alone() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    let mut claim: serde_json::Value = serde_json::to_value(renting.read("m")).unwrap();
    renting.cluster.remove("cooperator.dev/v1alpha1", "nodeclaims", "m");
    claim["metadata"]["namespace"] = json!("senators");
    claim["apiVersion"] = json!("cooperator.dev/v1alpha1");
    renting.cluster.put_at("/apis/cooperator.dev/v1alpha1/namespaces/senators/nodeclaims", claim);
    run(&renting, "one", 120).await;
    assert_eq!(vendor.instances()[0].state, State::Running);
}

#[tokio::test]
async fn a_wrong_key_is_said_with_the_secret_it_lies_in() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[]);
    vendor.fail_always(Verb::Offers, Fault::Unauthorized);
    let status = run(&renting, "one", 5).await;
    let (is_ready, reason, message) = ready(&status);
    assert_eq!((is_ready, reason), ("False", "CredentialsInvalid"));
    assert!(message.contains("Secret `key`") && message.contains("apiKey"), "{message}");
}

#[tokio::test]
async fn a_provider_that_is_down_says_since_when() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[]);
    run(&renting, "one", 5).await;
    vendor.fail_always(Verb::Offers, Fault::Unavailable);
    renting.cluster.clock.advance(SignedDuration::from_mins(5));
    let status = run(&renting, "one", 60).await;
    let (is_ready, reason, message) = ready(&status);
    assert_eq!((is_ready, reason), ("False", "Unreachable"));
    assert!(message.contains("2026-11-24T12:00:00Z"), "{message}");
}

#[tokio::test]
async fn a_list_that_is_not_whole_ends_nothing() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    renting.cluster.remove("cooperator.dev/v1alpha1", "nodeclaims", "m");
    vendor.fail_always(Verb::List, Fault::Malformed);
    run(&renting, "one", 120).await;
    assert_eq!(vendor.instances()[0].state, State::Running);
}

#[tokio::test]
async fn what_a_machine_without_a_claim_cost_is_in_the_books_once_and_only_once() {
    let renting = Renting::new().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    renting.cluster.remove("cooperator.dev/v1alpha1", "nodeclaims", "m");
    let status = run(&renting, "one", 3600).await;
    let home: Collective = renting.cluster.read("collectives", HOME);
    let departed = home.status.unwrap().departed;
    assert_eq!(departed.len(), 1, "{departed:?}");
    assert_eq!(departed[0].cost, billed(&vendor).to_string());
    let name = &departed[0].fine_tune;
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!(
        name.starts_with("coop-") && name.len() <= 63 && name.bytes().all(is_label),
        "no settlement takes {name}"
    );
    assert_eq!(status.strays[0].booked.as_ref(), Some(&departed[0].cost));
    // The period is settled, and the line goes: it does not come back.
    renting.cluster.edit("collectives", HOME, |home: &mut Collective| {
        home.status.get_or_insert_default().departed.clear();
    });
    run(&renting, "one", 120).await;
    let home: Collective = renting.cluster.read("collectives", HOME);
    assert!(home.status.unwrap().departed.is_empty());
}

#[tokio::test]
async fn an_operator_killed_after_any_write_books_a_stray_once() {
    for cut in 1..=8 {
        let renting = Renting::new().await;
        let vendor = renting.provider("one", &[("a", "0.60")]);
        renting.claim("m", json!({}));
        renting.run("m", 60).await;
        renting.cluster.remove("cooperator.dev/v1alpha1", "nodeclaims", "m");
        renting.cluster.cut_after(renting.cluster.writes().len() + cut);
        for _ in 0..180 {
            for _ in 0..3 {
                let provider: Arc<Provider> = Arc::new(renting.cluster.read("providers", "one"));
                drop(reconcile(provider, renting.rent.clone()).await);
            }
            renting.cluster.clock.advance(SignedDuration::from_secs(20));
        }
        let home: Collective = renting.cluster.read("collectives", HOME);
        let departed = home.status.unwrap().departed;
        assert_eq!(departed.len(), 1, "cut after write {cut}: {departed:?}");
        assert_eq!(departed[0].cost, billed(&vendor).to_string(), "cut after write {cut}");
    }
}
