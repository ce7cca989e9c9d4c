//! Pods: what is read of them.

use cooperator_core::time::{Timestamp, whole_second};
use http::StatusCode;
use serde_json::json;

use super::{find, no_such_pod};
use crate::backend::Payload;
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::{Market, Place};
use crate::vendor::Vendor;
use crate::wire::Object;
use crate::world::{Instance, Phase, World};

/// `GET /pods`: all of them, there are no pages.
pub(super) fn list(world: &World, call: &Call) -> Answer {
    let is_empty = call.meets(Fault::EmptyPage);
    let pods = world.list(Vendor::RunPod, call.account, None).filter(|_| !is_empty);
    let rows: Vec<Object> = pods.map(|one| pod(&world.market, one, world.now())).collect();
    Answer::ok(&Object::new().with("pods", rows))
}

/// `GET /pods/{id}`
pub(super) fn get(world: &World, call: &Call, id: &str) -> Answer {
    match world.read(Vendor::RunPod, call.account, id) {
        Some(one) => Answer::ok(&pod(&world.market, one, world.now())),
        None => no_such_pod(id),
    }
}

/// `GET /pods/{id}/logs`: server-sent events.
pub(super) fn logs(world: &World, call: &Call, id: &str) -> Answer {
    let Some(one) = find(world, call, id) else { return no_such_pod(id) };
    let event = |source: &str, line: &str| {
        format!("data: {}\n\n", json!({ "source": source, "line": line, "time": one.created }))
    };
    let mut text = event("system", &format!("pod {id} is {}", status(one)));
    text.extend(
        call.backend
            .logs(one.key)
            .iter()
            .flat_map(|printed| printed.lines())
            .map(|line| event("container", line)),
    );
    Answer::text(StatusCode::OK, "text/event-stream", text)
}

pub(super) const fn status(one: &Instance) -> &'static str {
    match one.phase {
        Phase::Accepted => "PROVISIONING",
        Phase::Booting => "STARTING",
        Phase::Running => "RUNNING",
        Phase::Stopped | Phase::Preempted | Phase::Exited => "EXITED",
        Phase::Failed => "ERROR",
        Phase::Ending | Phase::Over => "TERMINATED",
    }
}

pub(super) fn pod(market: &Market, one: &Instance, now: Timestamp) -> Object {
    let order = &one.order;
    let status = status(one);
    let (id, count, data_center) = match &order.place {
        Place::Pod { id, count, data_center } => (id.as_str(), *count, data_center.as_str()),
        _ => ("", 0, ""),
    };
    let actions: &[&str] = match one.phase {
        Phase::Accepted | Phase::Booting | Phase::Running => &["stop", "restart", "terminate"],
        Phase::Ending | Phase::Over => &[],
        _ => &["start", "terminate"],
    };
    let (environment, arguments) = match &order.payload {
        Payload::Container(container) => (container.environment.clone(), container.arguments.join(" ")),
        Payload::UserData(_) => (Vec::new(), String::new()),
    };
    let environment: serde_json::Map<_, _> =
        environment.into_iter().map(|(name, value)| (name, json!(value))).collect();
    let is_up = one.phase == Phase::Running;
    let runtime = one.running.filter(|_| is_up).map(|since| {
        let port = json!({ "private": 22, "public": 22_000, "ip": one.address, "type": "tcp" });
        json!({ "uptime": now.duration_since(since).as_secs(), "ports": [port] })
    });
    let direct = is_up.then(|| {
        let command = format!("ssh root@{} -p 22000", one.address);
        json!({ "host": one.address, "port": 22_000, "username": "root", "command": command })
    });
    let mounts = match order.paid_disk.0 {
        0 => json!({}),
        size => json!({ "persistent": { "size": size, "path": "/workspace" } }),
    };
    let price = if one.phase.is_up() { order.hourly } else { Default::default() };
    let known = market.pod(id).is_some();
    Object::new()
        .with("id", &one.id)
        .with("name", &order.name)
        .with("status", status)
        .with("actions", actions)
        .with("image", &order.image)
        .with("args", arguments)
        .with("env", environment)
        .with("disk", order.disk_gib)
        .with("mounts", mounts)
        .with("gpu", json!({ "id": id, "count": count }))
        .with("cloud", order.labels.get("cloud"))
        .with("dataCenterId", (known && one.phase != Phase::Accepted).then_some(data_center))
        .with("cudaVersion", is_up.then_some("12.8"))
        .with("ssh", json!({ "proxy": null, "direct": direct }))
        .with("template", None::<&str>)
        .decimal("cost", price)
        .with("locked", false)
        .with("globalNetworking", json!({ "enabled": false }))
        .with("runtime", runtime)
        .with("createdAt", whole_second(one.created))
        .with("startedAt", one.started.map(whole_second))
}
