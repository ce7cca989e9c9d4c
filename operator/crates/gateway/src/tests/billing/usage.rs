use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::BodyExt;

use super::super::harness::{World, hello};
use super::super::model::Raw;
use super::{Billed, completed, only_row, report};

/// Who counts.
#[derive(Clone, Copy)]
enum Count {
    /// The server says so much.
    Said(u64),
    /// We.
    Here,
}
use Count::{Here, Said};

/// What a server says it used, and what counts of it. The prompt of `hello` is at most 79 tokens, by rule of thumb 4;
/// at most 100 are generated.
const USAGES: [(&str, &str, Count, Count); 33] = [
    ("as it must be", r#"{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}"#, Said(11), Said(3)),
    ("nothing used", r#"{"prompt_tokens":0,"completion_tokens":0}"#, Said(0), Said(0)),
    ("at the bounds", r#"{"prompt_tokens":79,"completion_tokens":100}"#, Said(79), Said(100)),
    ("a token more than reserved", r#"{"prompt_tokens":80,"completion_tokens":101}"#, Said(79), Said(100)),
    (
        "more prompt than the model takes",
        r#"{"prompt_tokens":1001,"completion_tokens":3}"#,
        Said(79),
        Said(3),
    ),
    ("negative", r#"{"prompt_tokens":-5,"completion_tokens":-1}"#, Here, Here),
    ("minus zero", r#"{"prompt_tokens":-0,"completion_tokens":-0}"#, Here, Here),
    ("least of 64 bits", r#"{"prompt_tokens":-9223372036854775808,"completion_tokens":3}"#, Here, Said(3)),
    ("fractions", r#"{"prompt_tokens":1.5,"completion_tokens":2.5}"#, Here, Here),
    ("whole, written as fractions", r#"{"prompt_tokens":11.0,"completion_tokens":3.0}"#, Here, Here),
    ("with an exponent", r#"{"prompt_tokens":1e1,"completion_tokens":3e0}"#, Here, Here),
    ("strings", r#"{"prompt_tokens":"many","completion_tokens":"few"}"#, Here, Here),
    ("strings of digits", r#"{"prompt_tokens":"11","completion_tokens":"3"}"#, Here, Here),
    ("flags", r#"{"prompt_tokens":true,"completion_tokens":false}"#, Here, Here),
    ("nulls", r#"{"prompt_tokens":null,"completion_tokens":null}"#, Here, Here),
    ("lists", r#"{"prompt_tokens":[11],"completion_tokens":[3]}"#, Here, Here),
    ("objects", r#"{"prompt_tokens":{"n":11},"completion_tokens":{"n":3}}"#, Here, Here),
    (
        "2^63",
        r#"{"prompt_tokens":9223372036854775808,"completion_tokens":9223372036854775808}"#,
        Said(79),
        Said(100),
    ),
    (
        "2^64 - 1",
        r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615}"#,
        Said(79),
        Said(100),
    ),
    (
        "2^64",
        r#"{"prompt_tokens":18446744073709551616,"completion_tokens":18446744073709551616}"#,
        Here,
        Here,
    ),
    ("10^300", r#"{"prompt_tokens":1e300,"completion_tokens":1e300}"#, Here, Here),
    ("empty", "{}", Here, Here),
    ("the prompt alone", r#"{"prompt_tokens":11}"#, Said(11), Here),
    ("what was generated alone", r#"{"completion_tokens":3}"#, Here, Said(3)),
    ("null", "null", Here, Here),
    ("a string", r#""11 and 3""#, Here, Here),
    ("a number", "14", Here, Here),
    ("a list", "[11,3]", Here, Here),
    (
        "a total below the sum",
        r#"{"prompt_tokens":11,"completion_tokens":3,"total_tokens":1}"#,
        Said(11),
        Said(3),
    ),
    (
        "a total above the sum",
        r#"{"prompt_tokens":11,"completion_tokens":3,"total_tokens":999999}"#,
        Said(11),
        Said(3),
    ),
    (
        "a total that is none",
        r#"{"prompt_tokens":11,"completion_tokens":3,"total_tokens":"x"}"#,
        Said(11),
        Said(3),
    ),
    ("a number twice", r#"{"prompt_tokens":1,"prompt_tokens":11,"completion_tokens":3}"#, Said(11), Said(3)),
    (
        "details beside it",
        r#"{"prompt_tokens":11,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":-7}}"#,
        Said(11),
        Said(3),
    ),
];

fn expected(input: Count, output: Count, counted_here: u64) -> Billed {
    let input = if let Said(said) = input { said } else { 4 };
    let output = if let Said(said) = output { said } else { counted_here };
    completed(input, output)
}

#[tokio::test]
async fn whatever_a_server_says_it_used_no_more_is_billed_than_was_reserved() {
    let world = World::new().await;
    let mut classes = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, usage, input, output) in USAGES {
        let whole =
            format!(r#"{{"choices":[{{"message":{{"content":"Fellow citizens,"}}}}],"usage":{usage}}}"#);
        answer(&world, "application/json", whole);
        let before = world.rows().len();
        assert_eq!(world.chat(hello()).await.0, 200, "{name}");
        // Sixteen bytes of text, four to a token.
        check(&mut wrong, name, only_row(&world, before, name).await, expected(input, output, 4));
        *classes.entry("usage in one piece").or_default() += 1;

        let event = |text: &str| format!("data: {text}\n\n");
        let piece = |text: &str| event(&format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#));
        let events = [
            piece("Fellow"),
            piece(" citizens"),
            piece(","),
            event(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#),
            event(&format!(r#"{{"choices":[],"usage":{usage}}}"#)),
            event("[DONE]"),
        ];
        answer(&world, "text/event-stream", events.concat());
        let before = world.rows().len();
        drop(world.stream(hello()).await.collect().await);
        // Three events with text.
        check(&mut wrong, name, only_row(&world, before, name).await, expected(input, output, 3));
        *classes.entry("usage in a stream").or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    report(&classes);
}

fn answer(world: &World, kind: &'static str, body: String) {
    let raw = Raw { status: 200, kind, pieces: vec![Bytes::from(body)], breaks: false };
    world.script(|script| script.raw = Some(raw));
}

fn check(wrong: &mut Vec<String>, name: &str, found: Billed, expected: Billed) {
    if found != expected {
        wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
    }
}
