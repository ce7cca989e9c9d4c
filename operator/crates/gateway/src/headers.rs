//! What a header says: of a caller's request, and of a server's answer.
//!
//! Of requests, what would let two servers read one request in two ways is refused by hyper (lengths that differ,
//! folded lines, names that are none). A `Transfer-Encoding` beside a `Content-Length` it takes alone, and closes the
//! connection after the answer; whatever stands in front, nothing is read as a second request.

use cooperator_contract::usage::ADAPTER_HEADER;
use cooperator_core::digest::Digest;
use http::Version;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};

use crate::error::ApiError;

/// Refuses a request with no `Host`, or with two: what stands in front may have routed by another.
///
/// # Errors
/// [`ApiError::Header`]
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get_all(HOST).iter().count() {
        1 => Ok(()),
        0 if version == Version::HTTP_10 => Ok(()),
        _ => Err(ApiError::Header("exactly one Host header is needed: send the gateway's name")),
    }
}

/// Whether a body is said to be JSON as it stands.
pub fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let essence = |value: &http::HeaderValue| {
        let kind = value.to_str().ok()?.split(';').next()?.trim();
        Some(kind.eq_ignore_ascii_case("application/json"))
    };
    let json = kinds.next().and_then(essence) == Some(true) && kinds.next().is_none();
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|value| value == "identity");
    json && plain
}

/// What stands after `Bearer`, if there is exactly one such header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The adapter that a server says it answers with; a server that is not ours says nothing.
pub fn adapter(headers: &HeaderMap) -> Option<Digest> {
    headers.get(ADAPTER_HEADER)?.to_str().ok()?.parse().ok()
}

/// Whether a server answers with a stream.
pub fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// Seconds a busy server asks to wait, within an hour.
pub fn wait(headers: &HeaderMap) -> u64 {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    seconds.unwrap_or(1).clamp(1, 3600)
}
