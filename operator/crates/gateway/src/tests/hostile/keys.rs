use super::super::harness::secret;
use super::{Case, Wants, case, chat, refused, request, run, world};

const CHAT: &str = "POST /v1/chat/completions HTTP/1.1";
const HOST: &str = "host: gateway\r\ncontent-type: application/json\r\n";

/// Ways to have no valid key, as header lines.
fn ways() -> Vec<(&'static str, String)> {
    let good = secret("reader");
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let mut check = good.clone();
    check.replace_range(37..38, if good.ends_with('0') { "1" } else { "0" });
    let swapped: String =
        good.chars().map(|c| if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c }).collect();
    vec![
        ("none", String::new()),
        ("an empty one", bearer("")),
        ("the scheme alone", "authorization: Bearer\r\n".into()),
        ("another scheme", format!("authorization: Basic {good}\r\n")),
        ("no scheme", format!("authorization: {good}\r\n")),
        ("a tab after the scheme", format!("authorization: Bearer\t{good}\r\n")),
        ("another provider's", bearer("sk-proj-0123456789abcdef")),
        ("with one character more", bearer(&format!("{good}0"))),
        ("with one character less", bearer(&good[..good.len() - 1])),
        ("with a wrong checksum", bearer(&check)),
        ("in lower case", bearer(&swapped)),
        ("of another Collective", bearer(&secret("foreign"))),
        ("revoked", bearer(&secret("revoked"))),
        ("expired", bearer(&secret("late"))),
        ("its own hash", bearer(&cooperator_core::api_key::Key::parse(&good).unwrap().hash().to_string())),
        ("twice in one header", bearer(&format!("{good},{good}"))),
        ("in two headers", bearer(&good) + &bearer(&good)),
        ("beside a wrong one", bearer("sk-1") + &bearer(&good)),
        ("before a wrong one", bearer(&good) + &bearer("sk-1")),
        ("with a comment", bearer(&format!("{good} x"))),
        ("in quotes", bearer(&format!("\"{good}\""))),
        ("percent-encoded", bearer(&good.replace('_', "%5F"))),
        ("with a look-alike letter", bearer(&good.replacen('c', "\u{441}", 1))),
        ("of 8 KiB", bearer(&"A".repeat(8192))),
        ("in x-api-key", format!("x-api-key: {good}\r\n")),
        ("in a cookie", format!("cookie: authorization=Bearer {good}\r\n")),
        ("in Proxy-Authorization", format!("proxy-authorization: Bearer {good}\r\n")),
        ("in x-forwarded-authorization", format!("x-forwarded-authorization: Bearer {good}\r\n")),
        ("in x-cooperator-key", format!("x-cooperator-key: {good}\r\nx-cooperator-consumer: library\r\n")),
    ]
}

fn cases() -> Vec<Case> {
    let wants = || refused(401, "no valid API key");
    let body = chat().to_string();
    let mut cases: Vec<Case> = ways()
        .into_iter()
        .map(|(name, line)| case("key", name, request(CHAT, &format!("{HOST}{line}"), &body), wants()))
        .collect();
    let query = format!("POST /v1/chat/completions?api_key={} HTTP/1.1", secret("reader"));
    cases.push(case("key", "in the query", request(&query, HOST, &body), wants()));
    let user = format!("POST http://{}@gateway/v1/chat/completions HTTP/1.1", secret("reader"));
    cases.push(case("key", "in the URL", request(&user, HOST, &body), wants()));
    for (name, line, body) in [
        ("none, with a body that is no JSON", CHAT, "{"),
        ("none, with a field out of bounds", CHAT, r#"{"model":"presidents","messages":[],"n":1000000}"#),
        ("none, for a model that is missing", CHAT, r#"{"model":"absent","messages":[]}"#),
        ("none, for completions", "POST /v1/completions HTTP/1.1", "{}"),
        ("none, for the list of models", "GET /v1/models HTTP/1.1", ""),
        ("none, for a model", "GET /v1/models/presidents HTTP/1.1", ""),
        ("none, for a model that is missing", "GET /v1/models/absent HTTP/1.1", ""),
    ] {
        cases.push(case("key", name, request(line, HOST, body), wants()));
    }
    cases
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_done_and_nothing_is_said() {
    run(cases()).await;
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same_to_the_byte() {
    let world = world().await;
    let mut answers = Vec::new();
    for case in cases() {
        assert!(matches!(case.wants, Wants::Refused(401, _)));
        answers.extend(world.say(&case.bytes, 1).await.answers);
    }
    assert_eq!(answers.len(), cases().len());
    for (answer, case) in answers.iter().zip(cases()) {
        assert_eq!(answer, &answers[0], "{}", case.name);
    }
}
