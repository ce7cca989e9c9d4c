//! One call from its first byte to the last.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cooperator_contract::usage::UsageStatus;
use cooperator_core::api_key;
use cooperator_core::time::Clock;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::Funds;
use crate::error::ApiError;
use crate::headers;
use crate::limits::Limiter;
use crate::live::Live;
use crate::meter::{self, Counted};
use crate::metrics::Metrics;
use crate::request::{Checked, Endpoint, Request};
use crate::snapshot::{Key, Route, Snapshot};
use crate::stream;
use crate::ticket::Ticket;
use crate::upstream::{self, Upstream, UpstreamError};
use crate::wal::Wal;

/// What a caller is sent.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bounds of a call.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Largest request body, bytes.
    pub body_bytes: usize,
    /// Longest time for the headers of a request to arrive; an unused connection is closed after the same time.
    pub head_time: Duration,
    /// Longest time for a request body to arrive.
    pub body_time: Duration,
    /// Longest time a caller may not read what it is sent.
    pub stall: Duration,
}

/// All that calls share.
pub struct Gateway {
    /// Name of the Collective.
    pub collective: String,
    /// Keys and routes.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Whether they are fresh.
    pub live: Arc<Live>,
    /// Bounds a minute.
    pub limiter: Limiter,
    /// Prepaid money.
    pub funds: Arc<Funds>,
    /// Usage log.
    pub wal: Wal,
    /// Servers.
    pub upstream: Upstream,
    /// Counters.
    pub metrics: Metrics,
    /// For the expiry of keys.
    pub clock: Arc<dyn Clock>,
    /// Bounds of a call.
    pub bounds: Bounds,
    /// Work that goes on after its caller has left.
    pub tracker: TaskTracker,
    /// Ends streams that outlast the grace period.
    pub cut: CancellationToken,
}

/// Keys and routes at one moment, the caller's key, and the way to the model that it names.
type Decided = (Arc<Snapshot>, Option<Arc<Key>>, Arc<Route>);

/// How late word of a change in the cluster may come here, on a busy machine.
const LATE: Duration = Duration::from_secs(1);
/// Largest answer in one piece, bytes.
const MOST_ANSWER: usize = 16 * 1024 * 1024;

impl Gateway {
    /// Answers one request. Never fails: what goes wrong is an answer.
    pub async fn answer(self: Arc<Self>, request: HttpRequest<Incoming>) -> Response<Body> {
        let start = Instant::now();
        let metrics = self.metrics.clone();
        let response = match self.dispatch(request, start).await {
            Ok(response) => response,
            Err(error) => error.response().map(whole),
        };
        metrics.answered(response.status());
        response
    }

    async fn dispatch(
        self: Arc<Self>,
        request: HttpRequest<Incoming>,
        start: Instant,
    ) -> Result<Response<Body>, ApiError> {
        headers::check_host(request.version(), request.headers())?;
        let endpoint = match request.uri().path() {
            "/v1/chat/completions" => Endpoint::Chat,
            "/v1/completions" => Endpoint::Completions,
            path if path == "/v1/models" || path.starts_with("/v1/models/") => return self.models(&request),
            _ => return Err(ApiError::Path),
        };
        if request.method() != Method::POST {
            return Err(ApiError::Method("POST"));
        }
        let snapshot = self.fresh_snapshot()?;
        let key = self.authenticate(&snapshot, request.headers())?;
        if !headers::is_plain_json(request.headers()) {
            return Err(ApiError::MediaType);
        }
        let body = self.read(request).await?;
        let request = Request::parse(endpoint, &body)?;
        let (snapshot, key, route) = self.route(snapshot, key, request.model()).await?;
        let checked = request.check(&route.limits)?;
        let ticket = Ticket::book(&self, snapshot.replicas, key, Arc::clone(&route), &checked).await?;
        self.forward(endpoint, &route, checked, ticket, start).await
    }

    fn fresh_snapshot(&self) -> Result<Arc<Snapshot>, ApiError> {
        if !self.live.is_live(Instant::now()) {
            return Err(ApiError::Unavailable(
                "it has lost touch with the cluster and cannot tell valid keys from revoked ones",
            ));
        }
        Ok(Arc::clone(&self.snapshot.borrow()))
    }

    /// The caller's key; none where some route needs none.
    fn authenticate(
        &self,
        snapshot: &Snapshot,
        headers: &http::HeaderMap,
    ) -> Result<Option<Arc<Key>>, ApiError> {
        let key = headers::bearer(headers)
            .and_then(|text| api_key::Key::parse(text).ok())
            .and_then(|key| snapshot.key(&key.hash(), self.clock.now()).cloned());
        if key.is_none() && !snapshot.has_public() {
            return Err(ApiError::Unauthorized);
        }
        Ok(key)
    }

    /// The way to a model, and by what it was decided. A Deployment may be ready before word of it has come here: one
    /// that a key does not open yet is waited for, [`LATE`] at most.
    async fn route(
        &self,
        snapshot: Arc<Snapshot>,
        key: Option<Arc<Key>>,
        model: &str,
    ) -> Result<Decided, ApiError> {
        if let Some(route) = snapshot.opened(model, key.as_deref()).cloned() {
            return Ok((snapshot, key, route));
        }
        // Without a key nobody learns which models there are.
        let known = key.ok_or(ApiError::Unauthorized)?;
        let mut snapshots = self.snapshot.clone();
        let is_known = |snapshot: &Arc<Snapshot>| snapshot.opened(model, Some(&known)).is_some();
        let word = async { snapshots.wait_for(is_known).await.map(|snapshot| Arc::clone(&snapshot)) };
        let Ok(Ok(snapshot)) = tokio::time::timeout(LATE, word).await else { return Err(ApiError::Model) };
        let key = snapshot.key(&known.hash, self.clock.now()).cloned().ok_or(ApiError::Unauthorized)?;
        let route = snapshot.opened(model, Some(&key)).cloned().ok_or(ApiError::Model)?;
        Ok((snapshot, Some(key), route))
    }

    async fn read(&self, request: HttpRequest<Incoming>) -> Result<Bytes, ApiError> {
        let Bounds { body_bytes, body_time, .. } = self.bounds;
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > body_bytes) {
            return Err(ApiError::TooLarge(body_bytes));
        }
        let body = Limited::new(request.into_body(), body_bytes).collect();
        match tokio::time::timeout(body_time, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(body_bytes)),
            Ok(Err(_)) => Err(ApiError::Json("the body broke off".to_owned())),
            Err(_) => Err(ApiError::Slow(body_time.as_secs())),
        }
    }

    async fn forward(
        &self,
        endpoint: Endpoint,
        route: &Route,
        checked: Checked,
        mut ticket: Ticket,
        start: Instant,
    ) -> Result<Response<Body>, ApiError> {
        let sent = Instant::now();
        let answer = match self.upstream.send(&route.upstream, endpoint, &checked).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.failed(ticket, route, &error).await),
        };
        if let Some(adapter) = headers::adapter(answer.headers()) {
            ticket.answered_by(adapter);
        }
        let before = sent.saturating_duration_since(start);
        let status = answer.status();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(ApiError::Busy(headers::wait(answer.headers())))
            }
            // The server's own checks, such as of the exact number of prompt tokens; its text is for the caller.
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                match self.collect(answer).await {
                    Ok(body) => Err(upstream::refusal(status, &body)),
                    Err(error) => Err(self.failed(ticket, route, &error).await),
                }
            }
            StatusCode::OK if headers::is_stream(answer.headers()) => {
                self.metrics.added.observe(before.as_secs_f64());
                let body = stream::relay(ticket, answer.into_body(), checked.wants_usage);
                let mut response = Response::new(body);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                Ok(response)
            }
            StatusCode::OK => {
                let body = match self.collect(answer).await {
                    Ok(body) => body,
                    Err(error) => return Err(self.failed(ticket, route, &error).await),
                };
                let after = Instant::now();
                let Some(counted) = meter::answer(&body) else {
                    return Err(self.failed(ticket, route, "its answer is no completion").await);
                };
                let unwritten = |_| ApiError::Unavailable("its usage log cannot be written");
                ticket.finish(UsageStatus::Completed, counted).await.map_err(unwritten)?;
                self.metrics.added.observe((before + after.elapsed()).as_secs_f64());
                Ok(json(status, body))
            }
            _ => Err(self.failed(ticket, route, format!("it answered {status}")).await),
        }
    }

    async fn collect(&self, answer: Response<Incoming>) -> Result<Bytes, UpstreamError> {
        let patience = self.upstream.patience();
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect();
        match tokio::time::timeout(patience, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(match error.downcast::<hyper::Error>() {
                Ok(error) => UpstreamError::Broken(*error),
                Err(_) => UpstreamError::TooLarge(MOST_ANSWER),
            }),
            Err(_) => Err(UpstreamError::Slow(patience)),
        }
    }

    /// Writes down that the server failed; nothing is billed.
    async fn failed(&self, ticket: Ticket, route: &Route, why: impl std::fmt::Display) -> ApiError {
        tracing::warn!(deployment = route.deployment, error = %why, "a Deployment's server failed a call");
        // Nothing hangs on this row: if the log has stopped, readiness tells.
        let _ = ticket.finish(UsageStatus::Failed, Counted::default()).await;
        ApiError::Upstream
    }

    fn models(&self, request: &HttpRequest<Incoming>) -> Result<Response<Body>, ApiError> {
        if request.method() != Method::GET {
            return Err(ApiError::Method("GET"));
        }
        let snapshot = self.fresh_snapshot()?;
        let key = self.authenticate(&snapshot, request.headers())?;
        let of = |route: &Arc<Route>| {
            serde_json::json!({
                "id": route.model, "object": "model", "created": route.created, "owned_by": self.collective,
            })
        };
        let body = match request.uri().path().strip_prefix("/v1/models/") {
            None => {
                let all: Vec<_> = snapshot.open_to(key.as_deref()).map(of).collect();
                serde_json::json!({ "object": "list", "data": all })
            }
            Some(name) => match snapshot.opened(name, key.as_deref()) {
                Some(route) => of(route),
                None if key.is_none() => return Err(ApiError::Unauthorized),
                None => return Err(ApiError::Model),
            },
        };
        Ok(json(StatusCode::OK, body.to_string().into()))
    }
}

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body in one piece.
pub fn whole(body: Bytes) -> Body {
    Full::new(body).boxed_unsync()
}
