use std::time::Duration;

use bytes::Bytes;
use cooperator_contract::broker::{Grant, Request};
use cooperator_core::digest::Digest;
use cooperator_core::time::{Clock as _, SystemClock};
use reqwest::{Method, StatusCode};

use super::{BUCKET, store_with_prefix};
use crate::Error;
use crate::testing::Server;

const MINUTE: Duration = Duration::from_secs(60);

fn grant(server: &Server, request: &Request) -> Grant {
    store_with_prefix(server).presign(request, MINUTE, SystemClock.now()).unwrap()
}

fn put(key: &str, bytes: &[u8]) -> Request {
    Request::Put { key: key.to_owned(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
}

fn get(key: &str) -> Request {
    Request::Get { key: key.to_owned() }
}

/// Sends as anyone could who has the URL and nothing else.
async fn send(method: Method, grant: &Grant, body: &'static [u8]) -> StatusCode {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut request = reqwest::Client::new().request(method, &grant.url);
    // The length is the client's to tell.
    for (name, value) in grant.headers.iter().filter(|(name, _)| *name != "content-length") {
        request = request.header(name, value);
    }
    request.body(body).send().await.unwrap().status()
}

#[tokio::test]
async fn a_url_does_what_it_was_signed_for_without_the_key() {
    let server = Server::start().await;
    let key = "a b/ü+~'().txt";
    let grants = [put(key, b"hello"), get(key)].map(|request| grant(&server, &request));
    assert_eq!(send(Method::PUT, &grants[0], b"hello").await, StatusCode::OK);
    assert_eq!(server.keys(BUCKET), [format!("collective/{key}")]);
    assert_eq!(send(Method::GET, &grants[1], b"").await, StatusCode::OK);
    assert!(grants.iter().all(|grant| grant.url.contains("X-Amz-Expires=60")));
    assert!(grants.iter().all(|grant| !grant.url.contains("very-secret")));
    let list = Request::List { prefix: "a b/".to_owned(), continuation: Some("a&b=c".to_owned()) };
    assert_eq!(send(Method::GET, &grant(&server, &list), b"").await, StatusCode::OK);
    let delete = grant(&server, &Request::Delete { key: key.to_owned() });
    assert_eq!(send(Method::DELETE, &delete, b"").await, StatusCode::NO_CONTENT);
    assert_eq!(server.keys(BUCKET), [""; 0]);
}

#[tokio::test]
async fn an_altered_body_is_refused_by_the_signed_length_and_sha256() {
    let server = Server::start().await;
    let grant = grant(&server, &put("key", b"hello"));
    for body in [&b"jello"[..], b"hello!", b""] {
        assert!(send(Method::PUT, &grant, body).await.is_client_error(), "{body:?}");
    }
    let without = Grant { headers: [].into(), ..grant.clone() };
    assert!(send(Method::PUT, &without, b"jello").await.is_client_error(), "the header cannot be left out");
    let mut other = grant.clone();
    let digest = super::brokered::checksum(b"jello");
    other.headers.insert("x-amz-checksum-sha256".to_owned(), digest);
    assert_eq!(send(Method::PUT, &other, b"jello").await, StatusCode::FORBIDDEN);
    assert_eq!(server.keys(BUCKET), [""; 0]);
    assert_eq!(send(Method::PUT, &grant, b"hello").await, StatusCode::OK);
}

#[tokio::test]
async fn a_url_of_one_key_cannot_be_used_for_another_nor_for_another_verb() {
    let server = Server::start().await;
    server.set_object(BUCKET, "collective/mine", "mine");
    server.set_object(BUCKET, "collective/yours", "yours");
    let mine = grant(&server, &get("mine"));
    assert_eq!(send(Method::GET, &mine, b"").await, StatusCode::OK);
    let yours = Grant { url: mine.url.replace("/mine", "/yours"), ..mine.clone() };
    assert_eq!(send(Method::GET, &yours, b"").await, StatusCode::FORBIDDEN);
    assert_eq!(send(Method::DELETE, &mine, b"").await, StatusCode::FORBIDDEN);
    assert_eq!(send(Method::PUT, &mine, b"changed").await, StatusCode::FORBIDDEN);
    let longer = Grant { url: mine.url.replace("X-Amz-Expires=60", "X-Amz-Expires=900"), ..mine.clone() };
    assert_eq!(send(Method::GET, &longer, b"").await, StatusCode::FORBIDDEN);
    let bare = Grant { url: mine.url.split('?').next().unwrap().to_owned(), ..mine };
    assert_eq!(send(Method::GET, &bare, b"").await, StatusCode::FORBIDDEN);
    let list = grant(&server, &Request::List { prefix: "mine/".to_owned(), continuation: None });
    let wider = Grant { url: list.url.replace("mine%2F", ""), ..list };
    assert_eq!(send(Method::GET, &wider, b"").await, StatusCode::FORBIDDEN);
    assert_eq!(server.object(BUCKET, "collective/mine"), Some(Bytes::from_static(b"mine")));
}

#[tokio::test]
async fn a_url_lives_minutes_and_a_store_without_a_key_signs_none() {
    let server = Server::start().await;
    let (store, now) = (store_with_prefix(&server), SystemClock.now());
    for seconds in [0, 901] {
        let error = store.presign(&get("x"), Duration::from_secs(seconds), now).unwrap_err();
        assert!(error.to_string().contains("900 s"), "{error}");
    }
    assert_eq!(store.presign(&get("x"), Duration::from_secs(900), now).unwrap().lifetime_seconds, 900);
    let keyless = crate::Store::brokered(&server.location(BUCKET), "http://broker", "token", 1).unwrap();
    assert!(matches!(keyless.presign(&get("x"), MINUTE, now), Err(Error::Invalid { .. })));
}
