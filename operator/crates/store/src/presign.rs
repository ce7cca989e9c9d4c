//! URLs that carry their own permission, for machines that must not have the Collective's key.
//!
//! What is sent to such a URL is bound by signed headers: the number of bytes, and their sha256 as
//! `x-amz-checksum-sha256`. `x-amz-content-sha256` would bind nothing: the payload of a presigned URL is unsigned by
//! definition, on AWS and in Garage (2.5), while both compare the checksum with what arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::config::Credentials as SdkCredentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cooperator_contract::broker::{Grant, Request};
use cooperator_core::time::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::access::Access;
use crate::{Credentials, Error, Result, Store};

/// Longest life of a presigned URL.
const MOST: Duration = Duration::from_secs(15 * 60);
/// What AWS leaves as it is in a query; a path keeps its slashes too.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');
/// Header with the sha256 that the storage compares with what arrives.
const CHECKSUM: &str = "x-amz-checksum-sha256";

impl Store {
    /// A URL with which anyone can do `request`, and nothing else, for `lifetime` from `now`, 1 s to 15 min. It is a
    /// secret: keep it out of logs. Whether the request may be granted is for the caller to know.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a lifetime out of bounds, an endpoint that is no URL, or a store that has no key itself.
    pub fn presign(&self, request: &Request, lifetime: Duration, now: Timestamp) -> Result<Grant> {
        let invalid = |cause: String| Error::Invalid { what: self.uri(request.key()), cause };
        if lifetime < Duration::from_secs(1) || lifetime > MOST {
            return Err(invalid(format!("a presigned URL lives 1 s to 900 s, not {} s", lifetime.as_secs())));
        }
        let Access::Key(key) = &self.access else {
            return Err(invalid("a store without a key grants nothing".to_owned()));
        };
        let headers = headers(request);
        let url = self.target(request);
        // The signer's error may repeat what it signed, so only the place is told.
        let url = signed(key, &self.location.region, (method(request), &url), &headers, lifetime, now);
        let url =
            url.ok_or_else(|| invalid("it could not be signed; check endpoint and region".to_owned()))?;
        Ok(Grant { url, headers, lifetime_seconds: lifetime.as_secs() })
    }

    /// Where a request goes, always path-style.
    fn target(&self, request: &Request) -> String {
        let endpoint = self.location.endpoint.trim_end_matches('/');
        let bucket = encoded(&self.location.bucket, PATH);
        let key = self.full(request.key());
        match request {
            Request::List { continuation, .. } => {
                let mut url = format!("{endpoint}/{bucket}?list-type=2&prefix={}", encoded(&key, QUERY));
                if let Some(token) = continuation {
                    url += &format!("&continuation-token={}", encoded(token, QUERY));
                }
                url
            }
            _ => format!("{endpoint}/{bucket}/{}", encoded(&key, PATH)),
        }
    }
}

const fn method(request: &Request) -> &'static str {
    match request {
        Request::Get { .. } | Request::List { .. } => "GET",
        Request::Head { .. } => "HEAD",
        Request::Put { .. } => "PUT",
        Request::Delete { .. } => "DELETE",
    }
}

/// What must be sent with the request, as it is here.
fn headers(request: &Request) -> BTreeMap<String, String> {
    let Request::Put { size, sha256, .. } = request else { return BTreeMap::new() };
    let checksum = STANDARD.encode(sha256.as_bytes());
    [("content-length".to_owned(), size.to_string()), (CHECKSUM.to_owned(), checksum)].into()
}

/// The URL with its signature.
fn signed(
    key: &Credentials,
    region: &str,
    (method, url): (&str, &str),
    headers: &BTreeMap<String, String>,
    lifetime: Duration,
    now: Timestamp,
) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(lifetime);
    // As S3 has it, unlike every other service.
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity =
        SdkCredentials::new(key.access_key_id(), key.secret_access_key(), None, None, "cooperator").into();
    let parameters = SigningParams::builder().identity(&identity).region(region).name("s3").time(now.into());
    let parameters = parameters.settings(settings).build().ok()?.into();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new(method, url, headers, SignableBody::UnsignedPayload).ok()?;
    let (instructions, _signature) = sign(request, &parameters).ok()?.into_parts();
    let mut signed = url.to_owned();
    let mut separator = if url.contains('?') { '&' } else { '?' };
    for (name, value) in instructions.params() {
        signed += &format!("{separator}{name}={}", encoded(value, QUERY));
        separator = '&';
    }
    Some(signed)
}

fn encoded(text: &str, kept: &'static AsciiSet) -> String {
    utf8_percent_encode(text, kept).to_string()
}
