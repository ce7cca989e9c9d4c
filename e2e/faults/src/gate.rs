//! Proxies between the operator and the servers it calls: they count its calls, and spring a trap at the chosen one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::call::{self, Call, Point, Server, When};

/// Largest body of a call.
const LIMIT: usize = 64 << 20;

/// Ends the operator at once.
pub type Kill = Box<dyn FnOnce() + Send>;
/// Begins something; it is in force when this has come to its end.
pub type Strike = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// What is to happen while calls pass.
#[derive(Default)]
pub enum Trap {
    /// Nothing.
    #[default]
    None,
    /// The operator dies at this point.
    Death(Point, Kill),
    /// Each begins at the call of this number, counted from 1, before the server hears of it.
    Strikes(BTreeMap<usize, Strike>),
}

/// What has passed, and what is still to happen. Clones are the same.
#[derive(Clone, Default)]
pub struct Gate {
    passed: Arc<Mutex<Passed>>,
    news: Arc<watch::Sender<()>>,
}

#[derive(Default)]
struct Passed {
    times: BTreeMap<Call, u32>,
    calls: Vec<(Call, u32)>,
    last: Option<Instant>,
    trap: Trap,
}

/// A call that passes.
struct Counted {
    call: Call,
    /// Which of its times.
    time: u32,
    /// Which of all calls, from 1.
    number: usize,
}

impl Gate {
    /// Forgets what has passed, and sets a trap.
    pub fn arm(&self, trap: Trap) {
        *self.lock() = Passed { trap, ..Passed::default() };
    }

    /// Changes whenever a call has been answered.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Every call so far, and which of its times it was.
    pub fn calls(&self) -> Vec<(Call, u32)> {
        self.lock().calls.clone()
    }

    /// Takes the trap away. True: all that was to happen had.
    pub fn disarm(&self) -> bool {
        match std::mem::take(&mut self.lock().trap) {
            Trap::None => true,
            Trap::Death(..) => false,
            Trap::Strikes(left) => left.is_empty(),
        }
    }

    /// Whether no call has passed for so long.
    pub fn is_silent(&self, how_long: Duration) -> bool {
        self.lock().last.is_none_or(|last| last.elapsed() >= how_long)
    }

    fn lock(&self) -> MutexGuard<'_, Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, call: Call) -> Counted {
        let mut passed = self.lock();
        let time = passed.times.entry(call.clone()).or_default();
        *time += 1;
        let time = *time;
        passed.calls.push((call.clone(), time));
        passed.last = Some(Instant::now());
        Counted { call, time, number: passed.calls.len() }
    }

    /// Kills if this is the point. True: it was.
    fn kill_at(&self, counted: &Counted, when: When) -> bool {
        let mut passed = self.lock();
        let here =
            |point: &Point| point.call == counted.call && point.time == counted.time && point.when == when;
        if !matches!(&passed.trap, Trap::Death(point, _) if here(point)) {
            return false;
        }
        if let Trap::Death(_, kill) = std::mem::take(&mut passed.trap) {
            kill();
        }
        true
    }

    /// What is to begin at this call.
    fn strike_at(&self, counted: &Counted) -> Option<Strike> {
        match &mut self.lock().trap {
            Trap::Strikes(left) => left.remove(&counted.number),
            Trap::None | Trap::Death(..) => None,
        }
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
    let counted = call.map(|call| proxy.gate.count(call));
    let kill = |when| counted.as_ref().is_some_and(|counted| proxy.gate.kill_at(counted, when));
    if kill(When::Before) {
        return gone();
    }
    // What the server has heard of it does, whether or not its caller is still there: a task of its own is not dropped
    // with the connection.
    let strike = counted.as_ref().and_then(|counted| proxy.gate.strike_at(counted));
    let behind = proxy.behind.clone();
    let sent = tokio::spawn(async move {
        if let Some(strike) = strike {
            strike().await;
        }
        behind.send(parts, body).await
    });
    let answer = sent.await;
    if counted.is_some() {
        proxy.gate.news.send_replace(());
    }
    if kill(When::After) {
        return gone();
    }
    answer.ok().and_then(Result::ok).unwrap_or_else(gone)
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const CALL: &str = "POST jobs/a";

    #[test]
    fn the_operator_is_killed_once_at_the_time_and_side_that_was_chosen() {
        let (gate, killed) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
        let count = killed.clone();
        let point: Point = "after #2 POST jobs/a".parse().unwrap();
        let kill = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        gate.arm(Trap::Death(point, Box::new(kill)));
        for _ in 0..3 {
            let counted = gate.count(CALL.into());
            for when in [When::Before, When::After] {
                assert_eq!(gate.kill_at(&counted, when), counted.time == 2 && when == When::After);
            }
        }
        assert_eq!(killed.load(Ordering::SeqCst), 1);
        assert!(gate.disarm());
        assert_eq!(gate.calls().len(), 3);
    }

    #[test]
    fn a_strike_begins_once_at_the_call_of_its_number() {
        let gate = Gate::default();
        let strike = || Box::new(|| Box::pin(async {}) as BoxFuture<'static, ()>) as Strike;
        gate.arm(Trap::Strikes([(2, strike()), (3, strike())].into()));
        let struck = [(); 4].map(|()| gate.strike_at(&gate.count(CALL.into())).is_some());
        assert_eq!(struck, [false, true, true, false]);
        assert!(gate.disarm());
    }
}
