//! What is for rent, and what is read of instances.

use serde_json::{Map, Value, json};

use super::{data, no_such};
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::{BoxKind, Market, Place};
use crate::vendor::Vendor;
use crate::world::{Instance, Phase, World};

/// `GET /instance-types`
pub(super) fn types(world: &World, call: &Call) -> Answer {
    let is_empty = call.meets(Fault::EmptyPage);
    let kinds = world.market.boxes.iter().filter(|_| !is_empty);
    let rows: Map<String, Value> = kinds
        .map(|kind| {
            let free = kind.free.iter().filter(|(_, free)| **free > 0);
            let regions: Vec<Value> = free.map(|(name, _)| region(name)).collect();
            let row =
                json!({ "instance_type": instance_type(kind), "regions_with_capacity_available": regions });
            (kind.name.clone(), row)
        })
        .collect();
    data(rows)
}

/// `GET /instances`: all of them, there are no pages. Those that are gone are not in it.
pub(super) fn list(world: &World, call: &Call) -> Answer {
    let is_empty = call.meets(Fault::EmptyPage);
    let all = world.list(Vendor::Lambda, call.account, None).filter(|_| !is_empty);
    data(all.map(|one| row(&world.market, one)).collect::<Vec<_>>())
}

/// `GET /instances/{id}`
pub(super) fn get(world: &World, call: &Call, id: &str) -> Answer {
    match world.read(Vendor::Lambda, call.account, id) {
        Some(one) => data(row(&world.market, one)),
        None => no_such("instance"),
    }
}

fn instance_type(kind: &BoxKind) -> Value {
    json!({
        "name": kind.name,
        "description": kind.description,
        "gpu_description": kind.gpu_description,
        "price_cents_per_hour": kind.price_cents_per_hour,
        "specs": {
            "vcpus": kind.vcpus,
            "memory_gib": kind.memory_gib,
            "storage_gib": kind.storage_gib,
            "gpus": kind.gpus,
        },
    })
}

fn region(name: &str) -> Value {
    json!({ "name": name, "description": name })
}

pub(super) fn row(market: &Market, one: &Instance) -> Value {
    let (kind, at) = match &one.order.place {
        Place::Box { name, region } => (market.instance_type(name), region.as_str()),
        _ => (None, ""),
    };
    let status = match one.phase {
        Phase::Accepted | Phase::Booting => "booting",
        Phase::Running => "active",
        Phase::Preempted => "preempted",
        Phase::Stopped | Phase::Exited | Phase::Failed => "unhealthy",
        Phase::Ending => "terminating",
        Phase::Over => "terminated",
    };
    let is_up = one.phase == Phase::Running;
    let tags: Vec<Value> =
        one.order.labels.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    json!({
        "id": one.id,
        "name": (!one.order.name.is_empty()).then_some(&one.order.name),
        "ip": is_up.then_some(one.address),
        "private_ip": is_up.then_some("10.19.0.4"),
        "status": status,
        "ssh_key_names": ["cooperator"],
        "file_system_names": [],
        "region": region(at),
        "instance_type": kind.map(instance_type),
        "hostname": is_up.then(|| format!("{}.cloud.example.org", one.id)),
        "is_reserved": false,
        "tags": tags,
    })
}
