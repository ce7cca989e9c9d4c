//! Who speaks for a run: the newest attempt, with the token that was made for it. Whatever is wrong gets one answer, so
//! that nothing can be probed.

use axum::http::{HeaderMap, StatusCode, header};
use cooperator_api::common::Attempt;
use cooperator_core::digest::Digest;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;

/// What is answered instead of what was asked for.
pub type Refusal = (StatusCode, &'static str);

/// One answer for whatever is wrong with run or token.
pub const UNKNOWN: Refusal = (StatusCode::UNAUTHORIZED, "no run of yours\n");
/// Kubernetes cannot be asked.
pub const AWAY: Refusal = (StatusCode::SERVICE_UNAVAILABLE, "the API server does not answer\n");
/// The attempt was the newest once, or has ended.
const OVER: Refusal =
    (StatusCode::CONFLICT, "this attempt is over: a newer one has begun, or it has ended\n");

/// The run that a caller says it is.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Name of the object.
    pub name: &'a str,
    /// `metadata.uid` of the object.
    pub uid: &'a str,
    /// The attempt.
    pub attempt: u32,
}

/// The bearer token of a call.
///
/// # Errors
/// [`UNKNOWN`] without one.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(UNKNOWN)
}

/// The object that the run is of, if its attempt may speak: it is the newest, has not ended, and shows its own token.
///
/// # Errors
/// [`UNKNOWN`], [`AWAY`], or 409 where the attempt is over.
pub async fn admitted<K>(
    client: &Client,
    run: Run<'_>,
    token: &str,
    attempts: impl FnOnce(&K) -> Option<&[Attempt]>,
) -> Result<K, Refusal>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    // They become part of a path at the API server: a `/` that was written as %2F would lead elsewhere.
    if ![run.namespace, run.name].into_iter().all(is_name) {
        return Err(UNKNOWN);
    }
    let api: Api<K> = Api::namespaced(client.clone(), run.namespace);
    let object = api.get_opt(run.name).await.map_err(|_| AWAY)?.ok_or(UNKNOWN)?;
    if object.uid().as_deref() != Some(run.uid) {
        return Err(UNKNOWN);
    }
    admit(attempts(&object).unwrap_or_default(), token, run.attempt)?;
    Ok(object)
}

/// Whether Kubernetes could have an object of this name.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(|byte| is_plain(byte) || byte == b'-' || byte == b'.')
        && text.bytes().next().is_some_and(is_plain)
}

/// The newest attempt may speak, with its own token. An older one is told that it is.
fn admit(attempts: &[Attempt], token: &str, number: u32) -> Result<(), Refusal> {
    let hash = Digest::of(token.as_bytes()).hex();
    let known = attempts.iter().find(|attempt| u32::try_from(attempt.number) == Ok(number)).ok_or(UNKNOWN)?;
    if !bool::from(hash.as_bytes().ct_eq(known.token_sha256.as_bytes())) {
        return Err(UNKNOWN);
    }
    let newest = attempts.iter().map(|attempt| attempt.number).max();
    if newest != Some(known.number) || known.ended_at.is_some() {
        return Err(OVER);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: i32, token: &str, ended: bool) -> Attempt {
        Attempt {
            number,
            token_sha256: Digest::of(token.as_bytes()).hex(),
            ended_at: ended.then(|| "2026-11-24T12:00:00Z".to_owned()),
            ..Attempt::default()
        }
    }

    #[test]
    fn only_the_newest_attempt_speaks_and_only_with_its_own_token() {
        let attempts = [attempt(1, "one", true), attempt(2, "two", false)];
        assert_eq!(admit(&attempts, "two", 2), Ok(()));
        assert_eq!(admit(&attempts, "one", 2), Err(UNKNOWN));
        assert_eq!(admit(&attempts, "two", 3), Err(UNKNOWN));
        assert_eq!(admit(&attempts, "one", 1).unwrap_err().0, StatusCode::CONFLICT);
    }

    #[test]
    fn only_what_can_be_a_name_is_looked_for() {
        for text in ["addresses-v1", "smollm2-135m", "with.dot", "0"] {
            assert!(is_name(text), "{text}");
        }
        for text in ["", ".", "..", "a/b", "../senators", "a?watch=1", "a#", "A", "a%2Fb", "a\n", "-a"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
