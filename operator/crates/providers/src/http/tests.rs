use super::stub::{KEY, Reply, Stub, client, json, text};
use super::*;
use crate::driver::{Container, Payload};

const READ: Endpoint = Endpoint::reads("read", 2000);
const CHANGE: Endpoint = Endpoint::changes("change", 4000);

async fn outcome(
    endpoint: Endpoint,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Result<Answer, Error> {
    let stub = Stub::start(move |_| reply()).await;
    let client = stub.client("Vendor");
    let call = Call::new(endpoint, Method::POST, &["a"]);
    client.ask(call, |client, answer| client.refusal(answer, &String::from_utf8_lossy(&answer.body))).await
}

async fn kind(endpoint: Endpoint, status: u16) -> &'static str {
    outcome(endpoint, move || text(status, "no")).await.unwrap_err().kind()
}

#[tokio::test]
async fn what_a_status_means_depends_on_whether_the_call_changes_something() {
    for (status, read, change) in [
        (302, "Malformed", "Ambiguous"),
        (400, "Refused", "Refused"),
        (401, "Unauthorized", "Unauthorized"),
        (402, "AccountLimit", "AccountLimit"),
        (403, "Unauthorized", "Unauthorized"),
        (404, "Refused", "Refused"),
        (408, "Unavailable", "Ambiguous"),
        (429, "Throttled", "Throttled"),
        (500, "Unavailable", "Ambiguous"),
        (503, "Unavailable", "Ambiguous"),
    ] {
        assert_eq!((kind(READ, status).await, kind(CHANGE, status).await), (read, change), "{status}");
    }
}

#[tokio::test]
async fn a_throttle_tells_the_vendors_time_or_the_least_interval() {
    let plain = outcome(READ, || text(429, "API requests too frequent")).await.unwrap_err();
    assert_eq!(plain, Error::Throttled { vendor: "Vendor", after: Duration::from_secs(2) });
    let told = outcome(READ, || Reply::Full(429, "retry-after: 17\r\n", String::new())).await.unwrap_err();
    assert_eq!(told, Error::Throttled { vendor: "Vendor", after: Duration::from_secs(17) });
    let absurd =
        outcome(READ, || Reply::Full(429, "retry-after: 99999999\r\n", String::new())).await.unwrap_err();
    assert_eq!(absurd, Error::Throttled { vendor: "Vendor", after: LONGEST_WAIT });
}

#[tokio::test]
async fn a_connection_that_is_refused_did_nothing() {
    let stub = Stub::start(|_| json(200, "{}")).await;
    let mut url = stub.url.clone();
    // Nobody listens on this port of the loopback interface.
    url.set_port(Some(1)).unwrap();
    let call = Call::new(CHANGE, Method::POST, &["a"]);
    let error = client("Vendor", url).send(call).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_happened()), ("Unavailable", false), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_comes_leaves_a_change_in_doubt() {
    assert_eq!(outcome(CHANGE, || Reply::Broken).await.unwrap_err().kind(), "Ambiguous");
    assert_eq!(outcome(READ, || Reply::Broken).await.unwrap_err().kind(), "Malformed");
    let stub = Stub::start(|_| Reply::Silence).await;
    let hasty = client("Vendor", stub.url.clone()).hasty(Duration::from_millis(1));
    for (endpoint, kind) in [(CHANGE, "Ambiguous"), (READ, "Unavailable")] {
        let call = Call::new(endpoint, Method::POST, &["a"]);
        assert_eq!(hasty.within(endpoint.effect, hasty.send(call)).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn an_answer_without_bound_is_not_read_to_its_end() {
    let long = "x".repeat(MOST_BYTES + 1);
    let error = outcome(READ, move || text(200, &long)).await.unwrap_err();
    assert!(error.to_string().contains("more than 16 MiB"), "{error}");
}

#[tokio::test]
async fn garbage_in_a_success_is_no_answer() {
    let stub = Stub::start(|_| text(200, "<html>")).await;
    let client = stub.client("Vendor");
    for (endpoint, kind) in [(CHANGE, "Ambiguous"), (READ, "Malformed")] {
        let answer = client.send(Call::new(endpoint, Method::POST, &["a"])).await.unwrap();
        assert_eq!(client.read::<Vec<u8>>(&answer).unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn the_key_is_sent_and_shown_nowhere() {
    let stub = Stub::start(|_| text(400, &format!("bad key {KEY}\nsecond\tline"))).await;
    let client = stub.client("Vendor");
    let call = Call::new(READ, Method::GET, &["a b", "..x"]).query("q", "ü&");
    let error =
        client.ask(call, |client, answer| client.refusal(answer, &String::from_utf8_lossy(&answer.body)));
    let error = error.await.unwrap_err().to_string();
    assert!(error.contains("bad key *** second line") && !error.contains(KEY), "{error}");
    assert!(!format!("{client:?} {:?}", Key::new(KEY)).contains(KEY));
    let seen = stub.seen().remove(0);
    assert_eq!(seen.line, "GET /a%20b/..x?q=%C3%BC%26");
    assert_eq!(seen.authorization, format!("Bearer {KEY}"));
}

#[tokio::test]
async fn what_was_sent_in_secret_is_not_repeated() {
    let payload = Payload::Container(Container {
        environment: vec![("A".to_owned(), "token=abcdef.0123456789abcdef".to_owned())],
        ..Container::default()
    });
    let stub = Stub::start(|_| text(400, "invalid json: {\"A\":\"token=abcdef.0123456789abcdef\"}")).await;
    let client = stub.client("Vendor");
    let call = Call::new(CHANGE, Method::POST, &["a"]).hiding(Hidden::of(&payload));
    let answer = client.send(call).await.unwrap();
    let said = client.said(&answer, &String::from_utf8_lossy(&answer.body));
    assert_eq!(said, "invalid json: {\"A\":\"token=***\"}");
}

#[test]
fn a_text_is_shown_as_one_short_line() {
    assert_eq!(shown(" a\r\n b\u{1b}[0m "), "a b [0m");
    let long = shown(&"é".repeat(300));
    assert_eq!((long.chars().count(), long.chars().last()), (200, Some('…')));
}

#[tokio::test]
async fn a_call_that_comes_too_early_is_not_sent() {
    let stub = Stub::start(|_| json(200, "{}")).await;
    let client = client("Vendor", stub.url.clone());
    client.send(Call::new(READ, Method::GET, &["a"])).await.unwrap();
    let early = client.send(Call::new(READ, Method::GET, &["a"])).await.unwrap_err();
    assert_eq!(early, Error::Throttled { vendor: "Vendor", after: READ.least });
    assert_eq!(stub.seen().len(), 1);
}

#[test]
fn an_id_that_would_be_another_path_is_refused() {
    let url = "http://localhost/v1".parse().unwrap();
    let client = client("Vendor", url);
    for id in ["", "..", "a/b", "a?b", "a b"] {
        assert_eq!(client.segment(&InstanceId(id.to_owned())).unwrap_err().kind(), "Refused", "{id}");
    }
    assert_eq!(client.segment(&InstanceId("pod_1-A".to_owned())).unwrap(), "pod_1-A");
}
