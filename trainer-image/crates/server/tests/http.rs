//! The server as a client meets it.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::{BUCKET, MODEL, World, chat, content};
use cooperator_contract::layout;
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::usage::ADAPTER_HEADER;
use cooperator_server::serve::ServeError;
use futures::StreamExt as _;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_is_the_whole_answer_in_text_and_usage() {
    let server = World::new().await.ready().await;
    let body = chat("hello", json!({"temperature": 0.8, "top_p": 0.9, "seed": 5}));
    let (status, whole) = server.post(CHAT, &body).await;
    assert_eq!(status, 200, "{whole}");
    let streamed = chat(
        "hello",
        json!({"temperature": 0.8, "top_p": 0.9, "seed": 5, "stream": true,
            "stream_options": {"include_usage": true}}),
    );
    let chunks = server.stream(CHAT, &streamed).await;
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, content(&whole));
    assert!(!text.is_empty());
    let usage = chunks.last().unwrap();
    assert_eq!(usage["usage"], whole["usage"]);
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 40);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_the_option_has_no_usage() {
    let server = World::new().await.ready().await;
    let chunks = server.stream(CHAT, &chat("hello", json!({"stream": true}))).await;
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_requests_at_once_get_what_each_gets_alone() {
    let server = World::new().await.ready().await;
    let bodies = ["a", "what is a union?", &"long ".repeat(40)].map(|text| chat(text, json!({})));
    let mut alone = Vec::new();
    for body in &bodies {
        alone.push(server.post(CHAT, body).await.1["choices"].clone());
    }
    let (a, b, c) = tokio::join!(
        server.post(CHAT, &bodies[0]),
        server.post(CHAT, &bodies[1]),
        server.post(CHAT, &bodies[2])
    );
    for (together, alone) in [a, b, c].iter().zip(&alone) {
        assert_eq!(&together.1["choices"], alone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_changes_the_answer() {
    let mut world = World::new().await;
    let adapted = world.ready().await.post(CHAT, &chat("hello", json!({}))).await.1;
    world.task.adapter = None;
    let base = world.ready().await.post(CHAT, &chat("hello", json!({}))).await.1;
    assert_ne!(content(&adapted), content(&base));
    assert_ne!(adapted["system_fingerprint"], base["system_fingerprint"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_the_adapter_that_gave_it() {
    let mut world = World::new().await;
    let adapter = world.task.adapter.unwrap().to_string();
    for streamed in [false, true] {
        let body = chat("hello", json!({"stream": streamed})).to_string();
        let answer = world.ready().await.send(CHAT, &body).await;
        assert_eq!(answer.headers()[ADAPTER_HEADER], adapter.as_str());
    }
    world.task.adapter = None;
    let answer = world.ready().await.send(CHAT, &chat("hello", json!({})).to_string()).await;
    assert!(!answer.headers().contains_key(ADAPTER_HEADER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_string_over_a_token_boundary_ends_the_answer_and_is_not_in_it() {
    let server = World::new().await.ready().await;
    let whole = server.post(CHAT, &chat("hello", json!({}))).await.1;
    // A token is a byte here: three signs are at least three tokens.
    let signs: Vec<char> = content(&whole).chars().collect();
    let stop: String = signs[5..8].iter().collect();
    let before = content(&whole).split(&stop).next().unwrap().to_owned();
    let stopped = server.post(CHAT, &chat("hello", json!({"stop": stop}))).await.1;
    assert_eq!(content(&stopped), before);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let streamed = server.stream(CHAT, &chat("hello", json!({"stop": [stop], "stream": true}))).await;
    let text: String =
        streamed.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_429_and_when_to_come_again() {
    let mut world = World::new().await;
    (world.task.max_concurrency, world.task.max_queue) = (1, 1);
    let server = world.ready().await;
    let long = chat("hello", json!({"stream": true, "max_tokens": 50_000})).to_string();
    let (first, second) = (server.send(CHAT, &long).await, server.send(CHAT, &long).await);
    let third = server.send(CHAT, &chat("hello", json!({})).to_string()).await;
    assert_eq!(third.status(), 429);
    assert_eq!(third.headers()["retry-after"], "1");
    let error: Value = serde_json::from_str(&third.text().await.unwrap()).unwrap();
    assert_eq!(error["error"]["type"], "rate_limit_error");

    // Clients that leave free their places.
    drop((first, second));
    for _ in 0..250 {
        if server.post(CHAT, &chat("hello", json!({}))).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the places of clients that left are still taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_adapter_is_never_served() {
    let world = World::new().await;
    let key = layout::adapter(&world.task.adapter.unwrap(), "adapter_model.safetensors");
    let mut bytes = world.storage.object(BUCKET, &key).unwrap().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    world.storage.set_object(BUCKET, &key, bytes);
    refused(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_base_model_is_never_served() {
    let world = World::new().await;
    let key = world.storage.keys(BUCKET).into_iter().find(|key| key.starts_with("blobs/")).unwrap();
    let mut bytes = world.storage.object(BUCKET, &key).unwrap().to_vec();
    bytes[0] ^= 0x20;
    world.storage.set_object(BUCKET, &key, bytes);
    refused(world).await;
}

async fn refused(world: World) {
    let ended = world.start().await.ended.await.unwrap();
    let Err(ServeError::Load(error)) = ended else { panic!("{ended:?}") };
    assert_eq!(error.reason(), FailureReason::DigestMismatch);
    let text = error.to_string();
    assert!(text.contains("expected sha256:") && !text.contains('\n'), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_is_not_ready_and_finishes_what_was_begun() {
    let mut server = World::new().await.ready().await;
    let body = chat("hello", json!({"stream": true, "max_tokens": 2_000})).to_string();
    let mut stream = server.send(CHAT, &body).await.bytes_stream();
    let first = stream.next().await.unwrap().unwrap();
    server.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.get("/readyz").await.0, 503);
    assert_eq!(server.get("/healthz").await.0, 200);
    let mut text = String::from_utf8_lossy(&first).into_owned();
    while let Some(piece) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&piece.unwrap()));
    }
    assert!(text.contains("data: [DONE]"));
    drop(server.client);
    server.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_in_openais_shape() {
    let server = World::new().await.ready().await;
    let long = "x".repeat(500);
    let cases = [
        (chat("a", json!({"model": "other"})), 404, "model", "model_not_found"),
        (chat("a", json!({"n": 2})), 400, "n", "invalid_value"),
        (chat(&long, json!({})), 400, "messages", "context_length_exceeded"),
        (chat("a", json!({"max_tokens": 50_001})), 400, "max_tokens", "invalid_value"),
        (chat("a", json!({"temperature": 3})), 400, "temperature", "invalid_value"),
    ];
    for (body, status, param, code) in cases {
        let (found, answer) = server.post(CHAT, &body).await;
        assert_eq!((found, &answer["error"]["param"]), (status, &json!(param)), "{answer}");
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let response = server.send(CHAT, "{not json").await;
    assert_eq!(response.status(), 400);
    assert!(response.text().await.unwrap().contains("invalid_request_error"));
    let response = server.send(CHAT, &"x".repeat(128 << 10)).await;
    assert_eq!(response.status(), 413);
    assert!(response.text().await.unwrap().contains("invalid_request_error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_go_on_from_text_and_from_tokens() {
    let server = World::new().await.ready().await;
    let body = |prompt: Value| json!({"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 8});
    let (status, text) = server.post("/v1/completions", &body(json!("ab"))).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(text["object"], "text_completion");
    assert_eq!(text["usage"], json!({"prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10}));
    let mut streamed = body(json!("ab"));
    streamed["stream"] = json!(true);
    let chunks = server.stream("/v1/completions", &streamed).await;
    let joined: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text["choices"][0]["text"], joined);
    let (status, error) = server.post("/v1/completions", &body(json!([999_999]))).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("prompt")));
    assert_eq!(server.post("/v1/completions", &body(json!(""))).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_metrics_are_there() {
    let server = World::new().await.ready().await;
    let models: Value = serde_json::from_str(&server.get("/v1/models").await.1).unwrap();
    assert_eq!(models["data"][0]["id"], MODEL);
    server.post(CHAT, &chat("hello secret", json!({"max_tokens": 3}))).await;
    let metrics = server.get("/metrics").await.1;
    assert!(metrics.contains("cooperator_server_completion_tokens_total 3"), "{metrics}");
    assert!(
        metrics.contains(r#"cooperator_server_requests_total{endpoint="chat",code="200"} 1"#),
        "{metrics}"
    );
    assert!(!metrics.contains("secret"));
}
