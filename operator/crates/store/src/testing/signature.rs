//! Whether a call is signed, as Garage looks at it: every header of the protocol must be signed with a presigned URL, and
//! the sha256 that a call tells is compared with what came. Signatures of calls that are not presigned are not checked.

use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cooperator_core::digest::{Digest, Hasher};
use cooperator_core::time::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::Call;
use super::state::State;

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');
/// Bytes in a block of sha256.
const BLOCK: usize = 64;

/// Whether the call may be done.
pub(super) fn check(state: &State, call: &Call, now: Timestamp) -> Result<(), StatusCode> {
    if call.query.contains_key("X-Amz-Signature") {
        check_presigned(state, call, now)?;
    } else if !call.headers.contains_key(header::AUTHORIZATION) {
        return Err(StatusCode::FORBIDDEN);
    }
    let Some(checksum) = call.header("x-amz-checksum-sha256") else { return Ok(()) };
    let is_right = STANDARD.encode(Digest::of(&call.body).as_bytes()) == checksum;
    is_right.then_some(()).ok_or(StatusCode::BAD_REQUEST)
}

fn check_presigned(state: &State, call: &Call, now: Timestamp) -> Result<(), StatusCode> {
    let malformed = StatusCode::BAD_REQUEST;
    let get = |name: &str| call.query.get(name).map(String::as_str).ok_or(malformed);
    let date = get("X-Amz-Date")?;
    let begun = time(date).ok_or(malformed)?;
    let lifetime = SignedDuration::from_secs(get("X-Amz-Expires")?.parse().map_err(|_| malformed)?);
    if now.duration_since(begun) > lifetime {
        return Err(malformed);
    }
    let signed: Vec<&str> = get("X-Amz-SignedHeaders")?.split(';').collect();
    let names = call.headers.keys().map(header::HeaderName::as_str);
    let mut must = names.filter(|name| name.starts_with("x-amz-") && *name != "x-amz-content-sha256");
    if !signed.contains(&"host") || !must.all(|name| signed.contains(&name)) {
        return Err(malformed);
    }
    let (id, scope) = get("X-Amz-Credential")?.split_once('/').ok_or(malformed)?;
    let secret = state.keys.get(id).ok_or(StatusCode::FORBIDDEN)?;
    let request = canonical(call, &signed).ok_or(malformed)?;
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", Digest::of(request.as_bytes()).hex());
    let first = format!("AWS4{secret}").into_bytes();
    let key = scope.split('/').fold(first, |key, part| hmac(&key, part.as_bytes()).to_vec());
    let is_right = Digest::from_bytes(hmac(&key, text.as_bytes())).hex() == get("X-Amz-Signature")?;
    is_right.then_some(()).ok_or(StatusCode::FORBIDDEN)
}

/// What was signed, if every signed header came.
fn canonical(call: &Call, signed: &[&str]) -> Option<String> {
    let encoded = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let pairs = call.query.iter().filter(|(name, _)| *name != "X-Amz-Signature");
    let mut pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    let headers: Option<String> =
        signed.iter().map(|name| Some(format!("{name}:{}\n", call.header(name)?.trim()))).collect();
    let path = utf8_percent_encode(&call.path, PATH);
    let (method, query, names) = (&call.method, pairs.join("&"), signed.join(";"));
    Some(format!("{method}\n/{path}\n{query}\n{}\n{names}\nUNSIGNED-PAYLOAD", headers?))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(Digest::of(key).as_bytes());
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let hashed = |pad: u8, message: &[u8]| {
        let mut hasher = Hasher::new();
        hasher.update(&block.map(|byte| byte ^ pad));
        hasher.update(message);
        *hasher.finish().as_bytes()
    };
    hashed(0x5c, &hashed(0x36, message))
}

/// `20261124T120000Z` as a time.
fn time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    let date = format!("{}-{}-{}", part(date, 0, 4)?, part(date, 4, 6)?, part(date, 6, 8)?);
    let time = format!("{}:{}:{}", part(time, 0, 2)?, part(time, 2, 4)?, part(time, 4, 6)?);
    format!("{date}T{time}Z").parse().ok()
}
