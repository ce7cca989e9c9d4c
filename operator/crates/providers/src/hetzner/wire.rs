//! What Hetzner Cloud says and is told, field by field as its API v1 has them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::orders::NAME_LABEL;
use crate::decimal::Decimal;
use crate::driver::{Instance, InstanceId, State};
use crate::name::InstanceName;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Rows<T> {
    #[serde(alias = "servers", alias = "server_types")]
    pub(super) rows: Vec<T>,
    pub(super) meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    pub(super) pagination: Pagination,
}

#[derive(Deserialize)]
pub(super) struct Pagination {
    pub(super) next_page: Option<u64>,
    pub(super) total_entries: usize,
}

/// One thing.
#[derive(Deserialize)]
pub(super) struct One<T> {
    #[serde(alias = "server", alias = "pricing")]
    pub(super) it: T,
}

/// `GET /server_types`
#[derive(Deserialize)]
pub(super) struct ServerType {
    pub(super) name: String,
    pub(super) cores: u64,
    /// GB, with a fraction.
    pub(super) memory: Decimal,
    /// GB.
    pub(super) disk: u64,
    /// Only x86 images are built.
    pub(super) architecture: Option<String>,
    /// Null while it is sold.
    pub(super) deprecation: Option<serde::de::IgnoredAny>,
    pub(super) prices: Vec<Price>,
    /// Where it can be had, and until when; older answers lack it.
    pub(super) locations: Option<Vec<Location>>,
}

#[derive(Deserialize)]
pub(super) struct Price {
    pub(super) location: String,
    pub(super) price_hourly: Net,
}

/// A price without tax, as a decimal text.
#[derive(Deserialize)]
pub(super) struct Net {
    pub(super) net: Decimal,
}

#[derive(Deserialize)]
pub(super) struct Location {
    pub(super) name: String,
    pub(super) deprecation: Option<serde::de::IgnoredAny>,
    pub(super) available: Option<bool>,
}

/// `GET /pricing`
#[derive(Default, Deserialize)]
pub(super) struct Pricing {
    #[serde(default)]
    primary_ips: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    prices: Vec<Price>,
}

impl Pricing {
    /// What an IPv4 address costs an hour at a location. None: it is no price.
    pub(super) fn ipv4(&self, location: &str) -> Option<u64> {
        let prices = self
            .primary_ips
            .iter()
            .filter(|address| address.kind == "ipv4")
            .flat_map(|address| &address.prices);
        let mut here = prices.filter(|price| price.location == location);
        here.next().map_or(Some(0), |price| price.price_hourly.net.micros())
    }
}

/// `POST /servers`
#[derive(Serialize)]
pub(super) struct Create {
    pub(super) name: String,
    pub(super) server_type: String,
    pub(super) location: String,
    pub(super) image: &'static str,
    pub(super) user_data: String,
    pub(super) labels: BTreeMap<&'static str, String>,
    pub(super) start_after_create: bool,
    pub(super) public_net: PublicNet,
}

#[derive(Serialize)]
pub(super) struct PublicNet {
    pub(super) enable_ipv4: bool,
    pub(super) enable_ipv6: bool,
}

/// `GET /servers/{id}`. The password of root that a creation answers is not read.
#[derive(Deserialize)]
pub(super) struct Server {
    id: u64,
    name: String,
    status: String,
    created: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    public_net: Option<Net4>,
    server_type: Option<Sold>,
    location: Option<Named>,
    datacenter: Option<Datacenter>,
}

#[derive(Deserialize)]
struct Net4 {
    ipv4: Option<Ip>,
}

#[derive(Deserialize)]
struct Ip {
    ip: String,
}

#[derive(Deserialize)]
struct Sold {
    #[serde(default)]
    prices: Vec<Price>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Datacenter {
    location: Named,
}

impl Server {
    /// As the trait has it. None: it is not called as ours are.
    pub(super) fn instance(self) -> Option<Instance> {
        let label = self.labels.get(NAME_LABEL).and_then(|label| InstanceName::parse(label));
        let name = label.or_else(|| InstanceName::parse(&self.name))?;
        Some(self.named(name))
    }

    /// As the trait has it, under this name.
    pub(super) fn named(self, name: InstanceName) -> Instance {
        let state = match self.status.as_str() {
            "running" => State::Running,
            // What is off costs as much as what runs.
            "off" | "stopping" => State::Stopped,
            "deleting" => State::Ending,
            _ => State::Pending,
        };
        let hourly = self.hourly();
        let address =
            self.public_net.and_then(|net| net.ipv4).and_then(|ipv4| ipv4.ip.parse::<IpAddr>().ok());
        Instance {
            id: InstanceId(self.id.to_string()),
            name,
            state,
            said: self.status,
            address,
            since: self.created.and_then(|created| created.parse::<Timestamp>().ok()),
            hourly,
        }
    }

    /// Without its address.
    fn hourly(&self) -> Option<PricePerHour> {
        let location = self.location.as_ref().or(self.datacenter.as_ref().map(|center| &center.location))?;
        let prices = &self.server_type.as_ref()?.prices;
        prices.iter().find(|price| price.location == location.name)?.price_hourly.net.hourly()
    }
}

/// A refusal.
#[derive(Deserialize)]
pub(super) struct Failure {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    /// Its code.
    pub(super) fn code(&self) -> &str {
        &self.error.code
    }

    /// For people.
    pub(super) fn message(&self) -> String {
        format!("{}: {}", self.error.code, self.error.message)
    }
}
