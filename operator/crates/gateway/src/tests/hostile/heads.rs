//! Headers that two servers might read in two ways, or that would change what the gateway does.

use super::{Case, Wants, case, chat, good, refused, request, run};

const CHAT: &str = "POST /v1/chat/completions HTTP/1.1";

/// A good request with these header lines and no length of its own.
fn bare(lines: &str, body: &str) -> Vec<u8> {
    format!("{CHAT}\r\n{}{lines}\r\n{body}", good()).into_bytes()
}

/// A body in one chunk.
fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Lengths that are none, or two.
fn lengths() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "length");
    let length = body.len();
    let mut cases = Vec::new();
    for (name, lines) in [
        ("two that differ", &*format!("content-length: {length}\r\ncontent-length: 1\r\n")),
        ("a list", &format!("content-length: {length}, {length}\r\n")),
        ("with a plus", &format!("content-length: +{length}\r\n")),
        ("below zero", "content-length: -1\r\n"),
        ("in hexadecimal", "content-length: 0x10\r\n"),
        ("with an exponent", "content-length: 1e3\r\n"),
        ("with a point", "content-length: 5.0\r\n"),
        ("empty", "content-length:\r\n"),
        ("above 2^64", "content-length: 18446744073709551616\r\n"),
        ("an encoding that is none", "transfer-encoding: xchunked\r\n"),
        ("chunked, but not last", "transfer-encoding: chunked, identity\r\n"),
        ("chunked, then another", "transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n"),
        ("gzip alone", "transfer-encoding: gzip\r\n"),
    ] {
        cases.push(case(class, name, bare(lines, &body), Wants::Rejected(400)));
    }
    let old = String::from_utf8(bare("transfer-encoding: chunked\r\n", &chunked(&body))).unwrap();
    cases.push(case(class, "chunked in HTTP/1.0", old.replace("HTTP/1.1", "HTTP/1.0"), Wants::Rejected(400)));
    let most = "content-length: 18446744073709551615\r\n";
    cases.push(case(class, "2^64 - 1", bare(most, &body), Wants::Rejected(431)));
    let above = chunked(&"x".repeat(65_537));
    for (name, lines, body) in [
        ("2^62", "content-length: 4611686018427387904\r\n", ""),
        ("one above the bound", "content-length: 65537\r\n", ""),
        ("one above the bound, asked for first", "content-length: 65537\r\nexpect: 100-continue\r\n", ""),
        ("chunked above the bound", "transfer-encoding: chunked\r\n", &above),
    ] {
        cases.push(case(class, name, bare(lines, body), refused(413, "65536 bytes")));
    }
    cases
}

/// Read in one way, and closed: what follows is no request, whatever stands in front thinks.
fn smuggled() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "smuggled");
    let (length, te) = (format!("content-length: {}\r\n", body.len()), "transfer-encoding: chunked\r\n");
    let hidden = String::from_utf8(bare(&length, &body)).unwrap();
    let behind = chunked(&body) + &hidden;
    let longer = format!("content-length: {}\r\n", hidden.len() + 5);
    let no_json = refused(400, "not a JSON object");
    vec![
        case(
            class,
            "the same length twice",
            bare(&format!("{length}{length}connection: close\r\n"), &body),
            Wants::Served(1),
        ),
        case(class, "a length before chunks", bare(&format!("{length}{te}"), &behind), Wants::Served(1)),
        case(class, "a length after chunks", bare(&format!("{te}{length}"), &behind), Wants::Served(1)),
        case(
            class,
            "a length above an empty chunk",
            bare(&format!("{longer}{te}"), &format!("0\r\n\r\n{hidden}")),
            no_json,
        ),
    ]
}

fn lines() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "header");
    let rejected = [
        ("a folded line", "x-a: 1\r\n 2\r\n"),
        ("a bare carriage return", "x-a: 1\rx-b: 2\r\n"),
        ("a blank before the colon", "x-a : 1\r\n"),
        ("a length with a blank before the colon", "content-length : 5\r\n"),
        ("a blank in front", " x-a: 1\r\n"),
        ("no colon", "x-a\r\n"),
        ("no name", ": 1\r\n"),
        ("a name with parentheses", "x(a): 1\r\n"),
        ("a name with a blank", "x a: 1\r\n"),
        ("a name with a slash", "x/a: 1\r\n"),
        ("a name with a letter beyond ASCII", "x-\u{e9}: 1\r\n"),
        ("NUL in a value", "x-a: 1\u{0}2\r\n"),
        ("a control character in a value", "x-a: 1\u{1}2\r\n"),
        ("NUL in a name", "x\u{0}a: 1\r\n"),
    ];
    // The first header line: the parser skips blanks before a line that follows another only as a fold.
    let mut cases: Vec<Case> = rejected
        .into_iter()
        .map(|(name, line)| {
            case(class, name, request(CHAT, &format!("{line}{}", good()), &body), Wants::Rejected(400))
        })
        .collect();
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-a: {}\r\n", "a".repeat(70_000));
    cases.extend([
        case(class, "a hundred and more", request(CHAT, &(good() + &many), &body), Wants::Rejected(431)),
        case(class, "one of 70 kB", request(CHAT, &(good() + &long), &body), Wants::Rejected(431)),
    ]);
    cases
}

fn hosts() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "host");
    let others = good().replace("host: gateway\r\n", "");
    let one = || refused(400, "exactly one Host");
    vec![
        case(class, "none", request(CHAT, &others, &body), one()),
        case(class, "two", request(CHAT, &(good() + "host: other\r\n"), &body), one()),
        case(class, "the same twice", request(CHAT, &(good() + "host: gateway\r\n"), &body), one()),
        case(
            class,
            "of the cluster's API",
            request(CHAT, &(others.clone() + "host: kubernetes.default.svc\r\n"), &body),
            Wants::Served(1),
        ),
        case(
            class,
            "of the metadata service",
            request(CHAT, &(others + "host: 169.254.169.254:80\r\n"), &body),
            Wants::Served(1),
        ),
    ]
}

/// Headers that mean nothing here: the call is served as if they were not there.
fn ignored() -> Vec<Case> {
    let body = chat().to_string();
    [
        ("hop by hop", "x-evil: 1\r\nconnection: x-evil, authorization\r\n"),
        ("an adapter of the caller's", "x-cooperator-adapter: sha256:00\r\n"),
        ("a price of the caller's", "x-cooperator-price: 0\r\nx-cooperator-deployment: other\r\n"),
        ("a forwarded address", "x-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n"),
        ("another path", "x-original-url: /internal/usage\r\nx-rewrite-url: /metrics\r\n"),
        ("another method", "x-http-method-override: DELETE\r\n"),
        ("an upgrade", "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
        ("an upgrade to a socket", "upgrade: websocket\r\nsec-websocket-version: 13\r\n"),
        ("trailers announced", "trailer: authorization\r\nte: trailers\r\n"),
        ("a range", "range: bytes=0-0\r\nif-none-match: *\r\n"),
        ("another language of answers", "accept: text/html\r\naccept-encoding: gzip\r\n"),
        ("a trace", "traceparent: 00-00000000000000000000000000000001-0000000000000001-01\r\n"),
    ]
    .into_iter()
    .map(|(name, lines)| case("ignored", name, request(CHAT, &(good() + lines), &body), Wants::Served(1)))
    .collect()
}

#[tokio::test]
async fn a_request_is_read_in_one_way_or_not_at_all() {
    run([lengths(), smuggled(), lines()].concat()).await;
}

#[tokio::test]
async fn no_header_of_a_caller_changes_where_a_call_goes_or_what_it_costs() {
    run([hosts(), ignored()].concat()).await;
}
