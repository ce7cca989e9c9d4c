//! A gateway, a server behind it, and a caller.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use cooperator_contract::usage::UsageRow;
use cooperator_core::api_key;
use cooperator_core::money::Amount;
use cooperator_core::time::{Clock, SystemClock, Timestamp};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::model::{Script, Server, serve_model};
use crate::budget::lease::LeaseState;
use crate::budget::{Funds, LeaseStore, Ledger, StoreError, Written};
use crate::call::{Bounds, Gateway};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::server;
use crate::snapshot::{Key, Route, RouteLimits, RoutePrice, Snapshot};
use crate::upstream::Upstream;
use crate::wal::{Options, Wal};

/// ApiKeys in memory.
#[derive(Default)]
pub struct Leases(pub Mutex<HashMap<String, (LeaseState, u64)>>);

#[async_trait]
impl LeaseStore for Leases {
    async fn read(&self, _: &str, uid: &str) -> Result<(LeaseState, String), StoreError> {
        let (state, version) = self.0.lock().unwrap().get(uid).cloned().ok_or(StoreError::Gone)?;
        Ok((state, version.to_string()))
    }

    async fn write(
        &self,
        name: &str,
        next: &LeaseState,
        _: &str,
        version: String,
    ) -> Result<Written, StoreError> {
        let mut states = self.0.lock().unwrap();
        let Some(state) = states.get_mut(&format!("uid-{name}")) else { return Err(StoreError::Gone) };
        if state.1.to_string() != version {
            return Ok(Written::Conflict);
        }
        *state = (next.clone(), state.1 + 1);
        Ok(Written::Done)
    }
}

/// All of it, running.
pub struct World {
    pub gateway: Arc<Gateway>,
    pub server: Server,
    pub leases: Arc<Leases>,
    pub publish: watch::Sender<Arc<Snapshot>>,
    pub address: SocketAddr,
    pub upstream: SocketAddr,
    pub stop: CancellationToken,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: tempfile::TempDir,
}

/// What of a [`World`] a test may want otherwise.
pub struct Setup {
    pub bounds: Bounds,
    pub connections: usize,
    pub disk_budget: u64,
    /// Whether the cluster was heard of.
    pub live: bool,
    /// What rows are dated by.
    pub clock: Arc<dyn Clock>,
    /// Budgets, which several gateways may share.
    pub leases: Arc<Leases>,
}

impl Default for Setup {
    fn default() -> Self {
        let five = Duration::from_secs(5);
        let bounds = Bounds { body_bytes: 64 * 1024, head_time: five, body_time: five, stall: five };
        let (clock, leases) = (Arc::new(SystemClock), Arc::default());
        Self { bounds, connections: 100, disk_budget: 1024 * 1024, live: true, clock, leases }
    }
}

/// The present.
pub fn now() -> Timestamp {
    SystemClock.now()
}

/// The key in clear whose ApiKey has this name.
pub fn secret(name: &str) -> String {
    let mut entropy = [0; api_key::ENTROPY_BYTES];
    entropy[..name.len()].copy_from_slice(name.as_bytes());
    api_key::Key::mint(entropy).expose().to_owned()
}

pub fn key(name: &str) -> Key {
    Key {
        uid: format!("uid-{name}"),
        name: name.to_owned(),
        consumer: "library".to_owned(),
        hash: api_key::Key::parse(&secret(name)).unwrap().hash(),
        deployments: Default::default(),
        requests_per_minute: None,
        tokens_per_minute: None,
        budget: None,
        expires_at: None,
    }
}

pub fn route(model: &str, upstream: SocketAddr) -> Route {
    Route {
        model: model.to_owned(),
        deployment: model.to_owned(),
        upstream: format!("http://{upstream}").parse().unwrap(),
        adapter: None,
        public: false,
        price: RoutePrice::new("USD", "1".parse().unwrap(), "2".parse().unwrap()),
        limits: RouteLimits {
            max_input_tokens: 1000,
            max_output_tokens: 100,
            requests_per_minute: 10_000,
            tokens_per_minute: 1_000_000_000,
        },
        created: 0,
    }
}

impl World {
    /// A Collective with one model, `presidents`, and one key, `reader`.
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// The same otherwise.
    pub async fn with(setup: Setup) -> Self {
        let server = Server::default();
        let model = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = model.local_addr().unwrap();
        let app = axum::Router::new().fallback(serve_model).with_state(server.clone());
        tokio::spawn(async move { axum::serve(model, app).await });
        let folder = tempfile::tempdir().unwrap();
        let (metrics, _) = Metrics::new();
        let options = Options {
            folder: folder.path().to_owned(),
            replica: "gateway-0".to_owned(),
            disk_budget: setup.disk_budget,
            segment_bytes: 64 * 1024,
        };
        let (wal, _) = Wal::open(options, setup.clock, metrics.clone()).unwrap();
        let (publish, snapshot) = watch::channel(Arc::<Snapshot>::default());
        let live = Arc::new(Live::new(Duration::from_secs(3600)));
        if setup.live {
            live.heard(Instant::now());
        }
        let leases = setup.leases;
        let gateway = Arc::new(Gateway {
            collective: "presidents".to_owned(),
            snapshot,
            live,
            limiter: Default::default(),
            funds: Arc::new(Funds::new(Arc::new(Ledger::default()), leases.clone(), wal.gateway())),
            wal,
            upstream: Upstream::new(Duration::from_secs(10)),
            metrics,
            clock: Arc::new(SystemClock),
            bounds: setup.bounds,
            tracker: TaskTracker::new(),
            cut: CancellationToken::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let grace = Duration::from_secs(5);
        tokio::spawn(server::serve(listener, gateway.clone(), setup.connections, stop.clone(), grace));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let world =
            Self { gateway, server, leases, publish, address, upstream, stop, client, _folder: folder };
        world.publish([key("reader")], [route("presidents", upstream)]);
        world
    }

    /// Other keys and routes from here on. Budgets of keys are opened in the cluster.
    pub fn publish(&self, keys: impl IntoIterator<Item = Key>, routes: impl IntoIterator<Item = Route>) {
        let keys: Vec<Key> = keys.into_iter().collect();
        for key in &keys {
            let state = LeaseState { budget: key.budget, ..LeaseState::default() };
            self.leases.0.lock().unwrap().entry(key.uid.clone()).or_insert((state, 0));
        }
        self.publish.send_replace(Arc::new(Snapshot::new(keys, routes)));
    }

    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.server.script.lock().unwrap());
    }

    /// Sends a request; its answer's body is still to be read.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.request(request.body(Full::new(body)).unwrap()).await.unwrap()
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let (parts, body) = self.open(method, path, headers, body).await.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }

    /// A chat as `reader`.
    pub async fn chat(&self, body: Value) -> (StatusCode, Bytes) {
        let (status, _, body) = self.chat_as("reader", body).await;
        (status, body)
    }

    pub async fn chat_as(&self, name: &str, body: Value) -> (StatusCode, HeaderMap, Bytes) {
        let bearer = format!("Bearer {}", secret(name));
        let body = Bytes::from(body.to_string());
        self.send(Method::POST, "/v1/chat/completions", &[("authorization", &bearer)], body).await
    }

    /// A stream as `reader`, still to be read.
    pub async fn stream(&self, mut body: Value) -> Incoming {
        body["stream"] = json!(true);
        let bearer = format!("Bearer {}", secret("reader"));
        let response = self
            .open(
                Method::POST,
                "/v1/chat/completions",
                &[("authorization", &bearer)],
                Bytes::from(body.to_string()),
            )
            .await;
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    /// Requests the server has seen.
    pub fn calls(&self) -> usize {
        self.server.seen.lock().unwrap().bodies.len()
    }

    pub fn rows(&self) -> Vec<UsageRow> {
        self.gateway.wal.rows()
    }

    /// The rows, once there are so many.
    pub async fn rows_when(&self, count: usize) -> Vec<UsageRow> {
        for _ in 0..500 {
            if self.rows().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.rows().len(), count);
        self.rows()
    }

    /// What `reader` has spent, once it is so much.
    pub async fn spent_when(&self, amount: Amount) -> Amount {
        for _ in 0..500 {
            if self.spent("reader") == amount {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.spent("reader")
    }

    pub fn spent(&self, name: &str) -> Amount {
        self.gateway.funds.ledger().spent(&format!("uid-{name}"))
    }
}

/// A small chat.
pub fn hello() -> Value {
    json!({"model": "presidents", "messages": [{"role": "user", "content": "Who speaks?"}]})
}

/// Field `error` of an answer.
pub fn error(body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(!message.contains('\n') && message.len() < 300, "{message}");
    body["error"].clone()
}
