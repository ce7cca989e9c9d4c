//! The client of the operator's broker: asks for a URL, and keeps it while it is good.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cooperator_contract::broker::{Ask, Grant, Granted, Request};
use reqwest::redirect::Policy;
use tokio::time::Instant;

use crate::access::Permit;
use crate::error::line;
use crate::{Error, Result};

/// A broker that takes longer is asked again.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a connection to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most URLs kept.
const MOST_HELD: usize = 256;

/// Where a run without a key asks, and what it was granted.
pub(crate) struct Broker {
    http: reqwest::Client,
    url: String,
    token: String,
    attempt: u32,
    held: Mutex<HashMap<Request, Held>>,
}

/// A URL, and until when it is used.
struct Held {
    grant: Grant,
    until: Instant,
}

impl Broker {
    /// A client of the broker at `url`, for one attempt with its token. Nothing is sent yet.
    pub(crate) fn new(url: &str, token: &str, attempt: u32) -> Result<Self> {
        // An error means that the process has a TLS provider already.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        // A redirect would carry the request elsewhere.
        let http = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
        let http = http.no_proxy().redirect(Policy::none()).build();
        let http = http.map_err(|error| Error::Invalid {
            what: "storage broker".to_owned(),
            cause: line(&error.without_url().to_string()),
        })?;
        Ok(Self { http, url: url.to_owned(), token: token.to_owned(), attempt, held: Mutex::default() })
    }

    /// What lets `request` through: what it was granted before, while that lasts, or a new grant.
    pub(crate) async fn permit(&self, request: &Request, what: &str) -> Result<Permit> {
        if let Some(held) = self.held().get(request).filter(|held| held.until > Instant::now()) {
            return Ok(Permit::new(held.grant.clone(), true));
        }
        let asked = Instant::now();
        let grant = self.ask(request, what).await?;
        // Not to the last second: a call takes time to arrive.
        let until = asked + Duration::from_secs(grant.lifetime_seconds) * 9 / 10;
        let mut held = self.held();
        if held.len() >= MOST_HELD {
            held.retain(|_, held| held.until > asked);
        }
        if held.len() >= MOST_HELD {
            held.clear();
        }
        held.insert(request.clone(), Held { grant: grant.clone(), until });
        drop(held);
        Ok(Permit::new(grant, false))
    }

    /// Keeps the URL for `request` no longer.
    pub(crate) fn forget(&self, request: &Request) {
        self.held().remove(request);
    }

    async fn ask(&self, request: &Request, what: &str) -> Result<Grant> {
        let ask = Ask { attempt: self.attempt, requests: vec![request.clone()] };
        let away = |error: reqwest::Error| Error::broken_off(what, &error.without_url());
        let sent = self.http.post(&self.url).bearer_auth(&self.token).json(&ask).send().await;
        let answer = sent.map_err(away)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let said = answer.text().await.map_err(away)?;
            let (what, cause) = (what.to_owned(), line(format!("broker: {status} {said}").trim()));
            return Err(match status {
                412 => Error::Published { what },
                408 | 429 | 500.. => Error::Unavailable { what, attempts: 1, cause },
                _ => Error::NotGranted { what, cause },
            });
        }
        let granted = serde_json::from_slice::<Granted>(&answer.bytes().await.map_err(away)?);
        // What does not parse may be a URL all the same, so it is not told.
        let grant = granted.ok().and_then(|granted| granted.grants.into_iter().next());
        grant.ok_or_else(|| Error::NotGranted {
            what: what.to_owned(),
            cause: "the broker's answer is no grant".to_owned(),
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Request, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("url", &self.url)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
