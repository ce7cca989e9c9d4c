//! A caller that leaves, at every stage of a call: what it was promised goes back, what it was sent is paid.

use std::time::Duration;

use cooperator_contract::usage::UsageStatus;
use cooperator_core::money::Amount;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::harness::{World, hello, key, route, secret};
use super::super::hostile::post;
use super::{Billed, billed, completed, cost};
use crate::snapshot::{Key, RoutePrice};

/// What a call may cost at most: 79 prompt tokens at 1 and 100 generated at 2, a million.
const WORST: i128 = 279_000_000;

/// A Collective whose `reader` has money for one call at a time, and a little for what was paid before.
async fn world() -> World {
    let world = World::new().await;
    let budget = Some(Amount::from_pico(WORST * 3 / 2));
    world.publish([Key { budget, ..key("reader") }], [route("presidents", world.upstream)]);
    world.leases.0.lock().unwrap().get_mut("uid-reader").unwrap().0.budget = budget;
    world
}

/// That the one call left this row, or none, and that nothing of its money is held back.
async fn left(world: &World, expected: Option<Billed>) {
    let rows = world.rows_when(usize::from(expected.is_some())).await;
    assert_eq!(rows.first().map(billed), expected);
    assert_eq!(world.spent_when(cost(&rows)).await, cost(&rows));
    world.script(|script| script.pace = Duration::ZERO);
    // The next call needs all that is left: what the first was promised must be back.
    for _ in 0..500 {
        if world.chat(hello()).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the money of a call whose caller left is held back");
}

async fn began(world: &World) {
    for _ in 0..500 {
        if world.calls() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server was not called");
}

fn streamed() -> Value {
    let mut body = hello();
    body["stream"] = json!(true);
    body
}

fn disconnected(output: u64) -> Option<Billed> {
    Some(Billed { status: UsageStatus::Disconnected, input: 4, output })
}

#[tokio::test]
async fn one_that_leaves_before_the_end_of_its_request_pays_nothing() {
    for (length, whole) in [(0, post("{}")), (40, post("{}")), (300, post(hello().to_string()))] {
        let world = world().await;
        let mut caller = TcpStream::connect(world.address).await.unwrap();
        caller.write_all(&whole[..length.min(whole.len() - 1)]).await.unwrap();
        drop(caller);
        left(&world, None).await;
    }
}

#[tokio::test]
async fn one_that_leaves_before_an_answer_in_one_piece_pays_nothing() {
    let world = world().await;
    world.script(|script| script.pace = Duration::from_secs(60));
    tokio::select! {
        _ = world.chat(hello()) => panic!("it was answered"),
        () = began(&world) => {}
    }
    left(&world, None).await;
}

#[tokio::test]
async fn one_that_leaves_before_the_first_token_of_a_stream_pays_the_prompt() {
    let world = world().await;
    world.script(|script| script.pace = Duration::from_secs(60));
    let stream = world.stream(hello()).await;
    drop(stream);
    left(&world, disconnected(0)).await;
}

#[tokio::test]
async fn one_that_resets_its_connection_after_a_token_pays_that_one() {
    let world = world().await;
    world.script(|script| {
        script.pieces = vec!["one", "two"];
        script.pace = Duration::from_secs(2);
    });
    let mut caller = TcpStream::connect(world.address).await.unwrap();
    caller.write_all(&post(streamed().to_string())).await.unwrap();
    let mut heard = String::new();
    while !heard.contains("one") {
        let mut buffer = [0; 1024];
        let length = tokio::io::AsyncReadExt::read(&mut caller, &mut buffer).await.unwrap();
        assert!(length > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    // Closed so, the kernel sends a reset instead of an end.
    caller.set_zero_linger().unwrap();
    drop(caller);
    left(&world, disconnected(1)).await;
}

#[tokio::test]
async fn one_that_leaves_with_the_last_byte_pays_all() {
    let world = world().await;
    drop(world.stream(hello()).await.collect().await);
    left(&world, Some(completed(11, 3))).await;
}

#[tokio::test]
async fn a_key_that_is_revoked_in_the_middle_pays_what_it_was_sent() {
    let world = world().await;
    world.script(|script| script.pace = Duration::from_millis(100));
    let stream = world.stream(hello()).await;
    world.publish([], [route("presidents", world.upstream)]);
    drop(stream.collect().await);
    let rows = world.rows_when(1).await;
    assert_eq!((billed(&rows[0]), rows[0].key.as_str()), (completed(11, 3), "uid-reader"));
    assert_eq!(world.chat(hello()).await.0, 401);
    assert!(!rows[0].key.contains(&secret("reader")));
}

#[tokio::test]
async fn a_price_that_changes_in_the_middle_is_that_of_the_beginning() {
    let world = World::new().await;
    world.script(|script| script.pace = Duration::from_millis(100));
    let stream = world.stream(hello()).await;
    let mut dear = route("presidents", world.upstream);
    dear.price = RoutePrice::new("USD", "1000".parse().unwrap(), "1000".parse().unwrap());
    world.publish([key("reader")], [dear]);
    drop(stream.collect().await);
    let row = &world.rows_when(1).await[0];
    assert_eq!((row.price.input.as_str(), row.price.output.as_str()), ("1", "2"));
    assert_eq!(world.spent_when(cost(std::slice::from_ref(row))).await, cost(std::slice::from_ref(row)));
}
