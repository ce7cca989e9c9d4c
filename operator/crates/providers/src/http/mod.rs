//! The HTTP client of all vendors: one base URL, one key, a bounded answer within [`PATIENCE`], and one reading of what
//! a failure means where the vendor does not say otherwise. Redirects are not followed: the key goes to the base URL only.
//!
//! TLS needs a provider of cryptography to be installed for the process, which `cooperator-telemetry` does.

mod key;
mod pace;
#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cooperator_core::time::{Clock, Timestamp};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use key::Key;
pub(crate) use key::{Hidden, shown};
pub(crate) use pace::{Early, Pace};

use crate::driver::{InstanceId, PATIENCE};
use crate::error::Error;

/// Largest answer that is read, in bytes: a market of some ten thousand offers.
const MOST_BYTES: usize = 16 << 20;
/// Longest that a vendor's `Retry-After` is taken for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Whether a call changes something at the vendor: then what came of it must be known before it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only asks.
    Reads,
    /// It makes or ends something.
    Changes,
}

/// One of a vendor's calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    /// What messages call it.
    pub(crate) name: &'static str,
    /// Whether it changes something.
    pub(crate) effect: Effect,
    /// Least interval between two of these, as the vendor documents it.
    pub(crate) least: Duration,
}

impl Endpoint {
    /// A call that asks, at most once in so many milliseconds.
    pub(crate) const fn reads(name: &'static str, least_ms: u64) -> Self {
        Self { name, effect: Effect::Reads, least: Duration::from_millis(least_ms) }
    }

    /// A call that changes something, at most once in so many milliseconds.
    pub(crate) const fn changes(name: &'static str, least_ms: u64) -> Self {
        Self { name, effect: Effect::Changes, least: Duration::from_millis(least_ms) }
    }
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct Call {
    endpoint: Endpoint,
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    hidden: Hidden,
    early: Early,
}

impl Call {
    /// A call of `path` below the base URL, segment by segment. An empty last segment ends it with a slash.
    pub(crate) fn new(endpoint: Endpoint, method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        Self {
            endpoint,
            method,
            path,
            query: Vec::new(),
            body: None,
            hidden: Hidden::default(),
            early: Early::Refuse,
        }
    }

    /// With this in the query.
    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With this for a body, as JSON.
    pub(crate) fn body(mut self, body: &impl Serialize) -> Self {
        // None of the bodies has a map with keys that are no texts, which is all that can fail.
        self.body = serde_json::to_vec(body).ok();
        self
    }

    /// With a body that must not be shown, should the vendor repeat it.
    pub(crate) fn hiding(mut self, hidden: Hidden) -> Self {
        self.hidden = hidden;
        self
    }

    /// A least interval of a second is waited for, not refused: for a verb's second call.
    pub(crate) fn waiting(mut self) -> Self {
        self.early = Early::Wait;
        self
    }
}

/// What came back whole, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) endpoint: Endpoint,
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    retry_after: Option<Duration>,
    hidden: Hidden,
}

impl Answer {
    /// Its body, if that is such a thing.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A vendor's API.
pub(crate) struct Client {
    vendor: &'static str,
    http: reqwest::Client,
    base: Url,
    key: Key,
    pace: Pace,
    patience: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} at {})", self.vendor, self.base)
    }
}

impl Client {
    /// A client of a vendor. `overall` is its least interval between any two calls.
    ///
    /// # Errors
    /// [`Error::Refused`]: the base URL is none to which a path can be added, or TLS cannot be set up.
    /// [`Error::Unauthorized`]: the key cannot be one.
    pub(crate) fn new(
        vendor: &'static str,
        base: Url,
        key: Key,
        overall: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(PATIENCE / 3)
            .user_agent(concat!("cooperator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Refused {
                vendor,
                message: shown(&format!("no HTTP client: {error}")),
            })?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            let message = "its endpoint is no http or https URL".to_owned();
            return Err(Error::Refused { vendor, message });
        }
        if !key.is_legal() {
            let message = "it is empty, or has a blank or another character that no key has".to_owned();
            return Err(Error::Unauthorized { vendor, message });
        }
        Ok(Self { vendor, http, base, key, pace: Pace::new(clock, overall), patience: PATIENCE })
    }

    /// Without least intervals, and with less patience: for tests.
    #[cfg(test)]
    pub(crate) fn hasty(mut self, patience: Duration) -> Self {
        self.pace = self.pace.unlimited();
        self.patience = patience;
        self
    }

    /// The present instant, by the clock that was given.
    pub(crate) fn now(&self) -> Timestamp {
        self.pace.now()
    }

    /// Does what a driver's verb needs, all of it within [`PATIENCE`].
    ///
    /// # Errors
    /// Those of `work`, and that time is up.
    pub(crate) async fn within<T>(
        &self,
        effect: Effect,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let done = tokio::time::timeout(self.patience, work).await;
        done.unwrap_or_else(|_| {
            let message = format!("no answer within {} s", self.patience.as_secs_f32());
            Err(self.silence(effect, message))
        })
    }

    /// Sends a call once and reads the answer.
    ///
    /// # Errors
    /// [`Error::Throttled`] without sending, if it is too early; whatever kept the answer away.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Error> {
        let Call { endpoint, method, path, query, body, hidden, early } = call;
        let url = self.url(&path, &query)?;
        self.pace
            .turn(endpoint, early)
            .await
            .map_err(|after| Error::Throttled { vendor: self.vendor, after })?;
        let mut request = self.http.request(method, url).bearer_auth(self.key.reveal());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| self.lost(endpoint, error))?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        let body = self.bounded(endpoint, response).await?;
        Ok(Answer { endpoint, status, body, retry_after, hidden })
    }

    /// [`Client::send`], and the answer must be a success.
    ///
    /// # Errors
    /// As `send`, and what `refusal` makes of any other status.
    pub(crate) async fn ask(
        &self,
        call: Call,
        refusal: impl FnOnce(&Self, &Answer) -> Error,
    ) -> Result<Answer, Error> {
        let answer = self.send(call).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(self, &answer)) }
    }

    /// A text that lies where the vendor says: over https, or at the vendor itself. The key is not shown there. None: it is
    /// not there, or not yet.
    ///
    /// # Errors
    /// [`Error::Malformed`]: that is no such place; whatever kept the answer away.
    pub(crate) async fn text_at(&self, endpoint: Endpoint, link: &str) -> Result<Option<String>, Error> {
        let url = self.base.join(link).ok();
        let url = url.filter(|url| url.scheme() == "https" || url.origin() == self.base.origin());
        let url = url.ok_or_else(|| self.garbage(endpoint.effect, "a link that is none over https"))?;
        let response = self.http.get(url).send().await.map_err(|error| self.lost(endpoint, error))?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let body = self.bounded(endpoint, response).await?;
        Ok(Some(String::from_utf8_lossy(&body).into_owned()))
    }

    /// What a successful answer says.
    ///
    /// # Errors
    /// [`Client::garbage`], if it is not what the vendor documents.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Error> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            let message = format!("{}: {error}", answer.endpoint.name);
            self.garbage(answer.endpoint.effect, &self.said(answer, &message))
        })
    }

    /// An answer that is none: a call that changes something may have done so.
    pub(crate) fn garbage(&self, effect: Effect, message: &str) -> Error {
        let (vendor, message) = (self.vendor, shown(message));
        match effect {
            Effect::Changes => Error::Ambiguous { vendor, message },
            Effect::Reads => Error::Malformed { vendor, message },
        }
    }

    /// What an unsuccessful answer means by its status alone; `message` is what the vendor said.
    pub(crate) fn refusal(&self, answer: &Answer, message: &str) -> Error {
        let vendor = self.vendor;
        let message =
            self.said(answer, &format!("{}: {} {message}", answer.endpoint.name, answer.status.as_u16()));
        match answer.status.as_u16() {
            401 | 403 => Error::Unauthorized { vendor, message },
            402 => Error::AccountLimit { vendor, message },
            429 => Error::Throttled { vendor, after: self.after(answer) },
            408 | 500.. => self.silence(answer.endpoint.effect, message),
            400..=499 => Error::Refused { vendor, message },
            _ => self.garbage(answer.endpoint.effect, &message),
        }
    }

    /// How long to wait after an answer that says it was asked too often.
    pub(crate) fn after(&self, answer: &Answer) -> Duration {
        let least = answer.endpoint.least.max(self.pace.overall()).max(Duration::from_secs(1));
        answer.retry_after.map_or(least, |after| after.clamp(Duration::from_secs(1), LONGEST_WAIT))
    }

    /// A vendor's text as it may be shown: one line, at most 200 characters, without the key or what was sent in secret.
    pub(crate) fn said(&self, answer: &Answer, text: &str) -> String {
        shown(&answer.hidden.scrub(&self.key.scrub(text)))
    }

    /// An id as a path's segment.
    ///
    /// # Errors
    /// [`Error::Refused`]: it is no id of this vendor, and would name something else in a path.
    pub(crate) fn segment<'a>(&self, id: &'a InstanceId) -> Result<&'a str, Error> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !id.0.is_empty() && id.0.bytes().all(legal) {
            return Ok(&id.0);
        }
        let message = shown(&format!("`{id}` is no id of its machines"));
        Err(Error::Refused { vendor: self.vendor, message })
    }

    fn url(&self, path: &[String], query: &[(&'static str, String)]) -> Result<Url, Error> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Refused {
                vendor: self.vendor,
                message: "its endpoint takes no path".to_owned(),
            })?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn bounded(&self, endpoint: Endpoint, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BYTES => body.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    let message = format!("{}: more than {} MiB", endpoint.name, MOST_BYTES >> 20);
                    return Err(self.garbage(endpoint.effect, &message));
                }
                Err(error) => {
                    let message = format!("{}: the answer broke off: {}", endpoint.name, cause(error));
                    return Err(self.garbage(endpoint.effect, &self.key.scrub(&message)));
                }
            }
        }
    }

    /// No answer came.
    fn lost(&self, endpoint: Endpoint, error: reqwest::Error) -> Error {
        let unsent = error.is_connect() || error.is_builder();
        let message = shown(&self.key.scrub(&format!("{}: {}", endpoint.name, cause(error))));
        let effect = if unsent { Effect::Reads } else { endpoint.effect };
        self.silence(effect, message)
    }

    fn silence(&self, effect: Effect, message: String) -> Error {
        match effect {
            Effect::Changes => Error::Ambiguous { vendor: self.vendor, message },
            Effect::Reads => Error::Unavailable { vendor: self.vendor, message },
        }
    }
}

/// The vendor's word for how long to wait, where it is a number of seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// An error with what lies below it, without the URL.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut below = std::error::Error::source(&error);
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}
