use std::time::Duration;

use bytes::Bytes;
use cooperator_contract::usage::UsageStatus;
use cooperator_core::digest::Digest;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Setup, World, error, hello, key, now, route, secret};

#[tokio::test]
async fn an_answer_passes_byte_for_byte_and_is_written_down_once() {
    let world = World::new().await;
    let (status, body) = world.chat(hello()).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Fellow citizens,");
    let rows = world.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].input_tokens, rows[0].output_tokens), (11, 3));
    assert_eq!((rows[0].sequence, rows[0].status), (1, UsageStatus::Completed));
    assert_eq!((rows[0].key.as_str(), rows[0].consumer.as_str()), ("uid-reader", "library"));
    assert_eq!(rows[0].gateway, world.gateway.wal.gateway());
}

#[tokio::test]
async fn during_a_rollout_each_row_names_the_adapter_that_answered() {
    let world = World::new().await;
    let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
    let mut rolled = route("presidents", world.upstream);
    rolled.adapter = Some(new);
    world.publish([key("reader")], [rolled]);
    for streamed in [false, true] {
        let mut call = hello();
        call["stream"] = json!(streamed);
        world.script(|script| script.adapter = old.to_string());
        assert_eq!(world.chat_as("reader", call.clone()).await.0, 200);
        world.script(|script| script.adapter = String::new());
        assert_eq!(world.chat_as("reader", call).await.0, 200);
    }
    let named: Vec<_> = world.rows().into_iter().map(|row| row.adapter).collect();
    assert_eq!(named, [Some(old), Some(new), Some(old), Some(new)]);
}

#[tokio::test]
async fn every_way_to_have_no_valid_key_gets_the_very_same_answer() {
    let world = World::new().await;
    let mut expired = key("late");
    expired.expires_at = Some(now());
    world.publish([key("reader"), expired], [route("presidents", world.upstream)]);
    let (mistyped, good) = (secret("reader").replace("coop_", "coop_0"), secret("reader"));
    let mut wrong_check = good.clone().into_bytes();
    let last = wrong_check.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let wrong_check = String::from_utf8(wrong_check).unwrap();
    let bearers = ["", "sk-other", &mistyped, &wrong_check, &secret("foreign"), &secret("late")];
    let mut headers: Vec<Vec<(&str, String)>> =
        bearers.iter().map(|token| vec![("authorization", format!("Bearer {token}"))]).collect();
    headers.push(vec![]);
    headers.push(vec![("authorization", format!("Basic {good}"))]);
    headers
        .push(vec![("authorization", format!("Bearer {good}")), ("authorization", format!("Bearer {good}"))]);
    let mut answers = Vec::new();
    for headers in &headers {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = Bytes::from(hello().to_string());
        let (status, mut headers, body) =
            world.send(Method::POST, "/v1/chat/completions", &headers, body).await;
        headers.remove("date");
        answers.push((status, headers, body));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(error(&answers[0].2)["code"], "invalid_api_key");
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!((world.calls(), world.rows().len()), (0, 0));
}

#[tokio::test]
async fn a_revoked_key_stops_with_the_next_snapshot() {
    let world = World::new().await;
    assert_eq!(world.chat(hello()).await.0, 200);
    world.publish([], [route("presidents", world.upstream)]);
    assert_eq!(world.chat(hello()).await.0, 401);
}

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "x"}]})
}

#[tokio::test]
async fn a_model_that_is_missing_and_one_not_opened_are_answered_alike() {
    let world = World::new().await;
    let mut narrow = key("reader");
    narrow.deployments.insert("presidents".into());
    world.publish([narrow], [route("presidents", world.upstream), route("secret", world.upstream)]);
    let (status, missing) = world.chat(ask("absent")).await;
    assert_eq!((status, &error(&missing)["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    let (status, closed) = world.chat(ask("secret")).await;
    assert_eq!(status, 404);
    let same = |body: &Bytes, model| String::from_utf8_lossy(body).replace(model, "");
    assert_eq!(same(&missing, "absent"), same(&closed, "secret"));
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn a_model_of_which_word_is_on_its_way_is_waited_for() {
    let world = World::new().await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.publish(
            [key("reader")],
            [route("presidents", world.upstream), route("senators", world.upstream)],
        );
    };
    let ((status, _), ()) = tokio::join!(world.chat(ask("senators")), late);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_key_revoked_while_its_model_is_waited_for_opens_nothing() {
    let world = World::new().await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.publish([], [route("senators", world.upstream)]);
    };
    let ((status, _), ()) = tokio::join!(world.chat(ask("senators")), late);
    assert_eq!((status, world.calls()), (StatusCode::UNAUTHORIZED, 0));
}

#[tokio::test]
async fn the_models_listed_are_those_the_key_opens() {
    let world = World::new().await;
    let mut narrow = key("reader");
    narrow.deployments.insert("b".into());
    world.publish([narrow], [route("a", world.upstream), route("b", world.upstream)]);
    let bearer = format!("Bearer {}", secret("reader"));
    let auth = [("authorization", bearer.as_str())];
    let (status, _, body) = world.send(Method::GET, "/v1/models", &auth, Bytes::new()).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, body["data"].as_array().unwrap().len()), (StatusCode::OK, 1));
    assert_eq!(
        body["data"][0],
        json!({"id": "b", "object": "model", "created": 0, "owned_by": "presidents"})
    );
    assert_eq!(world.send(Method::GET, "/v1/models/b", &auth, Bytes::new()).await.0, 200);
    assert_eq!(world.send(Method::GET, "/v1/models/a", &auth, Bytes::new()).await.0, 404);
    assert_eq!(world.send(Method::GET, "/v1/models", &[], Bytes::new()).await.0, 401);
}

#[tokio::test]
async fn the_callers_key_and_headers_never_reach_the_server() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", secret("reader"));
    let headers =
        [("authorization", bearer.as_str()), ("cookie", "a=b"), ("connection", "x-evil"), ("x-evil", "1")];
    world.send(Method::POST, "/v1/chat/completions", &headers, Bytes::from(hello().to_string())).await;
    let seen = world.server.seen.lock().unwrap();
    let mut names: Vec<&str> = seen.headers[0].keys().map(|name| name.as_str()).collect();
    names.sort();
    assert_eq!(names, ["accept", "content-length", "content-type", "host"]);
}

#[tokio::test]
async fn a_body_above_the_bound_is_refused_unread() {
    let world = World::new().await;
    let body = json!({"model": "presidents", "prompt": "x".repeat(70_000)});
    let (status, body) = world.chat(body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(error(&body)["message"].as_str().unwrap().contains("65536"));
}

#[tokio::test]
async fn other_paths_and_methods_are_named() {
    let world = World::new().await;
    assert_eq!(world.send(Method::GET, "/v1/chat/completions", &[], Bytes::new()).await.0, 405);
    assert_eq!(world.send(Method::POST, "/v1/models", &[], Bytes::new()).await.0, 405);
    assert_eq!(world.send(Method::GET, "/internal/usage", &[], Bytes::new()).await.0, 404);
}

#[tokio::test]
async fn requests_above_the_bound_a_minute_wait() {
    let world = World::new().await;
    let mut slow = key("reader");
    slow.requests_per_minute = Some(2);
    world.publish([slow], [route("presidents", world.upstream)]);
    assert_eq!(world.chat(hello()).await.0, 200);
    assert_eq!(world.chat(hello()).await.0, 200);
    let (status, headers, body) = world.chat_as("reader", hello()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(error(&body)["code"], "rate_limit_exceeded");
    assert_eq!(world.calls(), 2);
}

#[tokio::test]
async fn a_server_that_is_down_bills_nothing() {
    let world = World::new().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.publish([key("reader")], [route("presidents", nobody)]);
    let (status, body) = world.chat(hello()).await;
    assert_eq!((status, &error(&body)["code"]), (StatusCode::BAD_GATEWAY, &json!("upstream_unavailable")));
    assert!(!String::from_utf8_lossy(&body).contains(&nobody.to_string()));
    let rows = world.rows();
    assert_eq!((rows[0].status, rows[0].input_tokens, rows[0].output_tokens), (UsageStatus::Failed, 0, 0));
    assert_eq!(world.spent("reader"), Default::default());
}

#[tokio::test]
async fn a_busy_server_and_one_that_refuses_the_prompt_leave_no_row() {
    let world = World::new().await;
    world.script(|script| script.status = 429);
    let (status, headers, _) = world.chat_as("reader", hello()).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "7"));
    world.script(|script| script.status = 400);
    let (status, body) = world.chat(hello()).await;
    assert_eq!(status, 400);
    assert!(error(&body)["message"].as_str().unwrap().contains("the most is 1024"));
    assert_eq!(world.rows().len(), 0);
    world.script(|script| script.status = 500);
    assert_eq!(world.chat(hello()).await.0, 502);
    assert_eq!(world.rows()[0].status, UsageStatus::Failed);
}

#[tokio::test]
async fn a_public_model_needs_no_key_and_costs_nothing_while_others_need_one() {
    let world = World::new().await;
    let mut open = route("open", world.upstream);
    open.public = true;
    world.publish([key("reader")], [route("presidents", world.upstream), open]);
    let mut ask = hello();
    ask["model"] = json!("open");
    let (status, _, _) =
        world.send(Method::POST, "/v1/chat/completions", &[], Bytes::from(ask.to_string())).await;
    assert_eq!(status, 200);
    let row = &world.rows()[0];
    assert_eq!((row.key.as_str(), row.price.input.as_str(), row.price.output.as_str()), ("", "0", "0"));
    assert_eq!((row.input_tokens, row.output_tokens), (11, 3));
    for model in ["presidents", "absent"] {
        ask["model"] = json!(model);
        let body = Bytes::from(ask.to_string());
        assert_eq!(world.send(Method::POST, "/v1/chat/completions", &[], body).await.0, 401);
    }
}

#[tokio::test]
async fn a_gateway_that_has_lost_touch_with_the_cluster_refuses() {
    let world = World::with(Setup { live: false, ..Setup::default() }).await;
    let (status, headers, body) = world.chat_as("reader", hello()).await;
    assert_eq!(
        (status, &error(&body)["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("gateway_unavailable"))
    );
    assert!(headers.contains_key("retry-after"));
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn an_answer_in_one_piece_that_nobody_waits_for_is_stopped_and_not_billed() {
    let world = World::new().await;
    world.script(|script| script.pace = Duration::from_secs(30));
    let asked = tokio::time::timeout(Duration::from_millis(300), world.chat(hello())).await;
    assert!(asked.is_err());
    for _ in 0..500 {
        if world.server.seen.lock().unwrap().left == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.server.seen.lock().unwrap().left, 1);
    assert_eq!(world.rows().len(), 0);
}

#[tokio::test]
async fn calls_under_way_finish_when_the_gateway_is_told_to_stop() {
    let world = World::new().await;
    world.script(|script| script.pace = Duration::from_millis(300));
    let (answer, ()) = tokio::join!(world.chat(hello()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stop.cancel();
    });
    assert_eq!(answer.0, 200);
    assert_eq!(world.rows().len(), 1);
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
}
