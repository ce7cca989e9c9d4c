//! What Lambda Cloud says and is told, field by field as its API v1 has them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cooperator_core::money::PricePerHour;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::driver::{Instance, InstanceId, State};
use crate::name::InstanceName;

/// Micro-USD in a cent.
const MICROS_A_CENT: u64 = 10_000;
/// Tags: who rents, and under which name.
pub(super) const TENANT_TAG: &str = "cooperator-tenant";
pub(super) const NAME_TAG: &str = "cooperator-name";

/// Every success.
#[derive(Deserialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

/// `GET /instance-types`: by name, read one by one: one that cannot be read is one fewer.
pub(super) type Types = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) instance_type: InstanceType,
    pub(super) regions_with_capacity_available: Vec<Region>,
}

#[derive(Deserialize)]
pub(super) struct InstanceType {
    pub(super) name: String,
    /// `H100 (80 GB SXM5)`; `N/A` without GPUs.
    pub(super) gpu_description: Option<String>,
    pub(super) price_cents_per_hour: u64,
    pub(super) specs: Specs,
}

impl InstanceType {
    /// What an hour costs. None: more than any does.
    pub(super) fn hourly(&self) -> Option<PricePerHour> {
        self.price_cents_per_hour.checked_mul(MICROS_A_CENT).map(PricePerHour::from_micros)
    }
}

#[derive(Deserialize)]
pub(super) struct Specs {
    pub(super) vcpus: u64,
    pub(super) memory_gib: u64,
    pub(super) storage_gib: u64,
    pub(super) gpus: u32,
}

#[derive(Deserialize)]
pub(super) struct Region {
    pub(super) name: String,
}

/// `GET /ssh-keys`
#[derive(Deserialize)]
pub(super) struct SshKey {
    pub(super) name: String,
}

/// `POST /instance-operations/launch`
#[derive(Serialize)]
pub(super) struct Launch {
    pub(super) region_name: String,
    pub(super) instance_type_name: String,
    /// Exactly one.
    pub(super) ssh_key_names: [String; 1],
    pub(super) name: String,
    pub(super) hostname: String,
    pub(super) user_data: String,
    pub(super) tags: [Tag; 2],
}

/// A tag.
#[derive(Deserialize, Serialize)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
pub(super) struct Launched {
    pub(super) instance_ids: Vec<String>,
}

/// `POST /instance-operations/terminate`
#[derive(Serialize)]
pub(super) struct Terminate<'a> {
    pub(super) instance_ids: [&'a str; 1],
}

#[derive(Deserialize)]
pub(super) struct Terminated {
    pub(super) terminated_instances: Vec<Machine>,
}

/// `GET /instances/{id}`
#[derive(Deserialize)]
pub(super) struct Machine {
    id: String,
    name: Option<String>,
    status: String,
    ip: Option<String>,
    instance_type: Option<InstanceType>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Machine {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn state(&self) -> State {
        match self.status.as_str() {
            "active" => State::Running,
            "unhealthy" => State::Failed,
            "preempted" => State::Preempted,
            "terminating" => State::Ending,
            // It is listed for a while after its end.
            "terminated" => State::Over,
            _ => State::Pending,
        }
    }

    /// As the trait has it. None: it is not called as ours are.
    pub(super) fn instance(self) -> Option<Instance> {
        let tag =
            self.tags.iter().find(|tag| tag.key == NAME_TAG).and_then(|tag| InstanceName::parse(&tag.value));
        let name = tag.or_else(|| InstanceName::parse(self.name.as_deref()?))?;
        Some(Instance {
            name,
            state: self.state(),
            id: InstanceId(self.id),
            said: self.status,
            address: self.ip.and_then(|ip| ip.parse::<IpAddr>().ok()),
            since: None,
            hourly: self.instance_type.and_then(|kind| kind.hourly()),
        })
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

    /// Whether it says that there is no such thing.
    pub(super) fn is_absence(&self) -> bool {
        self.code() == "global/object-does-not-exist"
    }

    /// For people.
    pub(super) fn message(&self) -> String {
        format!("{}: {}", self.error.code, self.error.message)
    }
}
