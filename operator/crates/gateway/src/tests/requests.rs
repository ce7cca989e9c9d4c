use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{World, error, hello};
use crate::error::ApiError;
use crate::request::{Checked, Endpoint, Request};
use crate::snapshot::RouteLimits;

const LIMITS: RouteLimits = RouteLimits {
    max_input_tokens: 1000,
    max_output_tokens: 100,
    requests_per_minute: 1,
    tokens_per_minute: 1,
};

fn check(endpoint: Endpoint, body: &Value) -> Result<Checked, ApiError> {
    Request::parse(endpoint, body.to_string().as_bytes())?.check(&LIMITS)
}

fn with(field: &str, value: Value) -> Value {
    let mut body = hello();
    body[field] = value;
    body
}

#[test]
fn a_field_that_breaks_a_rule_is_named_with_its_bound() {
    let cases = [
        ("n", json!(2), "must be 1"),
        ("n", json!(-1), "must be 1"),
        ("n", json!(1e9), "must be 1"),
        ("best_of", json!(5), "must be 1"),
        ("max_tokens", json!(-1), "from 1 to 100"),
        ("max_tokens", json!(0), "from 1 to 100"),
        ("max_tokens", json!(101), "from 1 to 100"),
        ("max_tokens", json!(u64::MAX), "from 1 to 100"),
        ("max_tokens", json!(1.5), "from 1 to 100"),
        ("max_tokens", json!("9"), "from 1 to 100"),
        ("max_completion_tokens", json!(1_000_000_000), "from 1 to 100"),
        ("stream", json!("yes"), "true or false"),
        ("stream_options", json!([]), "object"),
        ("stream_options", json!({"include_usage": true}), "stream: true"),
        ("messages", json!([]), "at least one"),
        ("messages", json!("hi"), "at least one"),
        ("messages", json!(["hi"]), "role"),
        ("messages", json!([{"role": "user", "content": [{"type": "image_url"}]}]), "images"),
        ("messages", json!([{"role": "user", "content": "x".repeat(40_000)}]), "1000 tokens"),
        ("model", json!(7), "string"),
        ("model", json!(""), "string"),
    ];
    for (field, value, says) in cases {
        let error = check(Endpoint::Chat, &with(field, value.clone())).unwrap_err();
        assert_eq!(error.status(), 400, "{field} {value}");
        let text = error.to_string();
        assert!(text.contains(field) && text.contains(says), "{field}: {text}");
    }
    let prompts = json!({"model": "m", "prompt": ["a", "b"]});
    assert!(check(Endpoint::Completions, &prompts).unwrap_err().to_string().contains("one string"));
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_without_a_call_or_an_echo() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", super::harness::secret("reader"));
    for body in ["", "{", "[]", "null", "\u{0}", "{\"model\": \"secret-prompt}", "{\"a\":1}x"] {
        let auth = [("authorization", bearer.as_str())];
        let (status, _, answer) = world
            .send(http::Method::POST, "/v1/chat/completions", &auth, body.as_bytes().to_vec().into())
            .await;
        assert_eq!(status, 400, "{body}");
        error(&answer);
        assert!(!String::from_utf8_lossy(&answer).contains("secret-prompt"));
    }
    assert_eq!((world.calls(), world.rows().len()), (0, 0));
}

#[test]
fn generated_tokens_are_bounded_whether_the_caller_says_so_or_not() {
    let sent =
        |body: &Value| serde_json::from_slice::<Value>(&check(Endpoint::Chat, body).unwrap().body).unwrap();
    assert_eq!(sent(&hello())["max_tokens"], 100);
    assert_eq!(sent(&with("max_tokens", json!(7)))["max_tokens"], 7);
    let modern = sent(&with("max_completion_tokens", json!(9)));
    assert_eq!((&modern["max_tokens"], &modern["max_completion_tokens"]), (&json!(9), &Value::Null));
}

#[test]
fn of_two_fields_with_one_name_the_server_sees_the_one_that_was_checked() {
    let body = br#"{"model":"m","max_tokens":5,"prompt":"x","max_tokens":6}"#;
    let checked = Request::parse(Endpoint::Completions, body).unwrap().check(&LIMITS).unwrap();
    assert_eq!(checked.most_output, 6);
    assert_eq!(String::from_utf8_lossy(&checked.body).matches("max_tokens").count(), 1);
}

#[test]
fn other_fields_reach_the_server_as_they_are() {
    let body = with("temperature", json!(0.7));
    let sent: Value = serde_json::from_slice(&check(Endpoint::Chat, &body).unwrap().body).unwrap();
    assert_eq!((&sent["temperature"], &sent["messages"]), (&json!(0.7), &body["messages"]));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = Request::parse(Endpoint::Chat, &body) {
            let _ = request.check(&LIMITS);
        }
    }

    #[test]
    fn a_prompt_is_never_estimated_below_a_token_nor_above_the_bound(prompt in ".{0,5000}") {
        let checked = check(Endpoint::Completions, &json!({"model": "m", "prompt": prompt})).unwrap();
        prop_assert!(checked.likely_input >= 1 && checked.likely_input <= checked.most_input);
        prop_assert!(checked.most_input <= 1000);
    }
}
