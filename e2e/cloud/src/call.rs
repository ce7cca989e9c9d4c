//! A call and its answer, whatever carried them; and what a vendor makes of one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::Backend;
use crate::fault::{Drawn, Fault};
use crate::vendor::Verb;
use crate::world::World;

/// A call whose API key was found good.
pub struct Call {
    /// Method.
    pub method: Method,
    /// The path below the vendor's prefix and version, without empty parts.
    pub path: Vec<String>,
    /// The query, in order.
    pub query: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Who calls.
    pub account: usize,
    /// What goes wrong.
    pub drawn: Option<Drawn>,
    /// What machines are made of.
    pub backend: Arc<dyn Backend>,
}

impl fmt::Debug for Call {
    /// Without its body, which may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {:?}, {:?})", self.method, self.path, self.drawn)
    }
}

impl Call {
    /// The parts of its path.
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The first value of this name in the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Its body. An empty one is an empty object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(if self.body.is_empty() { b"{}" } else { &self.body })
    }

    /// Whether this is what goes wrong.
    pub fn meets(&self, fault: Fault) -> bool {
        self.drawn.is_some_and(|drawn| drawn.fault == fault)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Media type of the body.
    pub media: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection is cut instead.
    pub is_cut: bool,
}

impl Answer {
    /// JSON.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // What is serialised here are maps with text for keys: that does not fail.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { status, media: "application/json", headers: Vec::new(), body, is_cut: false }
    }

    /// JSON and 200.
    pub fn ok(body: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// Another media type.
    pub fn text(status: StatusCode, media: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, media, headers: Vec::new(), body: body.into(), is_cut: false }
    }

    /// Without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self::text(status, "", Vec::new())
    }

    /// None: the connection is cut.
    pub fn cut() -> Self {
        Self { is_cut: true, ..Self::empty(StatusCode::OK) }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// How a vendor speaks.
pub trait Dialect: Sync {
    /// The parts of a path that come before all others, if the base URL was given with its version.
    fn version(&self) -> &'static [&'static str];

    /// What is asked for.
    fn verb(&self, method: &Method, path: &[&str], body: &[u8]) -> Verb;

    /// The API key that a call brings.
    fn key(&self, headers: &HeaderMap) -> Option<String> {
        bearer(headers)
    }

    /// Whose link this is, by its signature: whoever has it needs no key.
    fn signed(&self, _world: &World, _path: &[&str]) -> Option<usize> {
        None
    }

    /// The answer to a call without a key, or with a wrong one.
    fn unauthorized(&self, is_missing: bool) -> Answer;

    /// The answer to a call that came too early.
    fn throttled(&self, wait: Duration) -> Answer;

    /// The answer of a vendor who is out of order.
    fn broken(&self) -> Answer;

    /// The answer to a call.
    fn answer(&self, world: &mut World, call: &Call) -> Answer;
}

/// The key in `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(|key| key.trim().to_owned())
}
