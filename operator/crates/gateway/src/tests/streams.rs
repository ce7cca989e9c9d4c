use std::time::Duration;

use bytes::Bytes;
use cooperator_contract::usage::UsageStatus;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::harness::{World, hello};

async fn all(body: Incoming) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn piece(body: &mut Incoming) -> Option<Bytes> {
    body.frame().await?.ok()?.into_data().ok()
}

fn text(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let chunks = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn a_stream_is_metered_as_the_same_answer_in_one_piece() {
    let world = World::new().await;
    let stream = all(world.stream(hello()).await).await;
    assert_eq!(text(&stream), "Fellow citizens,");
    assert!(stream.ends_with("data: [DONE]\n\n"));
    world.chat(hello()).await;
    let rows = world.rows();
    assert_eq!((rows[0].input_tokens, rows[0].output_tokens), (11, 3));
    let mut second = rows[1].clone();
    (second.sequence, second.time) = (rows[0].sequence, rows[0].time);
    assert_eq!(second, rows[0]);
}

#[tokio::test]
async fn usage_is_in_the_stream_only_if_asked_for_but_always_asked_of_the_server() {
    let world = World::new().await;
    let plain = all(world.stream(hello()).await).await;
    assert!(!plain.contains("prompt_tokens"));
    let mut asked = hello();
    asked["stream_options"] = json!({"include_usage": true});
    let with = all(world.stream(asked).await).await;
    assert!(with.contains(r#""prompt_tokens":11"#));
    let seen = world.server.seen.lock().unwrap();
    assert!(seen.bodies.iter().all(|body| body["stream_options"] == json!({"include_usage": true})));
}

#[tokio::test]
async fn a_server_that_does_not_count_or_counts_nonsense_is_counted_here() {
    let world = World::new().await;
    for usage in [None, Some((json!(-5), json!(1.5))), Some((json!("many"), json!(null)))] {
        world.script(|script| script.usage = usage);
        all(world.stream(hello()).await).await;
    }
    for row in world.rows() {
        // 15 bytes of prompt and role make 4 tokens by rule of thumb; three events had content.
        assert_eq!((row.input_tokens, row.output_tokens), (4, 3));
    }
}

#[tokio::test]
async fn a_server_that_counts_too_much_is_billed_no_more_than_was_reserved() {
    let world = World::new().await;
    world.script(|script| script.usage = Some((json!(u64::MAX), json!(u64::MAX))));
    world.chat(hello()).await;
    all(world.stream(hello()).await).await;
    for row in world.rows() {
        assert_eq!((row.input_tokens, row.output_tokens), (79, 100));
    }
}

#[tokio::test]
async fn the_end_of_a_stream_comes_after_its_row_is_on_disk() {
    let world = World::new().await;
    let mut body = world.stream(hello()).await;
    while let Some(piece) = piece(&mut body).await {
        if piece.ends_with(b"data: [DONE]\n\n") {
            assert_eq!(world.rows().len(), 1);
            return;
        }
        assert_eq!(world.rows().len(), 0);
    }
    panic!("the stream has no end");
}

#[tokio::test]
async fn a_caller_that_leaves_pays_the_prompt_and_what_it_was_sent_and_the_server_stops() {
    let world = World::new().await;
    world.script(|script| {
        script.pieces = vec!["word "; 100];
        script.pace = Duration::from_millis(20);
    });
    let mut body = world.stream(hello()).await;
    let mut got = 0;
    while got < 5 {
        got += text(std::str::from_utf8(&piece(&mut body).await.unwrap()).unwrap()).len() as u64 / 5;
    }
    drop(body);
    let rows = world.rows_when(1).await;
    assert_eq!((rows[0].status, rows[0].input_tokens), (UsageStatus::Disconnected, 4));
    assert!(rows[0].output_tokens >= 5 && rows[0].output_tokens < 20, "{}", rows[0].output_tokens);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = world.server.seen.lock().unwrap();
    assert!(seen.left == 1 && seen.written < 40, "{} {}", seen.left, seen.written);
}

#[tokio::test]
async fn a_stream_that_the_server_breaks_ends_with_an_error_and_bills_nothing() {
    let world = World::new().await;
    world.script(|script| script.breaks_after = Some(2));
    let stream = all(world.stream(hello()).await).await;
    assert_eq!(stream.matches("upstream_unavailable").count(), 1);
    assert!(!stream.contains("[DONE]"));
    let rows = world.rows();
    assert_eq!((rows[0].status, rows[0].input_tokens, rows[0].output_tokens), (UsageStatus::Failed, 0, 0));
}

#[tokio::test]
async fn a_stream_cut_by_the_gateway_itself_bills_nothing() {
    let world = World::new().await;
    world.script(|script| script.pace = Duration::from_secs(30));
    let body = world.stream(hello()).await;
    world.gateway.cut.cancel();
    drop(body.collect().await);
    assert_eq!(world.rows_when(1).await[0].status, UsageStatus::Failed);
}
