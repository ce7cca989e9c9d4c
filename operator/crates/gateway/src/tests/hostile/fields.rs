//! Fields out of bounds, of a wrong type, or of another API.

use serde_json::{Value, json};

use super::super::harness::secret;
use super::{Case, PROMPT, Wants, case, chat, good, post, refused, request, run, with};

/// Values that a field may not have, as a list, and a part of what is said.
const VALUES: [(&str, &str, &str); 29] = [
    ("n", "n must be 1", r#"[1000000, 0, -1, 2, 1.5, "1", [1], 18446744073709551616]"#),
    ("best_of", "best_of must be 1", r#"[1000000, "all", {}]"#),
    (
        "max_tokens",
        "from 1 to 100",
        r#"[0, -1, 101, 1.5, 1e18, 18446744073709551615, 18446744073709551616, "9", true, [9], {}]"#,
    ),
    (
        "max_completion_tokens",
        "from 1 to 100",
        r#"[0, -1, 101, 1.5, 1e18, 18446744073709551616, "9", false, [], {}]"#,
    ),
    ("temperature", "from 0 to 2", r#"[-0.1, 2.1, 1e308, "hot", true, [1]]"#),
    ("top_p", "from 0 to 1", r#"[-1, 1.1, "1", {}]"#),
    ("min_p", "from 0 to 1", r#"[-1, 2, "0"]"#),
    ("presence_penalty", "from -2 to 2", r#"[-2.1, 2.1, "x", false]"#),
    ("frequency_penalty", "from -2 to 2", r#"[-2.1, 1e9, []]"#),
    ("repetition_penalty", "from 0 to 10", r#"[-1, 11, "x"]"#),
    ("top_k", "whole number", r#"[-2, 1.5, "x", 18446744073709551615]"#),
    ("min_tokens", "whole number", r#"[-1, 0.5, 18446744073709551615]"#),
    ("seed", "whole number", r#"[1.5, "x", 18446744073709551615, true]"#),
    ("stop", "at most 4", r#"[7, [1], ["a", "b", "c", "d", "e"], {}, [["a"]], [null]]"#),
    ("stop_token_ids", "a list", r#"[7, "x"]"#),
    ("logit_bias", "from -100 to 100", r#"[[], {"1": 101}, {"1": "x"}, "x", 1]"#),
    ("logprobs", "from 0 to 20", r#"["yes", 21, -1, []]"#),
    ("top_logprobs", "from 0 to 20", r#"[21, true, "5"]"#),
    ("stream", "true or false", r#"["yes", 1, []]"#),
    ("stream_options", "stream_options", r#"[[], "x", {"include_usage": true}, 7]"#),
    ("echo", "true or false", r#"["x", 1]"#),
    ("ignore_eos", "true or false", r#"["x", 1]"#),
    ("suffix", "a string", r#"[7, []]"#),
    ("user", "a string", r#"[7, {}]"#),
    ("tools", "a list", r#"[{}, "x"]"#),
    ("tool_choice", "a string or an object", r#"[7, []]"#),
    ("response_format", "an object", r#"["json", []]"#),
    ("metadata", "an object", r#"["x", 7]"#),
    (
        "chat_template_kwargs",
        "an object of",
        r#"[{"chat_template": "{% for i in range(9999999) %}x{% endfor %}"}, {"tokenize": true}, {"thinking": "x"}, []]"#,
    ),
];

/// Fields of servers, not of this API: one names a host to connect to, another brings a template.
const OTHERS: [&str; 12] = [
    "chat_template",
    "prompt_embeds",
    "kv_transfer_params",
    "bootstrap_host",
    "priority",
    "lora_request",
    "prompt_logprobs",
    "use_beam_search",
    "guided_regex",
    "prompt",
    "input",
    "__proto__",
];

fn fields() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, says, values) in VALUES {
        for value in serde_json::from_str::<Vec<Value>>(values).unwrap() {
            let name: String = format!("{field} {value}").chars().take(60).collect();
            cases.push(case("field", name, post(with(field, value).to_string()), refused(400, says)));
        }
    }
    let long = with("stop", json!("x".repeat(300)));
    cases.push(case("field", "a stop of 300 bytes", post(long.to_string()), refused(400, "256 bytes")));
    for field in OTHERS {
        cases.push(case(
            "field",
            field,
            post(with(field, json!("x")).to_string()),
            refused(400, &format!("`{field}`")),
        ));
    }
    for (what, name) in
        [("a key", secret("reader")), ("a prompt", PROMPT.to_owned()), ("nothing", String::new())]
    {
        let body = with(&name, json!(1)).to_string();
        cases.push(case(
            "field",
            format!("{what} as a name"),
            post(body),
            refused(400, "leave one of them out"),
        ));
    }
    let mut streamed = with("stream", json!(true));
    streamed["stream_options"] = json!({"include_usage": "yes"});
    cases.push(case("field", "include_usage yes", post(streamed.to_string()), refused(400, "include_usage")));
    let mut both = with("max_tokens", json!(5));
    both["max_completion_tokens"] = json!(101);
    cases.push(case(
        "field",
        "two bounds, one too high",
        post(both.to_string()),
        refused(400, "max_completion_tokens"),
    ));
    cases
}

fn models() -> Vec<Case> {
    let bad = [Value::Null, json!(7), json!(""), json!(["presidents"]), json!({}), json!("x".repeat(257))];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|model| {
            let name: String = model.to_string().chars().take(40).collect();
            case("model", name, post(with("model", model).to_string()), refused(400, "1 to 256 bytes"))
        })
        .collect();
    let (key, long) = (secret("reader"), "x".repeat(256));
    for name in [
        "absent",
        "PRESIDENTS",
        " presidents",
        "presidents ",
        "presidents\0",
        "presidents\r\nx-a: 1",
        "../presidents",
        "/models/presidents",
        "http://169.254.169.254/",
        "*",
        "\u{202e}stnediserp",
        &long,
        &key,
        PROMPT,
    ] {
        let body = with("model", json!(name)).to_string();
        cases.push(case("model", format!("{name:?}"), post(body), refused(404, "the model does not exist")));
    }
    cases
}

fn messages() -> Vec<Case> {
    let (class, user) = ("messages", |content: Value| json!([{"role": "user", "content": content}]));
    let shape = "images and audio are not taken";
    let bad = [
        (json!([]), "at least one message"),
        (json!("hi"), "at least one message"),
        (json!({"role": "user"}), "at least one message"),
        (Value::Null, "at least one message"),
        (json!(["hi"]), shape),
        (json!([null]), shape),
        (json!([[]]), shape),
        (json!([7]), shape),
        (json!([{}]), shape),
        (json!([{"content": "x"}]), shape),
        (json!([{"role": 7, "content": "x"}]), shape),
        (json!([{"role": null, "content": "x"}]), shape),
        (json!([{"role": "hacker", "content": "x"}]), "a role must be one of"),
        (json!([{"role": "", "content": "x"}]), "a role must be one of"),
        (json!([{"role": "System", "content": "x"}]), "a role must be one of"),
        (json!([{"role": PROMPT, "content": "x"}]), "a role must be one of"),
        (json!([{"role": secret("reader"), "content": "x"}]), "a role must be one of"),
        (json!([{"role": "user"}]), shape),
        (json!([{"role": "assistant"}]), shape),
        (json!([{"role": "system", "content": null}]), shape),
        (json!([{"role": "assistant", "content": null, "tool_calls": "x"}]), shape),
        (json!([{"role": "user", "content": "x", "name": 7}]), "a name must be a string"),
        (user(json!(7)), shape),
        (user(json!(true)), shape),
        (user(json!({"type": "text", "text": "x"})), shape),
        (user(json!([])), shape),
        (user(json!([7])), shape),
        (user(json!(["x"])), shape),
        (user(json!([{"type": "text"}])), shape),
        (user(json!([{"type": "text", "text": 7}])), shape),
        (user(json!([{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}])), shape),
        (user(json!([{"type": "input_audio", "input_audio": {}}])), shape),
        (user(json!([{"type": "text", "text": "x"}, {"type": "file", "file": {}}])), shape),
        (user(json!("x".repeat(32_001))), "1000 tokens"),
        (json!(vec![json!({"role": "user", "content": "x".repeat(3_300)}); 10]), "1000 tokens"),
    ];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|(messages, says)| {
            let name: String = messages.to_string().chars().take(60).collect();
            case(class, name, post(with("messages", messages).to_string()), refused(400, says))
        })
        .collect();
    let hidden = with("tools", json!([{"type": "function", "function": {"name": "x".repeat(33_000)}}]));
    cases.push(case(class, "too long in the tools", post(hidden.to_string()), refused(400, "1000 tokens")));
    cases
}

fn prompts() -> Vec<Case> {
    let ask = |body: Value| request("POST /v1/completions HTTP/1.1", &good(), body.to_string());
    let bad = [
        (json!({"model": "presidents"}), "one string"),
        (json!({"model": "presidents", "prompt": null}), "one string"),
        (json!({"model": "presidents", "prompt": 7}), "one string"),
        (json!({"model": "presidents", "prompt": [PROMPT, PROMPT]}), "one string"),
        (json!({"model": "presidents", "prompt": [1, 2, 3]}), "one string"),
        (json!({"model": "presidents", "prompt": {}}), "one string"),
        (json!({"model": "presidents", "prompt": PROMPT, "n": 1_000_000}), "n must be 1"),
        (json!({"model": "presidents", "prompt": PROMPT, "best_of": 20}), "best_of must be 1"),
        (json!({"model": "presidents", "prompt": "x".repeat(32_001)}), "1000 tokens"),
        (json!({"model": "presidents", "prompt": PROMPT, "messages": []}), "`messages`"),
    ];
    let cases = bad.into_iter();
    cases.map(|(body, says)| case("prompt", cut(&body), ask(body), refused(400, says))).collect()
}

fn cut(body: &Value) -> String {
    body.to_string().chars().take(60).collect()
}

/// The values at the bounds are served.
fn within() -> Vec<Case> {
    let full = json!({
        "model": "presidents", "max_tokens": 100, "temperature": 2, "top_p": 1.0, "top_k": -1, "presence_penalty": -2,
        "frequency_penalty": 2.0, "seed": -1, "stop": ["a", "b", "c", "d"], "logit_bias": {"1": -100}, "logprobs": true,
        "top_logprobs": 20, "user": "x", "n": 1, "stream": false, "stream_options": null, "tools": [], "metadata": {},
        "chat_template_kwargs": {"enable_thinking": false}, "response_format": {"type": "text"},
        "messages": [
            {"role": "system", "content": "x"}, {"role": "developer", "content": "x"},
            {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "abe"},
            {"role": "assistant", "content": null, "tool_calls": []}, {"role": "tool", "content": "x", "tool_call_id": "1"},
        ],
    });
    let least = with("max_completion_tokens", json!(1));
    let longest = with("messages", json!([{"role": "user", "content": "x".repeat(31_980)}]));
    let nulls = json!({"model": "presidents", "messages": chat()["messages"], "n": null, "max_tokens": null, "stop": null});
    [("every field", full), ("the least", least), ("the longest prompt", longest), ("nulls", nulls)]
        .into_iter()
        .map(|(name, body)| case("within", name, post(body.to_string()), Wants::Served(1)))
        .collect()
}

#[tokio::test]
async fn a_field_out_of_bounds_or_of_another_api_is_named_and_reaches_no_server() {
    run([fields(), within()].concat()).await;
}

#[tokio::test]
async fn what_is_sent_as_a_model_is_never_said_again() {
    run(models()).await;
}

#[tokio::test]
async fn messages_are_text_by_somebody_we_know() {
    run([messages(), prompts()].concat()).await;
}
