//! Methods, paths and versions.

use super::super::harness::secret;
use super::{Case, Wants, case, chat, good, post, refused, request, run};

fn methods() -> Vec<Case> {
    let body = chat().to_string();
    let mut cases: Vec<Case> = ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post", "EVIL"]
        .into_iter()
        .map(|method| {
            let line = format!("{method} /v1/chat/completions HTTP/1.1");
            case("method", method, request(&line, &good(), &body), refused(405, "use POST"))
        })
        .collect();
    for (name, line, wants) in [
        ("POST to the models", "POST /v1/models HTTP/1.1", refused(405, "use GET")),
        ("DELETE of a model", "DELETE /v1/models/presidents HTTP/1.1", refused(405, "use GET")),
        ("CONNECT", "CONNECT kubernetes.default.svc:443 HTTP/1.1", refused(404, "no such path")),
        ("OPTIONS *", "OPTIONS * HTTP/1.1", refused(404, "no such path")),
        ("with a blank", "PO ST /v1/chat/completions HTTP/1.1", Wants::Rejected(400)),
        ("none", " /v1/chat/completions HTTP/1.1", Wants::Rejected(400)),
        ("with a control character", "PO\u{1}ST /v1/chat/completions HTTP/1.1", Wants::Rejected(400)),
    ] {
        cases.push(case("method", name, request(line, &good(), &body), wants));
    }
    cases
}

/// Paths that are none.
const PATHS: [&str; 21] = [
    "/",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/V1/CHAT/COMPLETIONS",
    "/v1/chat/completions;x=1",
    "/v1/chat/completions%00",
    "/v1/chat%2Fcompletions",
    "/v1%2Fchat%2Fcompletions",
    "/v1/./chat/completions",
    "/v1/chat/completions/../../../internal/usage",
    "/%2e%2e/internal/usage",
    "/..%252f..%252finternal/usage",
    "/..%c0%af..%c0%afinternal/usage",
    "/internal/usage",
    "/metrics",
    "/healthz",
    "/readyz",
    "/v1/embeddings",
    "/v1/models../internal/usage",
    "http://kubernetes.default.svc/internal/usage",
];

fn paths() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "path");
    let to = |line: &str| request(line, &good(), &body);
    let mut cases = Vec::new();
    for path in PATHS {
        let bytes = to(&format!("POST {path} HTTP/1.1"));
        cases.push(case(class, path, bytes, refused(404, "no such path")));
    }
    let key = secret("reader");
    for name in ["..%2f..%2finternal", "%2e%2e", "absent", "presidents%00", "presidents/", &key] {
        let bytes = to(&format!("GET /v1/models/{name} HTTP/1.1"));
        cases.push(case(class, format!("model {name}"), bytes, refused(404, "the model does not exist")));
    }
    let long = format!("POST /{} HTTP/1.1", "a".repeat(70_000));
    let other = "POST http://169.254.169.254/v1/chat/completions HTTP/1.1";
    cases.extend([
        case(class, "of 70 kB", to(&long), Wants::Rejected(431)),
        case(class, "with a blank", to("POST /v1/chat /completions HTTP/1.1"), Wants::Rejected(400)),
        case(class, "of another host", to(other), Wants::Served(1)),
        case(class, "with a query", to("POST /v1/chat/completions?model=x&n=9 HTTP/1.1"), Wants::Served(1)),
        case(class, "the models", to("GET /v1/models HTTP/1.1"), Wants::Told("presidents".into())),
    ]);
    cases
}

fn versions() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "version");
    let hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03canary-of-TLS\r\n\r\n";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let old = request("POST /v1/chat/completions HTTP/1.0", &good().replace("host: gateway\r\n", ""), &body);
    let line = |version: &str| request(&format!("POST /v1/chat/completions {version}"), &good(), &body);
    vec![
        case(class, "1.0 without a host", old, Wants::Served(1)),
        case(class, "0.9", "GET /v1/models\r\n\r\n", Wants::Rejected(400)),
        case(class, "1.2", line("HTTP/1.2"), Wants::Rejected(400)),
        case(class, "2.0", line("HTTP/2.0"), Wants::Rejected(400)),
        case(class, "in small letters", line("http/1.1"), Wants::Rejected(400)),
        case(class, "none", line("BOGUS"), Wants::Rejected(400)),
        case(class, "2, by its preface", preface, Wants::Closed),
        case(class, "TLS", hello.to_vec(), Wants::Rejected(400)),
        case(class, "SSH", "SSH-2.0-OpenSSH_9.6\r\n\r\n", Wants::Rejected(400)),
        case(class, "nothing but NUL", vec![0; 64], Wants::Rejected(400)),
        case(class, "empty lines first", [b"\r\n\r\n", &post(&body)[..]].concat(), Wants::Served(1)),
        case(
            class,
            "bare line feeds",
            String::from_utf8(post(&body)).unwrap().replace("\r\n", "\n"),
            Wants::Served(1),
        ),
    ]
}

/// Several requests in one go.
fn pipelines() -> Vec<Case> {
    let (body, class) = (chat().to_string(), "pipeline");
    let one = |body: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\n{}content-length: {}\r\n\r\n{body}",
            good(),
            body.len()
        )
    };
    let last = String::from_utf8(post(&body)).unwrap();
    vec![
        case(class, "three", one(&body).repeat(2) + &last, Wants::Served(3)),
        case(class, "forty", one(&body).repeat(39) + &last, Wants::Served(40)),
        case(class, "one that ends the connection, and one behind", last.clone() + &last, Wants::Served(1)),
    ]
}

#[tokio::test]
async fn other_methods_paths_and_versions_reach_nothing() {
    run([methods(), paths(), versions()].concat()).await;
}

#[tokio::test]
async fn requests_in_one_go_are_answered_and_billed_one_by_one() {
    run(pipelines()).await;
}
