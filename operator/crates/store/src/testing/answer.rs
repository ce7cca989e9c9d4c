//! S3's calls as HTTP.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;

use super::Shared;
use super::fault::Fault;
use super::signature;
use super::state::{State, etag};

/// Keys in one page of a listing: small, so that tests see pages.
const PAGE: usize = 100;
/// Largest body taken.
const MOST: usize = 1 << 30;

/// One call, taken apart.
pub(super) struct Call {
    pub(super) method: String,
    /// Decoded, without the first slash.
    pub(super) path: String,
    bucket: String,
    key: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(super) fn router(state: Shared) -> Router {
    Router::new().fallback(handle).with_state(state)
}

async fn handle(Extract(shared): Extract<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST).await else { return failure(StatusCode::BAD_REQUEST) };
    let path =
        percent_encoding::percent_decode_str(parts.uri.path().trim_start_matches('/')).decode_utf8_lossy();
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let query = parts.uri.query().unwrap_or_default();
    let target = if query.is_empty() { path.to_string() } else { format!("{path}?{query}") };
    let call = Call {
        method: parts.method.to_string(),
        path: path.to_string(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts.headers,
        body,
    };
    let now = shared.clock.now();
    let mut state = shared.state();
    match state.strike(&call.method, &target) {
        Some(Fault::Status(status)) => failure(code(status)),
        fault => {
            if let Err(status) = signature::check(&state, &call, now) {
                return failure(status);
            }
            match fault {
                Some(Fault::Lost(status)) => {
                    drop(answer(&mut state, &call, None));
                    failure(code(status))
                }
                fault => answer(&mut state, &call, fault),
            }
        }
    }
}

fn answer(state: &mut State, call: &Call, fault: Option<Fault>) -> Response {
    let has = |name: &str| call.query.contains_key(name);
    match (call.method.as_str(), call.key.is_empty()) {
        ("GET", true) => list(state, call),
        ("PUT", true) => StatusCode::OK.into_response(),
        ("GET", false) => read(state, call, fault),
        ("HEAD", false) => match state.object(&call.bucket, &call.key) {
            Some(bytes) => {
                ([(header::CONTENT_LENGTH, bytes.len().to_string())], Body::empty()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        ("PUT", false) if has("uploadId") => put_part(state, call),
        ("PUT", false) => {
            state.put(&call.bucket, &call.key, call.body.clone());
            [(header::ETAG, etag(&call.body))].into_response()
        }
        ("POST", false) if has("uploads") => {
            let id = state.begin_upload();
            xml("InitiateMultipartUploadResult", &format!("<UploadId>{id}</UploadId>"))
        }
        ("POST", false) if has("uploadId") => {
            if state.complete(&call.bucket, &call.key, &call.query["uploadId"]) {
                xml("CompleteMultipartUploadResult", "")
            } else {
                failure(StatusCode::NOT_FOUND)
            }
        }
        ("DELETE", false) if has("uploadId") => {
            state.uploads.remove(&call.query["uploadId"]);
            StatusCode::NO_CONTENT.into_response()
        }
        ("DELETE", false) => {
            state.delete(&call.bucket, &call.key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => failure(StatusCode::NOT_IMPLEMENTED),
    }
}

fn put_part(state: &mut State, call: &Call) -> Response {
    let number = call.query.get("partNumber").and_then(|number| number.parse().ok());
    match (state.uploads.get_mut(&call.query["uploadId"]), number) {
        (Some(parts), Some(number)) => {
            parts.insert(number, call.body.clone());
            [(header::ETAG, etag(&call.body))].into_response()
        }
        _ => failure(StatusCode::NOT_FOUND),
    }
}

fn read(state: &State, call: &Call, fault: Option<Fault>) -> Response {
    let Some(bytes) = state.object(&call.bucket, &call.key) else { return failure(StatusCode::NOT_FOUND) };
    let tag = etag(&bytes);
    let text = |name: header::HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != tag) {
        return failure(StatusCode::PRECONDITION_FAILED);
    }
    let total = bytes.len();
    let Some((from, to)) = text(header::RANGE).map_or(Some((0, total)), |range| span(range, total)) else {
        return failure(StatusCode::RANGE_NOT_SATISFIABLE);
    };
    let mut response = Response::new(body(bytes.slice(from..to), fault));
    let headers = response.headers_mut();
    let mut set = |name, value: String| value.parse().map(|value| headers.insert(name, value)).is_ok();
    set(header::ETAG, tag);
    set(header::CONTENT_LENGTH, (to - from).to_string());
    if call.headers.contains_key(header::RANGE) {
        set(header::CONTENT_RANGE, format!("bytes {from}-{}/{total}", to - 1));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn body(bytes: Bytes, fault: Option<Fault>) -> Body {
    match fault {
        Some(Fault::Truncate) => {
            let half = bytes.slice(..bytes.len() / 2);
            let broken = futures::stream::once(async { Err(std::io::Error::other("cut by a test")) });
            Body::from_stream(futures::stream::once(async { Ok(half) }).chain(broken))
        }
        Some(Fault::Corrupt) => {
            let mut changed = bytes.to_vec();
            if let Some(first) = changed.first_mut() {
                *first = !*first;
            }
            changed.into()
        }
        _ => bytes.into(),
    }
}

/// `bytes=a-`, `bytes=a-b` or `bytes=-n` as a half-open span, none when it is empty or malformed.
fn span(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (first, last) {
        ("", suffix) => (total.saturating_sub(suffix.parse().ok()?), total),
        (first, "") => (first.parse().ok()?, total),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.saturating_add(1).min(total)),
    };
    (from < to).then_some((from, to))
}

fn list(state: &State, call: &Call) -> Response {
    let get = |name: &str| call.query.get(name).map_or("", String::as_str);
    let after = get("continuation-token").max(get("start-after"));
    let all: Vec<_> = state.list(&call.bucket, get("prefix"));
    let rest: Vec<_> = all.into_iter().filter(|(key, _)| key.as_str() > after).collect();
    let page = &rest[..rest.len().min(PAGE)];
    let mut inner = String::new();
    for (key, size) in page {
        inner += &format!("<Contents><Key>{}</Key><Size>{size}</Size></Contents>", escaped(key));
    }
    let more = rest.len() > PAGE;
    inner += &format!("<IsTruncated>{more}</IsTruncated>");
    if let (true, Some((last, _))) = (more, page.last()) {
        inner += &format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(last));
    }
    xml("ListBucketResult", &inner)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn xml(root: &str, inner: &str) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root}>{inner}</{root}>");
    ([(header::CONTENT_TYPE, "application/xml")], text).into_response()
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn failure(status: StatusCode) -> Response {
    let name = match status.as_u16() {
        400 => "InvalidRequest",
        403 => "AccessDenied",
        404 => "NoSuchKey",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let text = format!("<Error><Code>{name}</Code><Message>{status}</Message></Error>");
    (status, [(header::CONTENT_TYPE, "application/xml")], text).into_response()
}
