//! Bodies that are not what they are said to be, or no JSON.

use serde_json::json;

use super::{Case, PROMPT, Wants, case, chat, good, post, refused, request, run, with};

const CHAT: &str = "POST /v1/chat/completions HTTP/1.1";

fn media() -> Vec<Case> {
    let body = chat().to_string();
    let others = good().replace("content-type: application/json\r\n", "");
    let cases = [
        ("no kind", "", false),
        ("text", "content-type: text/plain\r\n", false),
        ("a form", "content-type: application/x-www-form-urlencoded\r\n", false),
        ("a form in parts", "content-type: multipart/form-data; boundary=x\r\n", false),
        ("XML", "content-type: application/xml\r\n", false),
        ("JSON lines", "content-type: application/jsonl\r\n", false),
        ("an empty kind", "content-type:\r\n", false),
        ("two kinds", "content-type: application/json\r\ncontent-type: text/plain\r\n", false),
        ("a list of kinds", "content-type: text/plain, application/json\r\n", false),
        ("compressed", "content-type: application/json\r\ncontent-encoding: gzip\r\n", false),
        ("compressed twice", "content-type: application/json\r\ncontent-encoding: identity, br\r\n", false),
        ("JSON in UTF-8", "content-type: application/json; charset=utf-8\r\n", true),
        ("JSON in capitals", "content-type: APPLICATION/JSON\r\ncontent-encoding: identity\r\n", true),
    ];
    let wants = |served| if served { Wants::Served(1) } else { refused(415, "plain JSON") };
    cases
        .into_iter()
        .map(|(name, lines, served)| {
            case("media", name, request(CHAT, &format!("{others}{lines}"), &body), wants(served))
        })
        .collect()
}

fn json() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "json");
    let quoted = |text: &[u8]| {
        [br#"{"model":"presidents","messages":[{"role":"user","content":""#, text, b"\"}]}"].concat()
    };
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"model":"presidents","tools":{open}{close},"messages":[]}}"#).into_bytes()
    };
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("blanks", b"  \r\n\t ".to_vec()),
        ("a list", format!("[{body}]").into()),
        ("a string", b"\"presidents\"".to_vec()),
        ("a number", b"1".to_vec()),
        ("null", b"null".to_vec()),
        ("cut after the first brace", body.as_bytes()[..1].to_vec()),
        ("cut in a name", body.as_bytes()[..9].to_vec()),
        ("cut in the prompt", body.as_bytes()[..body.len() - 20].to_vec()),
        ("cut before the last brace", body.as_bytes()[..body.len() - 1].to_vec()),
        ("with a second object", format!("{body}{body}").into()),
        ("with something behind", format!("{body}x").into()),
        ("with NUL behind", format!("{body}\0").into()),
        ("NUL", vec![0]),
        ("a byte order mark", [b"\xef\xbb\xbf", body.as_bytes()].concat()),
        ("UTF-16", utf16),
        ("a byte that is no UTF-8", quoted(b"canary-7c1d\xff")),
        ("an overlong letter", quoted(b"\xc0\xaf")),
        ("half a surrogate in bytes", quoted(b"\xed\xa0\x80")),
        ("half a surrogate, escaped", quoted(br"\ud800")),
        ("an escape that is none", quoted(br"\x41")),
        ("a line feed in a string", quoted(b"a\nb")),
        ("NUL in a string", quoted(b"a\0b")),
        ("single quotes", body.replace('"', "'").into()),
        ("a comment", format!("/* x */{body}").into()),
        ("a comma too many", body.replacen('{', "{,", 1).into()),
        ("NaN", body.replace(r#""messages""#, r#""top_p":NaN,"messages""#).into()),
        ("Infinity", body.replace(r#""messages""#, r#""top_p":Infinity,"messages""#).into()),
        ("a number beyond all", body.replace(r#""messages""#, r#""top_p":1e999,"messages""#).into()),
        ("a number with a leading zero", body.replace(r#""messages""#, r#""n":01,"messages""#).into()),
        ("lists 200 deep", nested(200)),
        ("lists 30,000 deep", nested(30_000)),
        ("60,000 brackets", vec![b'['; 60_000]),
        ("objects 10,000 deep", r#"{"a":"#.repeat(10_000).into_bytes()),
        ("a form", format!("model=presidents&prompt={PROMPT}").into()),
    ];
    let wants = || refused(400, "not a JSON object");
    texts.into_iter().map(|(name, text)| case(class, name, post(text), wants())).collect()
}

/// Odd, and yet one thing to whoever reads it.
fn odd() -> Vec<Case> {
    let body = chat().to_string();
    let mut padded = body.clone();
    padded.push_str(&" ".repeat(65_536 - body.len()));
    vec![
        case(
            "odd",
            "an escaped NUL",
            post(with("messages", json!([{"role": "user", "content": "a\0b"}])).to_string()),
            Wants::Served(1),
        ),
        case(
            "odd",
            "the same field twice",
            post(body.replacen('{', r#"{"model":"absent","n":9,"n":1,"#, 1)),
            Wants::Served(1),
        ),
        case("odd", "exactly the largest body", post(padded), Wants::Served(1)),
        case(
            "odd",
            "the words of a stream",
            post(with("messages", json!([{"role": "user", "content": "data: [DONE]\n\n"}])).to_string()),
            Wants::Served(1),
        ),
    ]
}

/// Chunks that are none, or do not end.
fn chunks() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "chunks");
    let head = format!("{CHAT}\r\n{}transfer-encoding: chunked\r\n\r\n", good());
    let whole = format!("{:x}\r\n{body}\r\n", body.len());
    let broken = || refused(400, "the body broke off");
    let bad = |name: &str, rest: String| case(class, name, format!("{head}{rest}"), broken());
    vec![
        bad("a size that is none", format!("zz\r\n{body}\r\n0\r\n\r\n")),
        bad("a size below zero", format!("-5\r\n{body}\r\n0\r\n\r\n")),
        bad("a size with 0x", format!("0x5\r\n{body}\r\n0\r\n\r\n")),
        bad("a size above 2^64", format!("fffffffffffffffff\r\n{body}")),
        bad("no line end after a chunk", format!("5\r\n{body}")),
        bad("a chunk shorter than it says, and the next", format!("4\r\nabcdefgh\r\n0\r\n\r\n{whole}")),
        bad("an extension of 20 kB", format!("5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(20_000))),
        bad("trailers of 70 kB", format!("{whole}0\r\nx-a: {}\r\n\r\n", "x".repeat(70_000))),
        case(class, "no chunk", format!("{head}0\r\n\r\n"), refused(400, "not a JSON object")),
        case(
            class,
            "a key in the trailers",
            {
                let key = good().lines().find(|line| line.starts_with("authorization")).unwrap().to_owned();
                let lines =
                    head.replace(&format!("{key}\r\n"), "").replacen("host", "connection: close\r\nhost", 1);
                format!("{lines}{whole}0\r\n{key}\r\n\r\n")
            },
            refused(401, "no valid API key"),
        ),
        case(
            class,
            "one byte each",
            {
                let bytes: String =
                    body.bytes().map(|byte| format!("1\r\n{}\r\n", char::from(byte))).collect();
                head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n") + &bytes + "0\r\n\r\n"
            },
            Wants::Served(1),
        ),
    ]
}

#[tokio::test]
async fn a_body_that_is_not_plain_json_is_refused_unread_or_unquoted() {
    run([media(), json(), odd()].concat()).await;
}

#[tokio::test]
async fn a_body_in_broken_chunks_is_refused() {
    run(chunks()).await;
}
