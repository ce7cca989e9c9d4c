//! Calls a Deployment's server. Connections are kept; of the caller's headers none goes there, least of all its key.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::{Checked, Endpoint};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: shorter than servers usually do, so that they do not close it first.
const IDLE: Duration = Duration::from_secs(20);

/// Characters of a server's refusal that a caller is shown.
const MOST_REFUSAL: usize = 250;

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, or it broke.
    #[error("server cannot be reached ({0})")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("answer broke off ({0})")]
    Broken(#[from] hyper::Error),
    /// Not a request.
    #[error("request cannot be made ({0})")]
    Request(#[from] http::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// More than a caller is sent.
    #[error("answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// The client, shared by all requests.
#[derive(Clone)]
pub struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
    patience: Duration,
}

impl Upstream {
    /// With the longest time to wait for an answer to begin, or for the next piece of it.
    pub fn new(patience: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { client, patience }
    }

    /// The longest time to wait.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Sends a request; the answer's body follows.
    ///
    /// # Errors
    /// [`UpstreamError`]
    pub async fn send(
        &self,
        base: &Uri,
        endpoint: Endpoint,
        checked: &Checked,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(endpoint.path()));
        let mut request = Request::new(Full::new(checked.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_parts(parts).map_err(http::Error::from)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        let accept = if checked.stream { HeaderValue::from_static("text/event-stream") } else { json };
        request.headers_mut().insert(ACCEPT, accept);
        let answer = tokio::time::timeout(self.patience, self.client.request(request)).await;
        Ok(answer.map_err(|_| UpstreamError::Slow(self.patience))??)
    }
}

/// What a caller is told when a server refuses a request: the server's message as one line of bounded length and its
/// code, where it has them. Nothing else of its answer is passed on, which may be a page or a stack trace.
pub fn refusal(status: StatusCode, body: &[u8]) -> ApiError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let line = |text: &str| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_REFUSAL).collect()
    };
    let message =
        error.get("message").and_then(Value::as_str).map(line).filter(|line| !line.trim().is_empty());
    let message = message.unwrap_or_else(|| {
        "the model's server refuses the request: check its fields and the length of its prompt".to_owned()
    });
    let name = |code: &&str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let code = error.get("code").and_then(Value::as_str).filter(name).map(str::to_owned);
    ApiError::Refused { status, message, code }
}
