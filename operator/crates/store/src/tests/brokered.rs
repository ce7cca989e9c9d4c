use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use bytes::Bytes;
use cooperator_contract::broker::{Ask, Granted, Request};
use cooperator_core::digest::Digest;
use cooperator_core::time::{Clock as _, SignedDuration, TestClock, Timestamp};

use super::{BUCKET, PART, scratch, store_with_prefix};
use crate::testing::{Fault, Rule, Server};
use crate::{Error, Store};

const TOKEN: &str = "very-secret-token";

/// What S3 calls the sha256 of `bytes`.
pub(super) fn checksum(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(Digest::of(bytes).as_bytes())
}

/// A broker that grants all but what is below `others/`, and is told to be away or not.
#[derive(Clone)]
struct Desk {
    store: Store,
    clock: TestClock,
    asked: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Option<StatusCode>>>,
}

impl Desk {
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn answers(&self, status: Option<StatusCode>) {
        *self.answer.lock().unwrap() = status;
    }
}

async fn answer(State(desk): State<Desk>, headers: HeaderMap, Json(ask): Json<Ask>) -> Response {
    desk.asked.lock().unwrap().extend(ask.requests.clone());
    if headers["authorization"] != format!("Bearer {TOKEN}") || ask.attempt != 3 {
        return (StatusCode::UNAUTHORIZED, "no run of yours\n").into_response();
    }
    if let Some(status) = *desk.answer.lock().unwrap() {
        return (status, "as told\n").into_response();
    }
    if ask.requests.iter().any(|request| request.key().starts_with("others/")) {
        return (StatusCode::FORBIDDEN, "request 1: a training reads less\n").into_response();
    }
    let sign = |request| desk.store.presign(request, Duration::from_secs(600), desk.clock.now()).unwrap();
    Json(Granted { grants: ask.requests.iter().map(sign).collect() }).into_response()
}

/// A storage, its broker, and a store that knows no key.
async fn world() -> (Server, Desk, Store) {
    let clock = TestClock::new("2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap());
    let server = Server::start_at(Arc::new(clock.clone())).await;
    let signer = store_with_prefix(&server);
    let desk = Desk { store: signer.clone(), clock, asked: Arc::default(), answer: Arc::default() };
    let router = Router::new().fallback(answer).with_state(desk.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/storage", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    // The endpoint of its location is never called: where URLs lead is the broker's to say.
    let mut location = signer.location().clone();
    location.endpoint = "http://127.0.0.1:9".to_owned();
    let store = Store::brokered(&location, &url, TOKEN, 3).unwrap().with_attempts(2);
    (server, desk, store)
}

#[tokio::test]
async fn a_store_without_a_key_does_what_one_with_a_key_does() {
    let (server, _desk, store) = world().await;
    store.put("a b/ü+.txt", Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(server.keys(BUCKET), ["collective/a b/ü+.txt"]);
    assert_eq!(store.get("a b/ü+.txt").await.unwrap(), "hello");
    assert_eq!(store.head("a b/ü+.txt").await.unwrap(), Some(5));
    store.delete("a b/ü+.txt").await.unwrap();
    assert_eq!(store.head("a b/ü+.txt").await.unwrap(), None);
    assert!(store.get("a b/ü+.txt").await.unwrap_err().is_not_found());

    let digest = store.put_blob(Bytes::from_static(b"works")).await.unwrap();
    store.put_blob(Bytes::from_static(b"works")).await.unwrap();
    assert_eq!(store.get_blob(&digest).await.unwrap(), "works");
    assert_eq!(server.calls().iter().filter(|call| call.contains("PUT works/collective/blobs")).count(), 1);
    let key = |digest: &Digest| format!("manifests/{}.json", digest.hex());
    let digest = store.put_manifest(key, &vec!["a", "b"]).await.unwrap();
    assert_eq!(store.get_manifest::<Vec<String>>(&key(&digest), &digest).await.unwrap(), ["a", "b"]);
    store.put("empty", Bytes::new()).await.unwrap();
    assert_eq!(store.get("empty").await.unwrap(), "");
    assert!(server.calls().iter().all(|call| call.contains("X-Amz-Signature=")), "{:?}", server.calls());
}

#[tokio::test]
async fn what_comes_is_verified_without_a_key_too() {
    let (server, _desk, store) = world().await;
    let digest = store.put_blob(Bytes::from_static(b"works")).await.unwrap();
    server.fault(Rule::new(Fault::Corrupt).method("GET").times(1));
    let error = store.get_blob(&digest).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { expected, .. } if expected == digest), "{error:?}");
}

#[tokio::test]
async fn a_listing_without_a_key_has_all_pages() {
    let (server, _desk, store) = world().await;
    for index in 0..250 {
        server.set_object(BUCKET, &format!("collective/finetunes/u/{index:03}"), "x");
    }
    server.set_object(BUCKET, "elsewhere/finetunes/u/1", "x");
    let listed = store.list("finetunes/u/").await.unwrap();
    assert_eq!(listed.len(), 250);
    assert_eq!((listed[249].key.as_str(), listed[249].size), ("finetunes/u/249", 1));
}

#[tokio::test]
async fn a_large_file_goes_in_one_call_and_its_download_goes_on_where_it_broke_off() {
    let (server, _desk, store) = world().await;
    let (_folder, file) = scratch();
    let bytes: Vec<u8> = (0..=PART).map(|index| (index % 251) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let digest = store.put_blob_file(&file).await.unwrap();
    let puts: Vec<String> = server.calls().into_iter().filter(|call| call.starts_with("PUT")).collect();
    assert!(puts.len() == 1 && !puts[0].contains("partNumber"), "{puts:?}");
    let back = file.with_extension("back");
    server.fault(Rule::new(Fault::Truncate).method("GET").times(1));
    store.get_blob_file(&digest, &back).await.unwrap();
    assert!(std::fs::read(&back).unwrap() == bytes);
}

#[tokio::test]
async fn a_file_that_is_too_large_for_one_call_is_refused_before_it_is_read() {
    let (_server, desk, store) = world().await;
    let (_folder, file) = scratch();
    std::fs::File::create(&file).unwrap().set_len((5 << 30) + 1).unwrap();
    let error = store.put_file("big", &file).await.unwrap_err();
    assert!(error.to_string().contains("5368709120 are the most"), "{error}");
    assert_eq!(desk.asked(), 0);
}

#[tokio::test]
async fn a_url_is_used_again_and_renewed_once_it_has_run_out() {
    let (server, desk, store) = world().await;
    server.set_object(BUCKET, "collective/key", "value");
    for _ in 0..3 {
        store.get("key").await.unwrap();
    }
    assert_eq!(desk.asked(), 1);
    desk.clock.advance(SignedDuration::from_secs(601));
    assert_eq!(store.get("key").await.unwrap(), "value");
    assert_eq!(desk.asked(), 2, "Garage answers 400 to a URL that has run out");
    server.fault(Rule::new(Fault::Status(403)).times(1));
    assert_eq!(store.get("key").await.unwrap(), "value");
    assert_eq!(desk.asked(), 3, "AWS answers 403");
    server.fault(Rule::new(Fault::Status(403)));
    let error = store.get("key").await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    assert_eq!(desk.asked(), 4, "it is renewed once, no more");
}

#[tokio::test]
async fn what_the_broker_does_not_grant_is_not_tried_again() {
    let (server, desk, store) = world().await;
    let error = store.get("others/key").await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error:?}");
    assert!(error.to_string().contains("403 request 1: a training reads less"), "{error}");
    desk.answers(Some(StatusCode::CONFLICT));
    assert!(matches!(store.get("key").await.unwrap_err(), Error::NotGranted { .. }));
    desk.answers(Some(StatusCode::PRECONDITION_FAILED));
    let error = store.put("key", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, Error::Published { .. }), "{error:?}");
    assert_eq!((desk.asked(), server.calls().len()), (3, 0));
}

#[tokio::test]
async fn a_broker_that_is_away_or_asked_too_often_is_asked_again() {
    let (server, desk, store) = world().await;
    server.set_object(BUCKET, "collective/key", "value");
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS] {
        let before = desk.asked();
        desk.answers(Some(status));
        assert!(store.get("key").await.unwrap_err().is_transient());
        assert_eq!(desk.asked(), before + 2);
    }
    desk.answers(None);
    server.fault(Rule::new(Fault::Status(503)).times(1));
    assert_eq!(store.get("key").await.unwrap(), "value");
    assert_eq!(desk.asked(), 5, "the storage was away, its URL is still good");
}

#[tokio::test]
async fn no_error_tells_a_key_a_token_or_a_url() {
    let (server, desk, store) = world().await;
    let mut texts = vec![format!("{store:?}")];
    let mut tell = |error: Error| texts.push(format!("{error} {error:?}"));
    for status in [400, 403, 404, 503] {
        server.fault(Rule::new(Fault::Status(status)));
        tell(store.get("key").await.unwrap_err());
        tell(store.put("key", Bytes::from_static(b"x")).await.unwrap_err());
        tell(store.list("prefix/").await.unwrap_err());
        server.heal();
    }
    for status in [400, 401, 409, 500] {
        desk.answers(Some(StatusCode::from_u16(status).unwrap()));
        tell(store.get("other").await.unwrap_err());
    }
    desk.answers(None);
    drop(server);
    tell(store.get("another").await.unwrap_err());
    let location = store.location().clone();
    let nobody = Store::brokered(&location, "http://127.0.0.1:9/storage", TOKEN, 3).unwrap().with_attempts(1);
    tell(nobody.get("key").await.unwrap_err());
    for text in texts {
        assert!(!text.contains('\n') && !text.contains("very-secret"), "{text}");
        assert!(!text.contains("X-Amz-") && !text.contains("Signature"), "{text}");
    }
}
