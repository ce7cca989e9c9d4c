//! Calls that race for one budget, and prices at their bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use cooperator_core::money::{Amount, Price};
use http::StatusCode;
use serde_json::{Value, json};

use super::super::harness::{Setup, World, error, hello, key, route};
use super::report;
use crate::snapshot::{Key, RoutePrice};

fn payer(budget: Amount) -> Key {
    Key { budget: Some(budget), ..key("payer") }
}

fn pico(micros: i128) -> Amount {
    Amount::from_pico(micros * 1_000_000)
}

/// A call whose worst case is what it costs: 79 prompt tokens at 1 and 3 generated at 2, a million.
fn exact(world: &World) -> Value {
    world.script(|script| script.usage = Some((json!(79), json!(3))));
    let mut body = hello();
    body["max_tokens"] = json!(3);
    body
}

const EXACT: i128 = 85;

#[tokio::test]
async fn a_budget_is_spent_to_the_last_unit_and_not_beyond() {
    let mut classes = BTreeMap::new();
    for (budget, calls) in
        [(0, 0), (EXACT - 1, 0), (EXACT, 1), (2 * EXACT - 1, 1), (2 * EXACT, 2), (10 * EXACT, 10)]
    {
        let world = World::new().await;
        let body = exact(&world);
        world.publish([payer(pico(budget))], [route("presidents", world.upstream)]);
        for _ in 0..calls {
            assert_eq!(world.chat_as("payer", body.clone()).await.0, 200, "budget {budget}");
        }
        let (status, _, answer) = world.chat_as("payer", body).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "budget {budget}");
        assert_eq!(error(&answer)["code"], "insufficient_quota");
        assert_eq!((world.calls(), world.spent("payer")), (calls, pico(EXACT * calls as i128)));
        *classes.entry("budgets exhausted").or_default() += 1;
    }
    report(&classes);
}

#[tokio::test]
async fn calls_that_race_for_one_budget_never_overspend_it() {
    let mut classes = BTreeMap::new();
    for (callers, fit) in [(2, 1), (16, 5), (64, 10)] {
        let world = World::new().await;
        let body = exact(&world);
        // Room for so many, and for all but the last unit of one more.
        world.publish([payer(pico(EXACT * fit + EXACT - 1))], [route("presidents", world.upstream)]);
        let calls = (0..callers).map(|_| world.chat_as("payer", body.clone()));
        let answers = futures::future::join_all(calls).await;
        let done = answers.iter().filter(|(status, _, _)| *status == 200).count();
        assert_eq!(done as i128, fit);
        assert!(answers.iter().all(|(status, _, _)| [200, 429].contains(&status.as_u16())));
        assert_eq!(
            (world.calls(), world.rows().len(), world.spent("payer")),
            (done, done, pico(EXACT * fit))
        );
        *classes.entry("races on a gateway").or_default() += 1;
    }
    report(&classes);
}

#[tokio::test]
async fn two_gateways_never_spend_the_same_money() {
    let (first, leases) = {
        let setup = Setup::default();
        let leases = Arc::clone(&setup.leases);
        (World::with(setup).await, leases)
    };
    let second = World::with(Setup { leases: Arc::clone(&leases), ..Setup::default() }).await;
    assert_ne!(first.gateway.wal.gateway(), second.gateway.wal.gateway());
    let budget = pico(EXACT * 20);
    for world in [&first, &second] {
        world.publish([payer(budget)], [route("presidents", world.upstream)]);
    }
    let (one, other) = (exact(&first), exact(&second));
    let calls = (0..80).map(|n| {
        if n % 2 == 0 { first.chat_as("payer", one.clone()) } else { second.chat_as("payer", other.clone()) }
    });
    let answers = futures::future::join_all(calls).await;
    let done = answers.iter().filter(|(status, _, _)| *status == 200).count();
    let spent = first.spent("payer").plus(second.spent("payer")).unwrap();
    assert_eq!((first.rows().len() + second.rows().len(), spent), (done, pico(EXACT * done as i128)));
    assert!((1..=20).contains(&done), "{done}");
    // What each reports adds up to what both have spent, however often they report.
    for world in [&first, &second, &first] {
        world.gateway.funds.report("payer", "uid-payer", true).await.unwrap();
    }
    let state = leases.0.lock().unwrap()["uid-payer"].0.clone();
    assert_eq!(state.spent, spent);
    assert!(state.leases.iter().all(|lease| lease.granted == lease.spent), "{state:?}");
    eprintln!("80 calls on two gateways, room for 20: {done} done");
}

#[tokio::test]
async fn a_budget_that_is_raised_lowered_or_removed_holds_from_the_next_call() {
    let world = World::new().await;
    let body = exact(&world);
    let set = |budget: Option<i128>| {
        let key = Key { budget: budget.map(pico), ..key("payer") };
        world.publish([key], [route("presidents", world.upstream)]);
        if let Some((state, _)) = world.leases.0.lock().unwrap().get_mut("uid-payer") {
            state.budget = budget.map(pico);
        }
    };
    for (budget, status) in
        [(Some(EXACT), 200), (Some(EXACT), 429), (Some(2 * EXACT), 200), (Some(1), 429), (None, 200)]
    {
        set(budget);
        let mut found = world.chat_as("payer", body.clone()).await.0;
        // A refusal is remembered for a second.
        for _ in 0..150 {
            if found == status {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            found = world.chat_as("payer", body.clone()).await.0;
        }
        assert_eq!(found, status, "budget {budget:?}");
    }
    assert_eq!(world.spent("payer"), pico(3 * EXACT));
}

#[tokio::test]
async fn prices_at_their_bounds_are_charged_exactly() {
    let mut classes = BTreeMap::new();
    for (input, output, spent) in [
        ("0", "0", "0"),
        ("0.000001", "0", "0.000000000011"),
        ("0", "0.000001", "0.000000000003"),
        ("0.333333", "0.666667", "0.000005666664"),
        ("1000000000", "1000000000", "14000"),
        ("1000000000", "0.000001", "11000.000000000003"),
        ("999999999.999999", "999999999.999999", "13999.999999999986"),
    ] {
        let world = World::new().await;
        let mut dear = route("presidents", world.upstream);
        dear.price = RoutePrice::new("USD", input.parse().unwrap(), output.parse().unwrap());
        world.publish([payer("179000".parse().unwrap())], [dear]);
        assert_eq!(world.chat_as("payer", hello()).await.0, 200, "{input} {output}");
        assert_eq!(world.spent("payer"), spent.parse().unwrap(), "{input} {output}");
        let row = world.rows().remove(0);
        assert_eq!((row.price.input.as_str(), row.price.output.as_str()), (input, output));
        *classes.entry("prices").or_default() += 1;
    }
    report(&classes);
}

#[test]
fn no_price_and_no_count_of_tokens_overflows() {
    let highest: Price = "1000000000".parse().unwrap();
    let price = RoutePrice::new("USD", highest, highest);
    for (input, output) in
        [(0, 0), (1, 0), (u64::from(u32::MAX), u64::from(u32::MAX)), (u64::MAX, 0), (u64::MAX, u64::MAX)]
    {
        let exact = Amount::from_pico(1_000_000_000_000_000 * (i128::from(input) + i128::from(output)));
        assert_eq!(price.amount(input, output), exact);
    }
    for bad in ["-1", "1000000000.000001", "0.0000001", "1e3", "NaN", "", "18446744073709551616"] {
        assert!(bad.parse::<Price>().is_err(), "{bad}");
    }
}
