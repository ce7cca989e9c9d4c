//! What the tests share: a small market with round prices, and a tenant who speaks plain HTTP.

use std::collections::BTreeMap;

use bytes::Bytes;
use cooperator_core::market::Traffic;
use cooperator_core::money::PricePerHour;
use cooperator_core::time::SignedDuration;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::backend::{Container, Payload};
use crate::fault::Rule;
use crate::market::{Ask, BoxKind, Host, Market, Place, PodKind, ServerKind};
use crate::world::{Boot, New};
use crate::{Cloud, Options, Vendor};

/// The offer of one slot, at 0.36 an hour or a bid of 0.18; a GB of disk is 0.0001 an hour.
pub(crate) const ASK: u64 = 101;

fn price(text: &str) -> PricePerHour {
    text.parse().unwrap()
}

fn places(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
    of.iter().map(|(name, free)| ((*name).to_owned(), *free)).collect()
}

fn ask(slots: u32, base: &str, bid: &str) -> Ask {
    Ask {
        machine_id: 7,
        slots,
        dph_base: price(base),
        min_bid: price(bid),
        storage_cost: 72_000,
        inet_up_cost: 10_000,
        inet_down_cost: 5_000,
        withdrawn: false,
    }
}

/// One host with two GPUs, and one kind of thing with each other vendor.
pub(crate) fn market() -> Market {
    let host = Host {
        host_id: 3,
        gpu: Some("RTX 4090".to_owned()),
        gpu_ram: 24_564,
        gigaflops: 82_600,
        slots: 2,
        taken: 0,
        cpu_millis: 8_000,
        cpu_ram: 32_000,
        disk_space: 500,
        reliability: 9_950,
        verified: true,
        geolocation: "Sweden, SE".to_owned(),
        duration: 864_000,
        vms_enabled: true,
        lies: false,
    };
    let pod = PodKind {
        id: "NVIDIA GeForce RTX 4090".to_owned(),
        name: "RTX 4090".to_owned(),
        memory: 24,
        secure: price("0.72"),
        community: price("0.36"),
        min_bid: price("0.18"),
        max_count: 4,
        free: places(&[("US-TX-3", 4), ("EU-RO-1", 2)]),
        vcpus: 8,
        ram: 48,
    };
    let instance = BoxKind {
        name: "gpu_1x_a10".to_owned(),
        description: "1x A10 (24 GB PCIe)".to_owned(),
        gpu_description: "A10 (24 GB PCIe)".to_owned(),
        price_cents_per_hour: 75,
        vcpus: 30,
        memory_gib: 200,
        storage_gib: 1_400,
        gpus: 1,
        gpu_memory_gib: 24,
        free: places(&[("us-east-1", 1), ("us-west-1", 0)]),
    };
    let server = ServerKind {
        id: 114,
        name: "cx23".to_owned(),
        cores: 2,
        memory: 4,
        disk: 40,
        architecture: "x86".to_owned(),
        cpu_type: "shared".to_owned(),
        prices: BTreeMap::from([("fsn1".to_owned(), price("0.0056"))]),
        free: places(&[("fsn1", 2)]),
    };
    Market {
        hosts: BTreeMap::from([(7, host)]),
        asks: BTreeMap::from([(ASK, ask(1, "0.36", "0.18")), (102, ask(2, "0.72", "0.36"))]),
        pods: vec![pod],
        boxes: vec![instance],
        servers: vec![server],
        volume_month_micros: 72_000,
    }
}

/// That market; a machine is accepted for 5 s and boots for 10 s.
pub(crate) fn options() -> Options {
    let boot = Boot::Exactly { accepting: 5, booting: 10 };
    Options { market: market(), boot, ..Options::default() }
}

pub(crate) async fn start(faults: Vec<Rule>) -> Cloud {
    Cloud::start(Options { faults, ..options() }).await.unwrap()
}

pub(crate) fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status, for an answer that is `wanted`.
    pub(crate) fn is(self, wanted: u16) -> Value {
        assert_eq!(self.status, wanted, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

/// Somebody with a key.
pub(crate) struct Tenant {
    base: String,
    authorization: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Tenant {
    pub(crate) fn of(cloud: &Cloud, vendor: Vendor) -> Self {
        Self::with(cloud, vendor, &format!("Bearer {}", vendor.default_key()))
    }

    pub(crate) fn with(cloud: &Cloud, vendor: Vendor, authorization: &str) -> Self {
        Self { authorization: authorization.to_owned(), ..Self::at(&cloud.base(vendor)) }
    }

    /// Somebody without a key.
    pub(crate) fn at(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), authorization: String::new(), client }
    }

    /// None: the connection was cut.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Option<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !self.authorization.is_empty() {
            request = request.header("authorization", &self.authorization);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = self.client.request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Some(Reply { status: parts.status.as_u16(), headers: parts.headers, text })
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(body)).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, Some(body)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None).await.unwrap()
    }
}

/// Text for a query.
pub(crate) fn quoted(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// An order that takes nothing from the market.
pub(crate) fn order(vendor: Vendor, name: &str) -> New {
    let place = match vendor {
        Vendor::Vast => Place::Ask(ASK),
        Vendor::RunPod => Place::Pod {
            id: "NVIDIA GeForce RTX 4090".to_owned(),
            count: 1,
            data_center: "US-TX-3".to_owned(),
        },
        Vendor::Lambda => Place::Box { name: "gpu_1x_a10".to_owned(), region: "us-east-1".to_owned() },
        Vendor::Hetzner => Place::Server { name: "cx23".to_owned(), location: "fsn1".to_owned() },
    };
    New {
        vendor,
        account: Vendor::ALL.iter().position(|one| *one == vendor).unwrap(),
        name: name.to_owned(),
        labels: BTreeMap::new(),
        place,
        payload: Payload::Container(Container::default()),
        image: "image".to_owned(),
        disk_gib: 10,
        hourly: price("0.36"),
        paid_disk: (0, 0, 0),
        traffic: Traffic::default(),
        bid: None,
        holds: false,
        stopped: false,
    }
}
