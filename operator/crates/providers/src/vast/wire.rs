//! What Vast.ai says and is told, field by field as its API has them. What may be absent or null is an `Option`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decimal::{Decimal, Exact};
use crate::driver::{Instance, InstanceId, State};
use crate::name::InstanceName;

/// `POST /api/v0/bundles/`
#[derive(Serialize)]
pub(super) struct Search {
    pub(super) limit: u32,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) verified: Is<bool>,
    pub(super) rentable: Is<bool>,
    pub(super) rented: Is<bool>,
    pub(super) order: [[&'static str; 2]; 1],
    /// GB.
    pub(super) allocated_storage: u64,
    pub(super) disk_space: Is<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vms_enabled: Option<Is<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_gpus: Option<Is<u32>>,
    /// MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gpu_ram: Option<Is<u64>>,
}

/// A filter.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Is<T> {
    Eq(T),
    Gte(T),
}

#[derive(Deserialize)]
pub(super) struct Offers {
    /// Read one by one: one that cannot be read is one fewer.
    pub(super) offers: Vec<Box<RawValue>>,
}

/// A row of the market. Prices in USD an hour for the whole machine.
#[derive(Deserialize)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) machine_id: Option<u64>,
    pub(super) gpu_name: Option<String>,
    pub(super) num_gpus: Option<u32>,
    /// MB a GPU.
    pub(super) gpu_ram: Option<Decimal>,
    pub(super) cpu_cores_effective: Option<Decimal>,
    pub(super) cpu_cores: Option<Decimal>,
    /// MB.
    pub(super) cpu_ram: Option<Decimal>,
    /// GB.
    pub(super) disk_space: Option<Decimal>,
    pub(super) dph_base: Decimal,
    pub(super) min_bid: Option<Decimal>,
    /// USD a GB and month.
    pub(super) storage_cost: Option<Decimal>,
    /// USD a GB.
    pub(super) inet_up_cost: Option<Decimal>,
    /// USD a GB.
    pub(super) inet_down_cost: Option<Decimal>,
    /// 0 to 1.
    pub(super) reliability: Option<Decimal>,
    pub(super) verification: Option<String>,
    pub(super) geolocation: Option<String>,
    /// Seconds for which it can be rented.
    pub(super) duration: Option<Decimal>,
    /// TFLOPS of all GPUs.
    pub(super) total_flops: Option<Decimal>,
    pub(super) vms_enabled: Option<bool>,
    pub(super) rentable: Option<bool>,
    pub(super) rented: Option<bool>,
}

/// `PUT /api/v0/asks/{id}/`
#[derive(Serialize)]
pub(super) struct Create {
    pub(super) image: String,
    pub(super) label: String,
    /// GB.
    pub(super) disk: u64,
    pub(super) runtype: &'static str,
    pub(super) target_state: &'static str,
    /// What cannot start at once is not made, on demand or not.
    pub(super) cancel_unavail: bool,
    pub(super) vm: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) onstart: Option<String>,
    /// Of a spot offer: the bid, USD an hour for the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<Exact>,
}

#[derive(Deserialize)]
pub(super) struct Created {
    #[serde(default)]
    pub(super) success: bool,
    pub(super) new_contract: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Done {
    pub(super) success: bool,
}

/// A refusal. A throttle has `detail` alone.
#[derive(Deserialize)]
pub(super) struct Failure {
    success: Option<bool>,
    error: Option<String>,
    msg: Option<String>,
    detail: Option<String>,
}

impl Failure {
    /// Whether it is in Vast.ai's own words, and no other server's.
    pub(super) fn is_told(&self) -> bool {
        self.success == Some(false) && self.error.is_some()
    }

    /// Whether the key is what it does not like.
    pub(super) fn is_auth(&self) -> bool {
        matches!(self.error.as_deref(), Some("auth_error" | "invalid_token"))
    }

    /// Whether its code is this, or its text has it: both occur for one and the same thing.
    pub(super) fn says(&self, code: &str) -> bool {
        [&self.error, &self.msg].into_iter().flatten().any(|text| text.contains(code))
    }

    /// For people.
    pub(super) fn message(&self) -> String {
        let parts = [&self.error, &self.msg, &self.detail].into_iter().flatten();
        parts.map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

/// `GET /api/v0/instances/{id}/`. The field must be there: null says that there is none.
#[derive(Deserialize)]
pub(super) struct Found {
    #[serde(deserialize_with = "present")]
    pub(super) instances: Option<Machine>,
}

/// `GET /api/v1/instances/`
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) instances: Vec<Machine>,
    pub(super) total_instances: usize,
    /// Null on the last page; some pages leave it out.
    pub(super) next_token: Option<String>,
}

/// A machine that is rented.
#[derive(Deserialize)]
pub(super) struct Machine {
    id: u64,
    #[serde(deserialize_with = "present")]
    label: Option<String>,
    actual_status: Option<String>,
    cur_state: Option<String>,
    intended_status: Option<String>,
    next_state: Option<String>,
    public_ipaddr: Option<String>,
    /// Seconds since 1970.
    start_date: Option<Decimal>,
    dph_total: Option<Decimal>,
}

impl Machine {
    /// As the trait has it. None: it is not called as ours are.
    pub(super) fn instance(&self) -> Option<Instance> {
        let name = InstanceName::parse(self.label.as_deref()?)?;
        let (state, said) = self.state();
        let address = self.public_ipaddr.as_deref().and_then(|text| text.trim().parse::<IpAddr>().ok());
        let started = self.start_date.and_then(|date| i64::try_from(date.down(0)?).ok());
        Some(Instance {
            id: InstanceId(self.id.to_string()),
            name,
            state,
            said,
            address,
            since: started.and_then(|second| Timestamp::from_second(second).ok()),
            hourly: self.dph_total.and_then(Decimal::hourly),
        })
    }

    fn state(&self) -> (State, String) {
        let stopped = |state: &Option<String>| state.as_deref() == Some("stopped");
        if [&self.cur_state, &self.intended_status, &self.next_state].into_iter().all(stopped) {
            // Somebody bid more, or our bid was too low from the first: it waits, and its disk costs.
            return (State::Stopped, "outbid or stopped".to_owned());
        }
        let said = self.actual_status.as_deref().unwrap_or("scheduling");
        let state = match said {
            "running" => State::Running,
            // Of a frozen one even the GPUs are paid for.
            "exited" | "stopped" | "frozen" => State::Stopped,
            "offline" | "unknown" => State::Failed,
            // Whatever it thinks of next is not running yet, and ends by its time-out.
            _ => State::Pending,
        };
        (state, said.to_owned())
    }
}

/// `PUT /api/v0/instances/request_logs/{id}/`
#[derive(Serialize)]
pub(super) struct LogAsked {
    /// Lines.
    pub(super) tail: &'static str,
}

/// Where the log will lie in a moment.
#[derive(Deserialize)]
pub(super) struct Log {
    pub(super) result_url: String,
}

/// `GET /api/v0/charges/`
#[derive(Deserialize)]
pub(super) struct Charges {
    pub(super) results: Vec<Charged>,
    pub(super) next_token: Option<String>,
}

/// What one machine was charged.
#[derive(Deserialize)]
pub(super) struct Charged {
    /// `instance-<id>`
    pub(super) source: String,
    /// USD.
    pub(super) amount: Decimal,
}

/// A field that may be null and must be there.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}
