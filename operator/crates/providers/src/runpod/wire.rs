//! What RunPod says and is told, field by field as its API v2 has them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decimal::Decimal;
use crate::driver::{Instance, InstanceId, State};
use crate::name::InstanceName;

/// `GET /catalog/gpus`
#[derive(Deserialize)]
pub(super) struct Catalog {
    /// Read one by one: one that cannot be read is one fewer.
    pub(super) gpus: Vec<Box<RawValue>>,
}

/// A model for rent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Gpu {
    /// What an order names.
    pub(super) id: String,
    pub(super) name: String,
    /// GB.
    pub(super) memory: u64,
    pub(super) secure: bool,
    pub(super) community: bool,
    pub(super) price: Both<Option<Decimal>>,
    pub(super) max_count: Both<Option<u32>>,
    /// `NONE`, `LOW`, `MEDIUM` or `HIGH`.
    pub(super) availability: Option<String>,
    #[serde(default)]
    pub(super) data_centers: Vec<DataCenter>,
}

/// One thing of each cloud.
#[derive(Deserialize)]
pub(super) struct Both<T> {
    pub(super) secure: T,
    pub(super) community: T,
}

#[derive(Deserialize)]
pub(super) struct DataCenter {
    pub(super) id: String,
    pub(super) availability: Option<String>,
}

/// `POST /pods`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    pub(super) name: String,
    pub(super) image: String,
    /// One text, as a shell would split it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) args: String,
    pub(super) env: BTreeMap<String, String>,
    /// GB; lost when the pod stops.
    pub(super) disk: u64,
    pub(super) gpu: GpuOrder,
    pub(super) cloud: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) data_center_ids: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct GpuOrder {
    pub(super) id: String,
    pub(super) count: u32,
}

/// `GET /pods`: all of them, on one page.
#[derive(Deserialize)]
pub(super) struct Pods {
    pub(super) pods: Vec<Pod>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    id: String,
    name: String,
    status: String,
    /// USD an hour, all GPUs; 0 when it does not run.
    cost: Option<Decimal>,
    started_at: Option<String>,
    runtime: Option<Runtime>,
}

#[derive(Deserialize)]
struct Runtime {
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
struct Port {
    ip: Option<String>,
}

impl Pod {
    /// As the trait has it. None: it is not called as ours are.
    pub(super) fn instance(self) -> Option<Instance> {
        InstanceName::parse(&self.name).map(|name| self.named(name))
    }

    /// As the trait has it, under this name.
    pub(super) fn named(self, name: InstanceName) -> Instance {
        let state = match self.status.as_str() {
            "RUNNING" => State::Running,
            // It says that it costs nothing, and a volume is paid for all the same.
            "EXITED" => State::Stopped,
            "ERROR" => State::Failed,
            "TERMINATED" => State::Over,
            _ => State::Pending,
        };
        let ports = self.runtime.map(|runtime| runtime.ports).unwrap_or_default();
        let hourly = self.cost.and_then(Decimal::hourly);
        Instance {
            id: InstanceId(self.id),
            name,
            state,
            said: self.status,
            address: ports.into_iter().filter_map(|port| port.ip).find_map(|ip| ip.parse::<IpAddr>().ok()),
            since: self.started_at.and_then(|time| time.parse::<Timestamp>().ok()),
            hourly: hourly.filter(|hourly| *hourly > PricePerHour::default()),
        }
    }
}

/// A refusal: RFC 9457.
#[derive(Deserialize)]
pub(super) struct Problem {
    title: String,
    pub(super) status: u16,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
}

impl Problem {
    /// For people.
    pub(super) fn message(&self) -> String {
        let detail = self.detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or(&self.title);
        let mut parts = vec![detail];
        parts.extend(self.errors.iter().map(String::as_str));
        parts.join("; ")
    }
}

/// `GET /billing/pods`
#[derive(Deserialize)]
pub(super) struct Billing {
    pub(super) records: Vec<Record>,
    pub(super) metadata: Option<Metadata>,
}

/// What a pod was charged in one span of time.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) pod_id: String,
    /// USD: GPUs, CPUs and disk.
    pub(super) total_amount: Decimal,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) record_count: usize,
}
