use serde_json::json;

use super::*;

fn chat_with(field: &str, value: Value) -> Result<Checked, ApiError> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body[field] = value;
    chat(body.to_string().as_bytes(), 9)
}

#[test]
fn defaults_are_those_of_openai() {
    let checked = chat_with("user", json!("someone")).unwrap();
    assert_eq!(checked.sampling, SamplingOptions { temperature: 1.0, top_p: 1.0, seed: 9 });
    assert_eq!((checked.stream, checked.include_usage, checked.max_tokens), (false, false, None));
    let checked = completion(br#"{"model": "m", "prompt": "a"}"#, 9).unwrap();
    assert_eq!(checked.max_tokens, Some(16));
}

#[test]
fn every_refusal_names_its_field() {
    let refusals = [
        ("n", json!(2)),
        ("n", json!(0)),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-5)),
        ("max_tokens", json!(99_999_999_999_i64)),
        ("max_completion_tokens", json!(0)),
        ("temperature", json!(2.1)),
        ("temperature", json!(-0.1)),
        ("top_p", json!(1.5)),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stop", json!("x".repeat(257))),
        ("tools", json!([{"type": "function"}])),
        ("response_format", json!({"type": "json_object"})),
        ("logprobs", json!(true)),
        ("logit_bias", json!({"5": 1})),
        ("presence_penalty", json!(0.5)),
        ("messages", json!([])),
        ("messages", json!([{"role": "user", "content": [{"type": "image_url"}]}])),
    ];
    for (field, value) in refusals {
        let error = chat_with(field, value.clone()).unwrap_err();
        assert_eq!(error.param, Some(field), "{value}: {error:?}");
        assert_eq!(error.status, 400);
        assert!(error.message.contains(field) && !error.message.contains('\n'), "{}", error.message);
    }
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    for (field, value) in [
        ("n", json!(1)),
        ("n", Value::Null),
        ("tools", json!([])),
        ("logprobs", json!(false)),
        ("logit_bias", Value::Null),
        ("presence_penalty", json!(0)),
        ("response_format", json!({"type": "text"})),
        ("store", json!(true)),
    ] {
        chat_with(field, value).unwrap();
    }
}

#[test]
fn text_parts_are_joined() {
    let parts =
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
    let checked = chat_with("messages", parts).unwrap();
    assert_eq!(
        checked.prompt,
        Prompt::Chat(vec![Message { role: "user".to_owned(), content: "ab".to_owned() }])
    );
}

#[test]
fn a_completion_takes_one_prompt_as_text_or_tokens() {
    let prompt = |value: Value| {
        completion(json!({"model": "m", "prompt": value}).to_string().as_bytes(), 1)
            .map(|checked| checked.prompt)
    };
    assert_eq!(prompt(json!(["a"])).unwrap(), Prompt::Text("a".to_owned()));
    assert_eq!(prompt(json!([1, 2])).unwrap(), Prompt::Tokens(vec![1, 2]));
    assert_eq!(prompt(json!([[1, 2]])).unwrap(), Prompt::Tokens(vec![1, 2]));
    assert_eq!(prompt(json!(["a", "b"])).unwrap_err().param, Some("prompt"));
    let echo = completion(br#"{"model": "m", "prompt": "a", "echo": true}"#, 1).unwrap_err();
    assert_eq!(echo.param, Some("echo"));
}

#[test]
fn what_is_no_json_is_refused_in_one_line() {
    for body in ["", "{", "[]", "{\"model\": 1}", "\u{0}"] {
        let error = chat(body.as_bytes(), 1).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(!error.message.contains('\n'), "{}", error.message);
    }
}
