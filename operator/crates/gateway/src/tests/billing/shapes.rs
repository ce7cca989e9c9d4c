//! Answers that are cut, doubled, out of order, or none.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;

use super::super::harness::{World, error, hello};
use super::super::model::Raw;
use super::{Billed, FAILED, completed, only_row, report};

/// What a server says of itself and no caller may read.
const INSIDE: &str = "Traceback: torch.py at 10.0.3.7";

fn event(text: impl std::fmt::Display) -> String {
    format!("data: {text}\n\n")
}

fn text(text: &str) -> String {
    event(json!({"choices": [{"delta": {"content": text}}]}))
}

fn usage(input: i64, output: i64) -> String {
    event(json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output}}))
}

fn texts() -> String {
    [text("Fellow"), text(" citizens"), text(",")].concat()
}

fn stop() -> String {
    event(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
}

fn done() -> String {
    event("[DONE]")
}

/// A stream, whether its connection breaks then, and what is billed.
type Stream = (&'static str, String, bool, Billed);

fn row(name: &'static str, parts: &[String], billed: Billed) -> Stream {
    (name, parts.concat(), false, billed)
}

fn all() -> String {
    [texts(), stop(), usage(11, 3), done()].concat()
}

/// Streams with usage twice, too early, too late or not at all.
fn counted() -> Vec<Stream> {
    let running = |n: u64| {
        let usage = json!({"prompt_tokens": 11, "completion_tokens": n});
        event(json!({"choices": [{"delta": {"content": "x"}}], "usage": usage}))
    };
    let null = r#"{"choices":null,"usage":{"prompt_tokens":11,"completion_tokens":3}}"#;
    let doubled = r#"{"choices":[],"usage":{"completion_tokens":3},"usage":{"completion_tokens":99}}"#;
    let (good, here) = (completed(11, 3), completed(4, 3));
    vec![
        row("as it must be", &[all()], good),
        row("usage twice, the same", &[texts(), stop(), usage(11, 3), usage(11, 3), done()], good),
        row("usage twice, growing", &[texts(), usage(11, 1), stop(), usage(11, 3), done()], good),
        row("usage twice, the second broken", &[texts(), stop(), usage(11, 3), usage(-1, -1), done()], good),
        row("usage with every token", &[running(1), running(2), running(3), stop(), done()], good),
        row("usage too early", &[text("a"), usage(11, 1), text("b"), text("c"), stop(), done()], good),
        row("usage first of all", &[usage(11, 0), texts(), stop(), done()], good),
        row("usage beside choices of null", &[texts(), stop(), event(null), done()], good),
        row("no usage", &[texts(), stop(), done()], here),
        row("usage behind the end", &[texts(), stop(), done(), usage(11, 90)], here),
        row("two usages in one event", &[texts(), stop(), event(doubled), done()], FAILED),
    ]
}

/// Streams without an end, with two, or with a failure in them.
fn ended() -> Vec<Stream> {
    let failure = || event(json!({"error": {"message": INSIDE}}));
    let cut = || "data: {\"choi".to_owned();
    vec![
        row("text behind the end", &[all(), text("more").repeat(50)], completed(11, 3)),
        row("the end twice", &[all(), done()], completed(11, 3)),
        row("no end, but a reason to stop", &[texts(), stop(), usage(11, 3)], completed(11, 3)),
        row("no end and no reason", &[texts(), usage(11, 3)], FAILED),
        row("cut in an event", &[texts(), cut()], FAILED),
        row("cut in the usage, after the reason", &[texts(), stop(), cut()], completed(4, 3)),
        ("broken in an event", [texts(), cut()].concat(), true, FAILED),
        ("broken after the usage, before a reason", [texts(), usage(11, 3)].concat(), true, FAILED),
        row("an error after some text", &[texts(), failure()], FAILED),
        row("an error at once", &[failure()], FAILED),
        row("an error after the usage", &[texts(), usage(11, 3), failure(), done()], FAILED),
        row("an event that is no JSON", &[texts(), event(INSIDE), done()], FAILED),
        row("an event that is a list", &[texts(), event("[]"), event("[1]"), done()], FAILED),
        row("an event of 2 MB", &[texts(), text(&"x".repeat(2_000_000)), done()], FAILED),
    ]
}

/// Streams that look odd.
fn odd() -> Vec<Stream> {
    let tools = event(json!({"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}));
    vec![
        row("nothing", &[], FAILED),
        row("nothing but the end", &[done()], completed(4, 0)),
        row("nothing but usage and the end", &[usage(11, 0), done()], completed(11, 0)),
        row("no text in its events", &[text("").repeat(9), stop(), done()], completed(4, 0)),
        row("tools instead of text", &[tools, stop(), done()], completed(4, 1)),
        row("lines that end in CR LF", &[all().replace('\n', "\r\n")], completed(11, 3)),
        row("comments between", &[all().replace("data:", ": ping\n\ndata:")], completed(11, 3)),
        row("no blank after the colon", &[all().replace("data: ", "data:")], completed(11, 3)),
        row(
            "an answer in one piece",
            &[json!({"choices": [{"message": {"content": "x"}}]}).to_string()],
            FAILED,
        ),
    ]
}

#[tokio::test]
async fn of_a_stream_that_is_cut_or_out_of_order_what_was_sent_is_billed_or_nothing() {
    let world = World::new().await;
    let mut classes = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, stream, breaks, expected) in [counted(), ended(), odd()].concat() {
        for bytes in [usize::MAX, 7] {
            // Cut anywhere, events are the same; the long one would take too long in small pieces.
            let bytes = if stream.len() > 100_000 { 65_536 } else { bytes };
            let pieces = stream.as_bytes().chunks(bytes).map(Bytes::copy_from_slice).collect();
            let raw = Raw { status: 200, kind: "text/event-stream", pieces, breaks };
            world.script(|script| script.raw = Some(raw));
            let before = world.rows().len();
            let heard = world.stream(hello()).await.collect().await.unwrap().to_bytes();
            let heard = String::from_utf8_lossy(&heard);
            let found = only_row(&world, before, name).await;
            let told = heard.contains("upstream_unavailable");
            if found != expected || told != (expected == FAILED) || heard.contains(INSIDE) {
                wrong
                    .push(format!("{name}: {found:?} instead of {expected:?}; heard {:?}", heard.get(..200)));
            }
        }
        *classes.entry("streams").or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    report(&classes);
}

#[tokio::test]
async fn an_answer_in_one_piece_that_is_none_is_a_failure_and_bills_nothing() {
    let world = World::new().await;
    let good =
        r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":11,"completion_tokens":3}}"#;
    let cases: Vec<(&'static str, u16, String, bool)> = vec![
        ("empty", 200, String::new(), false),
        ("no JSON", 200, INSIDE.to_owned(), false),
        ("cut", 200, good[..50].to_owned(), false),
        ("broken", 200, good[..50].to_owned(), true),
        ("broken after the last brace", 200, good.to_owned(), true),
        ("a list", 200, "[null]".to_owned(), false),
        ("null", 200, "null".to_owned(), false),
        ("without choices", 200, r#"{"usage":{"prompt_tokens":11,"completion_tokens":3}}"#.to_owned(), false),
        ("an error with 200", 200, format!(r#"{{"choices":[],"error":{{"message":"{INSIDE}"}}}}"#), false),
        ("two usages", 200, good.replacen('{', r#"{"usage":{"completion_tokens":99},"#, 1), false),
        ("of 17 MB", 200, good.replace("\"x\"", &format!("\"{}\"", "x".repeat(17_000_000))), false),
        ("created", 201, good.to_owned(), false),
        ("elsewhere", 302, good.to_owned(), false),
        ("not allowed", 401, INSIDE.to_owned(), false),
        ("not found", 404, INSIDE.to_owned(), false),
        ("failed", 500, good.to_owned(), false),
        ("failed with text", 502, INSIDE.to_owned(), false),
    ];
    let mut classes = BTreeMap::new();
    for (name, status, body, breaks) in cases {
        let raw = Raw { status, kind: "application/json", pieces: vec![body.into()], breaks };
        world.script(|script| script.raw = Some(raw));
        let before = world.rows().len();
        let (status, body) = world.chat(hello()).await;
        assert_eq!((status.as_u16(), &error(&body)["code"]), (502, &json!("upstream_unavailable")), "{name}");
        assert!(!String::from_utf8_lossy(&body).contains(INSIDE), "{name}");
        assert_eq!(only_row(&world, before, name).await, FAILED, "{name}");
        *classes.entry("answers").or_default() += 1;
    }
    report(&classes);
}

#[tokio::test]
async fn a_servers_refusal_is_one_line_for_the_caller_and_no_row() {
    let world = World::new().await;
    let page = format!("<html>{INSIDE}</html>");
    let long = json!({"error": {"message": format!("too long\r\n{}", "x".repeat(9000)), "code": "context_length_exceeded"}});
    for (body, says, code) in [
        (
            json!({"error": {"message": "the prompt has 2000 tokens, the most is 1024"}}).to_string(),
            "2000 tokens",
            json!(null),
        ),
        (
            json!({"object": "error", "message": "the prompt has 2000 tokens"}).to_string(),
            "2000 tokens",
            json!(null),
        ),
        (long.to_string(), "too long  xxx", json!("context_length_exceeded")),
        (
            json!({"error": {"message": 7, "code": "NOT A CODE"}}).to_string(),
            "refuses the request",
            json!(null),
        ),
        (json!({"detail": [{"msg": INSIDE}]}).to_string(), "refuses the request", json!(null)),
        (page, "refuses the request", json!(null)),
        (String::new(), "refuses the request", json!(null)),
    ] {
        for status in [400, 413, 422] {
            let raw = Raw { status, kind: "text/html", pieces: vec![body.clone().into()], breaks: false };
            world.script(|script| script.raw = Some(raw));
            let (found, answer) = world.chat(hello()).await;
            let error = error(&answer);
            assert_eq!((found.as_u16(), &error["code"]), (status, &code));
            assert!(error["message"].as_str().unwrap().contains(says), "{error}");
            assert!(!error.to_string().contains(INSIDE), "{error}");
        }
    }
    assert_eq!(world.rows().len(), 0);
    eprintln!("21 refusals of a server");
}
