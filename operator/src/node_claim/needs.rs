//! Pure: the job that a claim looks for a machine for.

use std::collections::BTreeMap;

use cooperator_api::node_claim::{self as api, NodeClaim};
use cooperator_api::node_pool::NodePool;
use cooperator_core::market::throughput::Row;
use cooperator_core::market::{Job, MachineClass, Needs, Throughput, Work};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::domain::{mebibytes, millis, units};

/// The resource that a GPU is.
pub const GPU: &str = "nvidia.com/gpu";
/// Seconds until a machine does its first step: it joins, fetches its image, base model and data, and is tried. Measured
/// ones will replace it.
const SETUP_SECONDS: u64 = 240;
/// Most seconds of work between two checkpoints that are reckoned with.
const CHECKPOINT_SECONDS: u64 = 600;

/// What a claim's work needs, and how much of it there is.
pub fn job(claim: &NodeClaim) -> Job {
    let requests = &claim.spec.resources.requests;
    let api::Work { tokens, flops_per_token, base_model, tokens_per_second: _ } = &claim.spec.work;
    let unsigned =
        |number: &Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
    Job {
        needs: Needs {
            cpu_millis: of(requests, "cpu", millis),
            memory_mib: of(requests, "memory", mebibytes),
            disk_gib: u64::try_from(claim.spec.disk_gi).unwrap_or_default(),
            gpus: u32::try_from(of(requests, GPU, units)).unwrap_or(u32::MAX),
            gpu_memory_mib: None,
        },
        work: Work { tokens: unsigned(tokens), flops_per_token: unsigned(flops_per_token) },
        base_model: base_model.clone().unwrap_or_default(),
        setup_seconds: SETUP_SECONDS,
        checkpoint_seconds: CHECKPOINT_SECONDS,
        up_bytes: 0,
        down_bytes: 0,
    }
}

/// Whether a container can have all that is asked for: of devices, vendors offer these alone.
pub fn fit_a_container(claim: &NodeClaim) -> bool {
    let known = ["cpu", "memory", "ephemeral-storage", GPU];
    claim.spec.resources.requests.keys().all(|name| known.contains(&name.as_str()))
}

fn of(requests: &BTreeMap<String, Quantity>, name: &str, read: fn(&Quantity) -> Option<u64>) -> u64 {
    requests.get(name).and_then(read).unwrap_or_default()
}

/// What a pool has learnt.
pub fn throughput(pool: &NodePool) -> Throughput {
    let rows = pool.status.iter().flat_map(|status| &status.throughput);
    let read = rows.filter_map(|row| {
        Some(Row {
            base_model: row.base_model.clone(),
            machine: row.machine.parse::<MachineClass>().ok()?,
            milli_tokens_per_second: u64::try_from(row.tokens_per_second).ok()?.checked_mul(1000)?,
            runs: u32::try_from(row.runs).ok()?,
            gigaflops: None,
        })
    });
    Throughput::from_rows(read.collect())
}
