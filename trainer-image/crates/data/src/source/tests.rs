use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use cooperator_contract::outcome::FailureReason;
use cooperator_store::testing::Server;
use futures::StreamExt as _;
use tempfile::TempDir;

use super::*;

mod claims;
mod uris;
mod web;

fn source(uri: &str) -> Source {
    Source { storage_uri: uri.to_owned(), digest: None }
}

fn reader(server: &Server) -> Reader {
    Reader::new(server.location("own"), Credentials::new("GKtest", "test-secret"), Guard::ANY)
}

fn names(fetched: &Fetched) -> Vec<&str> {
    fetched.files.iter().map(|file| file.name.as_str()).collect()
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_prefix_in_a_bucket_is_read_as_a_folder_whose_digest_anyone_can_compute() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    for (key, text) in
        [("in/b.txt", "two"), ("in/a/x.txt", "one"), ("in/", ""), ("in/skip.bin", "-"), ("out.txt", "-")]
    {
        server.set_object("works", key, text);
    }
    let wanted = |name: &str| !name.ends_with(".bin");
    let fetched = reader(&server).fetch(&source("s3://works/in/"), work.path(), wanted).await.unwrap();
    assert_eq!(names(&fetched), ["a/x.txt", "b.txt"]);
    let lines = format!("{}  a/x.txt\n{}  b.txt\n", Digest::of(b"one").hex(), Digest::of(b"two").hex());
    assert_eq!(fetched.digest, Digest::of(lines.as_bytes()));
    assert_eq!(std::fs::read(&fetched.files[1].path).unwrap(), b"two");
}

#[tokio::test]
async fn one_object_has_its_own_digest_and_another_one_than_asked_for_is_refused_naming_both() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    server.set_object("works", "a.gguf", "bytes");
    let mut asked = Source { digest: Some(Digest::of(b"bytes")), ..source("s3://works/a.gguf") };
    let fetched = reader(&server).fetch(&asked, work.path(), |_| true).await.unwrap();
    assert_eq!((names(&fetched), fetched.digest), (vec!["a.gguf"], Digest::of(b"bytes")));
    asked.digest = Some(Digest::of(b"other"));
    let error = reader(&server).fetch(&asked, work.path(), |_| true).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::DigestMismatch);
    let (text, digests) = (error.to_string(), [Digest::of(b"bytes"), Digest::of(b"other")]);
    assert!(digests.iter().all(|digest| text.contains(&digest.to_string())), "{text}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let root = TempDir::new().unwrap();
    let reader = reader(&server).with_pvc_root(root.path());
    std::fs::create_dir(root.path().join("empty")).unwrap();
    for uri in ["s3://works/none.txt", "s3://works/none/", "pvc://none/a", "pvc://empty/none", "pvc://empty"]
    {
        let error = reader.fetch(&source(uri), work.path(), |_| true).await.unwrap_err();
        assert_eq!(error.reason(), FailureReason::SourceNotFound, "{uri}: {error}");
    }
}

#[tokio::test]
async fn a_link_that_leads_out_of_a_claim_is_refused_and_one_inside_is_read() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let root = TempDir::new().unwrap();
    let claim = root.path().join("claim");
    std::fs::create_dir_all(claim.join("in/deep")).unwrap();
    std::fs::write(claim.join("in/deep/a.txt"), "one").unwrap();
    std::os::unix::fs::symlink(claim.join("in/deep/a.txt"), claim.join("in/link.txt")).unwrap();
    std::os::unix::fs::symlink(claim.join("in"), claim.join("in/deep/loop")).unwrap();
    let reader = reader(&server).with_pvc_root(root.path());
    let fetched = reader.fetch(&source("pvc://claim/in"), work.path(), |_| true).await.unwrap();
    assert_eq!(names(&fetched), ["deep/a.txt", "link.txt"]);
    std::os::unix::fs::symlink("/etc/hostname", claim.join("in/out.txt")).unwrap();
    let error = reader.fetch(&source("pvc://claim/in"), work.path(), |_| true).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceForbidden, "{error}");
}

#[tokio::test]
async fn private_addresses_and_plain_http_are_refused_unless_allowed() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let mut reader = reader(&server);
    reader.guard = Guard::PUBLIC;
    for uri in ["http://example.org/a.txt", "https://127.0.0.1/a.txt", "https://gateway.other.svc/a.txt"] {
        let error = reader.fetch(&source(uri), work.path(), |_| true).await.unwrap_err();
        assert_eq!(error.reason(), FailureReason::SourceForbidden, "{uri}: {error}");
    }
}

/// Serves `/file` in two halves: the first answer breaks off, the second must ask for the rest.
async fn halves(State(ranges): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap) -> Response {
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    ranges.lock().unwrap().push(range.clone().unwrap_or_default());
    if range.is_some() {
        let headers = [(header::ETAG, "\"v1\""), (header::CONTENT_RANGE, "bytes 7-14/15")];
        return (StatusCode::PARTIAL_CONTENT, headers, "citizens").into_response();
    }
    let pieces = futures::stream::iter([Ok("Fellow "), Err(std::io::Error::other("gone"))]);
    // The first piece must be on its way before the connection breaks.
    let first = pieces.then(|piece| async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        piece
    });
    let body = Body::from_stream(first);
    ([(header::ETAG, "\"v1\""), (header::CONTENT_LENGTH, "15")], body).into_response()
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let url = serve(Router::new().route("/file.txt", get(halves)).with_state(ranges.clone())).await;
    let fetched =
        reader(&server).fetch(&source(&format!("{url}/file.txt")), work.path(), |_| true).await.unwrap();
    assert_eq!(std::fs::read_to_string(&fetched.files[0].path).unwrap(), "Fellow citizens");
    assert_eq!(fetched.digest, Digest::of(b"Fellow citizens"));
    assert_eq!(ranges.lock().unwrap().as_slice(), ["", "bytes=7-"]);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusal_is_final() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let busy = move || async move {
        if counted.fetch_add(1, Ordering::SeqCst) < 2 {
            Err(StatusCode::SERVICE_UNAVAILABLE)
        } else {
            Ok("text")
        }
    };
    let router = Router::new()
        .route("/busy.txt", get(busy))
        .route("/secret.txt", get(|| async { StatusCode::FORBIDDEN }));
    let url = serve(router).await;
    let reader = reader(&server);
    reader.fetch(&source(&format!("{url}/busy.txt")), work.path(), |_| true).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let error = reader
        .fetch(&source(&format!("{url}/secret.txt?token=hunter2")), work.path(), |_| true)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceForbidden);
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

async fn hub(UrlPath(path): UrlPath<String>, request: Request) -> Response {
    let authorised =
        request.headers().get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer hunter2");
    match path.as_str() {
        _ if !authorised => StatusCode::UNAUTHORIZED.into_response(),
        "api/models/owner/model/revision/main" => Json(serde_json::json!({
            "sha": "abc123", "siblings": [{"rfilename": "model.safetensors"}, {"rfilename": "config.json"},
                {"rfilename": "pytorch_model.bin"}]
        }))
        .into_response(),
        // Large files lie elsewhere: the hub redirects.
        "owner/model/resolve/abc123/model.safetensors" => Redirect::temporary("/cdn/model").into_response(),
        "owner/model/resolve/abc123/config.json" => "{}".into_response(),
        "cdn/model" => "weights".into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_hub_model_is_read_at_the_commit_its_branch_names() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let url = serve(Router::new().route("/{*path}", get(hub))).await;
    let mut reader = reader(&server).with_hub(&url);
    let wanted = |name: &str| !name.ends_with(".bin");
    let error = reader.fetch(&source("hf://owner/model"), work.path(), wanted).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceForbidden, "{error}");
    reader.token = Some("hunter2".to_owned());
    let fetched = reader.fetch(&source("hf://owner/model"), work.path(), wanted).await.unwrap();
    assert_eq!(names(&fetched), ["config.json", "model.safetensors"]);
    assert_eq!(fetched.files[1].digest, Digest::of(b"weights"));
    let error = reader.fetch(&source("hf://owner/other:v1"), work.path(), wanted).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceNotFound, "{error}");
}
