use cooperator_core::money::Amount;
use http::StatusCode;
use serde_json::json;

use super::harness::{World, error, hello, key, route};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_call_spends_exactly_what_its_row_costs() {
    let world = World::new().await;
    let mut paid = key("payer");
    paid.budget = Some(amount("1"));
    world.publish([paid], [route("presidents", world.upstream)]);
    assert_eq!(world.chat_as("payer", hello()).await.0, 200);
    // 11 prompt tokens at 1 and 3 generated at 2, a million.
    assert_eq!(world.spent("payer"), amount("0.000017"));
}

#[tokio::test]
async fn a_budget_that_does_not_cover_the_worst_case_refuses_before_the_server_is_called() {
    let world = World::new().await;
    let mut poor = key("poor");
    poor.budget = Some(amount("0.0001"));
    world.publish([poor], [route("presidents", world.upstream)]);
    let (status, _, body) = world.chat_as("poor", hello()).await;
    assert_eq!(
        (status, &error(&body)["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("insufficient_quota"))
    );
    assert_eq!((world.calls(), world.rows().len()), (0, 0));
    let mut short = hello();
    short["max_tokens"] = json!(3);
    assert_eq!(world.chat_as("poor", short).await.0, 200);
}

#[tokio::test]
async fn racing_calls_never_spend_more_than_the_budget() {
    let world = World::new().await;
    let mut paid = key("payer");
    paid.budget = Some(amount("0.001"));
    world.publish([paid], [route("presidents", world.upstream)]);
    let calls = (0..60).map(|_| world.chat_as("payer", hello()));
    let answers = futures::future::join_all(calls).await;
    let done = answers.iter().filter(|(status, _, _)| *status == 200).count();
    assert!((1..60).contains(&done), "{done}");
    assert_eq!(world.rows().len(), done);
    assert!(world.spent("payer") <= amount("0.001"));
    assert_eq!(world.spent("payer"), amount("0.000017").times(done as i128).unwrap());
}

#[tokio::test]
async fn a_failed_call_gives_the_money_back() {
    let world = World::new().await;
    let mut paid = key("payer");
    paid.budget = Some(amount("0.0003"));
    world.publish([paid], [route("presidents", world.upstream)]);
    world.script(|script| script.status = 500);
    for _ in 0..5 {
        assert_eq!(world.chat_as("payer", hello()).await.0, 502);
    }
    world.script(|script| script.status = 200);
    assert_eq!(world.chat_as("payer", hello()).await.0, 200);
}

#[tokio::test]
async fn a_budget_that_cannot_be_asked_for_refuses_for_now() {
    let world = World::new().await;
    let mut paid = key("payer");
    paid.budget = Some(amount("1"));
    world.publish([paid], [route("presidents", world.upstream)]);
    world.leases.0.lock().unwrap().clear();
    assert_eq!(world.chat_as("payer", hello()).await.0, 503);
}
