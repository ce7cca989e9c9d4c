//! What stands between the network and the world: keys, limits, faults, and the cutting of connections.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use cooperator_core::time::{Clock, SystemClock, TestClock, Timestamp};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::backend::{Backend, Reporter};
use crate::call::{Answer, Call, Dialect};
use crate::fault::{Drawn, Fault};
use crate::vendor::Vendor;
use crate::world::{Effect, World};
use crate::{control, hetzner, lambda, runpod, vast};

/// Most bytes of a body. Lambda takes a MiB of user-data.
const LIMIT: usize = 4 << 20;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Time {
    /// The machine's clock.
    Real,
    /// A clock that stands still until it is moved.
    Virtual(TestClock),
}

impl Time {
    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Real => SystemClock.now(),
            Self::Virtual(clock) => clock.now(),
        }
    }
}

/// A world that many look at.
pub struct Shared {
    world: Mutex<World>,
    time: Time,
    backend: Arc<dyn Backend>,
    turn: Mutex<()>,
    me: Weak<Self>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("time", &self.time).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(mut world: World, time: Time, backend: Arc<dyn Backend>) -> Arc<Self> {
        if backend.reports() {
            world.expect_reports();
        }
        Arc::new_cyclic(|me| Self {
            world: Mutex::new(world),
            time,
            backend,
            turn: Mutex::new(()),
            me: me.clone(),
        })
    }

    /// Where the time comes from.
    pub fn time(&self) -> &Time {
        &self.time
    }

    /// Does something with the world, moved on to now. What the backend must know it is told before this returns, unless
    /// it is being told something already.
    pub fn with<T>(&self, what: impl FnOnce(&mut World) -> T) -> T {
        let result = {
            let mut world = self.world();
            world.advance(self.time.now());
            what(&mut world)
        };
        self.tell_backend();
        result
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the backend what has happened, in order. One caller at a time does so for all: it looks again after it has
    /// let go of the turn, so what comes while it has it is not forgotten.
    fn tell_backend(&self) {
        while !self.world().effects.is_empty() {
            let _turn = match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let effects = std::mem::take(&mut self.world().effects);
            for effect in effects {
                self.tell(effect);
            }
        }
    }

    fn tell(&self, effect: Effect) {
        match effect {
            Effect::Start(started) => {
                if let Some(me) = self.me.upgrade() {
                    self.backend.start(&started, Reporter::new(&me, started.key));
                }
            }
            Effect::Stop(key) => self.backend.stop(key),
            Effect::Notice(key, seconds) => self.backend.notice(key, seconds),
        }
    }

    /// The answer of a vendor.
    pub(crate) fn answer(
        &self,
        vendor: Vendor,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Answer {
        let dialect = dialect(vendor);
        let path = path_below(dialect, uri.path());
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let verb = dialect.verb(method, &parts, &body);
        let key = dialect.key(headers);
        self.with(|world| {
            world.count(vendor, verb);
            let known = || key.as_deref().and_then(|key| world.account(vendor, key));
            let Some(account) = dialect.signed(world, &parts).or_else(known) else {
                return dialect.unauthorized(key.is_none());
            };
            let now = world.now();
            if let Some(wait) = world.limits.refuse(account, vendor, verb, now) {
                return dialect.throttled(wait);
            }
            let drawn = world.faults.draw(vendor, verb, now);
            if let Some(answer) = instead_of_work(dialect, drawn) {
                return answer;
            }
            let query = uri.query().unwrap_or_default().as_bytes();
            let query = url::form_urlencoded::parse(query).into_owned().collect();
            let backend = self.backend.clone();
            let call =
                Call { method: method.clone(), path: path.clone(), query, body, account, drawn, backend };
            after_work(dialect, drawn, dialect.answer(world, &call))
        })
    }
}

fn dialect(vendor: Vendor) -> &'static dyn Dialect {
    match vendor {
        Vendor::Vast => &vast::Vast,
        Vendor::RunPod => &runpod::RunPod,
        Vendor::Lambda => &lambda::Lambda,
        Vendor::Hetzner => &hetzner::Hetzner,
    }
}

/// The parts of a path below the prefix, and below the version if it has one.
fn path_below(dialect: &dyn Dialect, path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
    let version = dialect.version();
    let below = if parts.starts_with(version) { &parts[version.len()..] } else { &parts[..] };
    below.iter().map(|part| (*part).to_owned()).collect()
}

/// What is answered without anything being done.
fn instead_of_work(dialect: &dyn Dialect, drawn: Option<Drawn>) -> Option<Answer> {
    match drawn?.fault {
        Fault::TimeoutBeforeWork => Some(Answer::cut()),
        Fault::ServerError => Some(dialect.broken()),
        Fault::Gone => Some(Answer::text(StatusCode::GONE, "text/html", "<h1>410 Gone</h1>")),
        Fault::PlainTextThrottle => {
            let text = "API requests too frequent";
            Some(Answer::text(StatusCode::TOO_MANY_REQUESTS, "text/plain", text))
        }
        _ => None,
    }
}

/// What becomes of an answer on its way.
fn after_work(dialect: &dyn Dialect, drawn: Option<Drawn>, mut answer: Answer) -> Answer {
    match drawn.map(|drawn| drawn.fault) {
        Some(Fault::TimeoutThenSuccess) => Answer::cut(),
        Some(Fault::DeleteFailsButGone) => dialect.broken(),
        Some(Fault::Garbage) => {
            Answer::text(StatusCode::OK, "text/html", "<!doctype html><title>Just a moment...</title>")
        }
        Some(Fault::TruncatedJson) => {
            answer.body.truncate(answer.body.len() / 2);
            answer
        }
        _ => answer,
    }
}

/// The connection is to be cut.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is cut, as a fault asks")]
struct Cut;

async fn vendors(
    State((shared, vendor)): State<(Arc<Shared>, Vendor)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let Ok(body) = axum::body::to_bytes(request.into_body(), LIMIT).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let answer = shared.answer(vendor, &method, &uri, &headers, body);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    if !answer.media.is_empty() {
        let media = header::HeaderValue::from_static(answer.media);
        response.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    for (name, value) in answer.headers {
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    if answer.is_cut {
        response.extensions_mut().insert(Cut);
    }
    response
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn router(shared: &Arc<Shared>) -> Router {
    let mut router = Router::new().merge(control::router(shared.clone()));
    for vendor in Vendor::ALL {
        let own = any(vendors).with_state((shared.clone(), vendor));
        router = router
            .route(&format!("/{vendor}"), own.clone())
            .route(&format!("/{vendor}/"), own.clone())
            .route(&format!("/{vendor}/{{*rest}}"), own);
    }
    router
}

/// Binds, and serves for as long as the task lives.
///
/// # Errors
/// When the address is taken.
pub(crate) async fn listen(
    shared: &Arc<Shared>,
    address: SocketAddr,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = router(shared);
    Ok((address, tokio::spawn(accept(listener, router))))
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error is the client's: it has left again, or there are too many. The next may be welcome.
                if let Ok((stream, _)) = accepted {
                    drop(stream.set_nodelay(true));
                    connections.spawn(connection(stream, router.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, router: Router) {
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            // A router does not fail.
            let response = router.oneshot(request.map(Body::new)).await.map_err(|_| Cut)?;
            if response.extensions().get::<Cut>().is_some() { Err(Cut) } else { Ok(response) }
        }
    });
    // It ends with an error when a fault cuts it, or its client does.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}
