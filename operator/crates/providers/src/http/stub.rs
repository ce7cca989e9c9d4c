//! A vendor's API in a test: answers what the test says, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cooperator_core::market::{CapacityType, Granularity, Offer, Shape, Terms};
use cooperator_core::time::TestClock;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::{Client, Key};
use crate::driver::{Container, Order, Payload};
use crate::name::{InstanceName, Tenant};

/// The key that tests use.
pub(crate) const KEY: &str = "key-0123456789";
/// The name of the machine that tests order.
pub(crate) const NAME: &str = "coop-6f1c2a700b1d-0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET /path?query`
    pub(crate) line: String,
    /// The header `authorization`.
    pub(crate) authorization: String,
    /// The body; null: it had none.
    pub(crate) body: Value,
}

/// What is answered.
pub(crate) enum Reply {
    /// Status, further header lines, body.
    Full(u16, &'static str, String),
    /// Nothing, ever.
    Silence,
    /// A part of an answer, and then the connection is closed.
    Broken,
}

/// An answer in JSON.
pub(crate) fn json(status: u16, body: impl Into<String>) -> Reply {
    Reply::Full(status, "content-type: application/json\r\n", body.into())
}

/// An answer in plain text.
pub(crate) fn text(status: u16, body: &str) -> Reply {
    Reply::Full(status, "content-type: text/plain\r\n", body.to_owned())
}

/// The server. It ends with the test's runtime.
pub(crate) struct Stub {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Answers each request by its line, `GET /path?query`.
    pub(crate) async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &log, &*answer).await });
            }
        });
        Self { url, seen }
    }

    /// A client of it, without least intervals.
    pub(crate) fn client(&self, vendor: &'static str) -> Client {
        client(vendor, self.url.clone()).hasty(Duration::from_secs(20))
    }

    /// What it was asked, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The first lines of what it was asked, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&str) -> Reply + Send + Sync),
) {
    let Some(seen) = request(&mut stream).await else { return };
    log.lock().unwrap().push(seen.clone());
    let sent = match answer(&seen.line) {
        Reply::Full(status, headers, body) => {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
            )
        }
        Reply::Broken => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(),
        Reply::Silence => std::future::pending().await,
    };
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
}

async fn request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok()?;
        bytes.extend_from_slice(&part[..read]);
        let whole = String::from_utf8(bytes.clone()).ok()?;
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let header = |name: &str| {
                head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
            };
            let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
                let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
                return Some(Seen { line, authorization: header("authorization").unwrap_or_default(), body });
            }
        }
        if read == 0 {
            return None;
        }
    }
}

/// A client with the test's key.
pub(crate) fn client(vendor: &'static str, url: Url) -> Client {
    // A second call finds it installed.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::new(vendor, url, Key::new(KEY), Duration::ZERO, Arc::new(clock())).unwrap()
}

/// Noon.
pub(crate) fn clock() -> TestClock {
    TestClock::new("2026-11-29T12:00:00Z".parse().unwrap())
}

/// Who rents.
pub(crate) fn tenant() -> Tenant {
    Tenant::of("6f1c2a700b1d").unwrap()
}

/// An order of a machine for one of its offers.
pub(crate) fn order(offer: &str, shape: Shape) -> Order {
    let payload = match shape {
        Shape::Machine => Payload::UserData("#!/bin/sh\njoin --token abcdef.0123456789abcdef\n".to_owned()),
        Shape::Container => Payload::Container(Container {
            image: "registry.example/trainer:1".to_owned(),
            arguments: vec!["run".to_owned(), "it's one".to_owned()],
            environment: vec![("RUN_TOKEN".to_owned(), "very-secret-token".to_owned())],
        }),
    };
    Order {
        name: InstanceName::parse(NAME).unwrap(),
        offer: Offer {
            provider: String::new(),
            id: offer.into(),
            host: None,
            region: String::new(),
            shape,
            capacity_type: CapacityType::OnDemand,
            cpu_millis: 8000,
            memory_mib: 32768,
            disk_gib: 100,
            gpus: None,
            gigaflops: None,
            reliability: None,
            until: None,
            terms: Terms { granularity: Granularity::Second, ..Terms::default() },
        },
        disk_gib: 40,
        bid: None,
        payload,
    }
}
