//! Proxies between the operator and the servers it calls: they count its calls, and kill it at the chosen one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::call::{self, Call, Point, Server, When};

/// Largest body of a call.
const LIMIT: usize = 64 << 20;

/// Ends the operator at once.
pub type Kill = Box<dyn FnOnce() + Send>;

/// What has passed, and where the operator is to die.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Passed>>);

#[derive(Default)]
struct Passed {
    times: BTreeMap<Call, u32>,
    calls: Vec<(Call, u32)>,
    last: Option<Instant>,
    armed: Option<(Point, Kill)>,
    reached: bool,
}

impl Gate {
    /// Forgets what has passed; kills at `point`, if one is given.
    pub fn arm(&self, point: Option<(Point, Kill)>) {
        *self.lock() = Passed { armed: point, ..Passed::default() };
    }

    /// Every call so far, and which of its times it was.
    pub fn calls(&self) -> Vec<(Call, u32)> {
        self.lock().calls.clone()
    }

    /// Whether the operator came to where it is to die.
    pub fn reached(&self) -> bool {
        self.lock().reached
    }

    /// When the last call passed.
    pub fn last(&self) -> Option<Instant> {
        self.lock().last
    }

    fn lock(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; the time it is.
    fn count(&self, call: &Call) -> u32 {
        let mut passed = self.lock();
        let time = passed.times.entry(call.clone()).or_default();
        *time += 1;
        let time = *time;
        passed.calls.push((call.clone(), time));
        passed.last = Some(Instant::now());
        time
    }

    /// Kills if this is the point. True: it was.
    fn kill_at(&self, call: &Call, time: u32, when: When) -> bool {
        let mut passed = self.lock();
        let here = |point: &Point| point.call == *call && point.time == time && point.when == when;
        if !passed.armed.as_ref().is_some_and(|(point, _)| here(point)) {
            return false;
        }
        if let Some((_, kill)) = passed.armed.take() {
            kill();
        }
        passed.reached = true;
        true
    }
}

/// The server behind a proxy.
#[derive(Clone)]
enum Behind {
    Kubernetes(Client),
    Http(Authority, Box<HttpClient<HttpConnector, Full<Bytes>>>),
}

#[derive(Clone)]
struct Proxy {
    gate: Gate,
    server: Server,
    behind: Behind,
}

/// A proxy that listens until it is dropped.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens for the API server behind `client`: who comes here has the client's rights.
///
/// # Errors
/// When no port is free.
pub async fn kubernetes(gate: Gate, client: Client) -> Result<Listening> {
    listen(Proxy { gate, server: Server::Kubernetes, behind: Behind::Kubernetes(client) }).await
}

/// Listens for an HTTP server.
///
/// # Errors
/// When no port is free.
pub async fn http(gate: Gate, server: Server, address: SocketAddr) -> Result<Listening> {
    let client = HttpClient::builder(TokioExecutor::new()).build_http();
    let behind = Behind::Http(Authority::try_from(address.to_string())?, Box::new(client));
    listen(Proxy { gate, server, behind }).await
}

async fn listen(proxy: Proxy) -> Result<Listening> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(pass).with_state(proxy);
    let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(Listening { address, task })
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LIMIT).await else { return gone() };
    let call = call::call(proxy.server, &parts.method, parts.uri.path(), &body);
    let counted = call.map(|call| (proxy.gate.count(&call), call));
    let kill = |when| counted.as_ref().is_some_and(|(time, call)| proxy.gate.kill_at(call, *time, when));
    if kill(When::Before) {
        return gone();
    }
    let answer = proxy.behind.send(parts, body).await;
    if kill(When::After) {
        return gone();
    }
    answer.unwrap_or_else(|_| gone())
}

/// What nobody is there to read any more.
fn gone() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

impl Behind {
    async fn send(&self, mut parts: http::request::Parts, body: Bytes) -> Result<Response> {
        match self {
            Self::Kubernetes(client) => {
                for name in [header::HOST, header::CONTENT_LENGTH] {
                    parts.headers.remove(name);
                }
                let request = http::Request::from_parts(parts, kube::client::Body::from(body));
                Ok(whole(client.send(request).await?.map(Body::new)))
            }
            Self::Http(authority, client) => {
                let mut uri = parts.uri.into_parts();
                uri.scheme = Some(Scheme::HTTP);
                uri.authority = Some(authority.clone());
                uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
                parts.uri = Uri::from_parts(uri)?;
                let request = http::Request::from_parts(parts, Full::new(body));
                Ok(whole(
                    client.request(request).await?.map(|body| Body::new(body.map_err(axum::Error::new))),
                ))
            }
        }
    }
}

/// A response without what was said of the connection it came by.
fn whole(mut response: Response) -> Response {
    for name in [header::TRANSFER_ENCODING, header::CONNECTION, HeaderName::from_static("keep-alive")] {
        response.headers_mut().remove(name);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_killed_once_at_the_time_and_side_that_was_chosen() {
        let gate = Gate::default();
        let killed = Arc::new(Mutex::new(0));
        let count = killed.clone();
        let point: Point = "after #2 POST jobs/a".parse().unwrap();
        gate.arm(Some((point, Box::new(move || *count.lock().unwrap() += 1))));
        let call = "POST jobs/a".to_owned();
        for _ in 0..3 {
            let time = gate.count(&call);
            for when in [When::Before, When::After] {
                assert_eq!(gate.kill_at(&call, time, when), time == 2 && when == When::After);
            }
        }
        assert_eq!(*killed.lock().unwrap(), 1);
        assert!(gate.reached());
        assert_eq!(gate.calls().len(), 3);
    }
}
