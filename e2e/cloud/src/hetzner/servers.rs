//! Servers: what is read of them, and what is changed.

use std::collections::BTreeMap;

use cooperator_core::time::whole_second;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::selector::Selector;
use super::{Hetzner, Page, catalog, error, find, invalid, not_found};
use crate::call::{Answer, Call, Dialect as _};
use crate::fault::Fault;
use crate::market::{Market, Place};
use crate::vendor::Vendor;
use crate::wire::Object;
use crate::world::{Instance, Phase, Refusal, World};

/// `GET /servers`
pub(super) fn list(world: &World, call: &Call) -> Answer {
    let page = match Page::of(call) {
        Ok(page) => page,
        Err(answer) => return answer,
    };
    let selector = match call.query("label_selector").map(Selector::parse) {
        None => None,
        Some(Some(selector)) => Some(selector),
        Some(None) => return invalid("invalid input in field 'label_selector'"),
    };
    let wanted: Vec<&str> =
        call.query.iter().filter(|(name, _)| name == "status").map(|(_, value)| value.as_str()).collect();
    let fits = |one: &&Instance| {
        selector.as_ref().is_none_or(|selector| selector.holds(&one.order.labels))
            && (wanted.is_empty() || wanted.contains(&status(one)))
    };
    let mut found: Vec<&Instance> = match call.query("name") {
        Some(name) => world.named(Vendor::Hetzner, call.account, name).filter(fits).collect(),
        None => world.list(Vendor::Hetzner, call.account, None).filter(fits).collect(),
    };
    match call.query("sort") {
        None | Some("id" | "id:asc" | "created" | "created:asc") => {}
        Some("id:desc" | "created:desc") => found.reverse(),
        Some("name" | "name:asc") => found.sort_by(|left, right| left.order.name.cmp(&right.order.name)),
        Some("name:desc") => found.sort_by(|left, right| right.order.name.cmp(&left.order.name)),
        Some(_) => return invalid("invalid input in field 'sort'"),
    }
    let is_empty = call.meets(Fault::EmptyPage);
    let shown = found.iter().skip(page.skipped()).take(page.size).filter(|_| !is_empty);
    let rows: Vec<Object> = shown.map(|one| row(&world.market, one)).collect();
    Answer::ok(&Object::new().with("servers", rows).with("meta", page.meta(found.len())))
}

/// `GET /servers/{id}`
pub(super) fn get(world: &World, call: &Call, id: &str) -> Answer {
    match world.read(Vendor::Hetzner, call.account, id) {
        Some(one) => Answer::ok(&Object::new().with("server", row(&world.market, one))),
        None => not_found(&format!("server with ID '{id}'")),
    }
}

/// `PUT /servers/{id}`
pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        name: Option<String>,
        labels: Option<BTreeMap<String, String>>,
    }
    let Some((key, old)) = find(world, call, id).map(|one| (one.key, one.order.name.clone())) else {
        return not_found("server");
    };
    let Ok(body) = call.json::<Body>() else { return invalid("the body is not what this endpoint takes") };
    if let Some(name) = body.name.filter(|name| *name != old) {
        if world.has_name(Vendor::Hetzner, call.account, &name) {
            return error(StatusCode::CONFLICT, "uniqueness_error", "server name is already used");
        }
        world.rename(key, &name);
    }
    if let Some(labels) = body.labels {
        world.relabel(key, labels);
    }
    get(world, call, id)
}

/// `DELETE /servers/{id}`
pub(super) fn delete(world: &mut World, call: &Call, id: &str) -> Answer {
    let Some(key) = find(world, call, id).map(|one| one.key) else { return not_found("server") };
    if world.delete(key, call.drawn).is_err() {
        return Hetzner.broken();
    }
    match world.instance(key) {
        Some(one) => Answer::ok(&json!({ "action": action_of(one, "delete_server") })),
        None => Hetzner.broken(),
    }
}

/// `POST /servers/{id}/actions/{what}`
pub(super) fn act(world: &mut World, call: &Call, id: &str, what: &str) -> Answer {
    let Some(key) = find(world, call, id).map(|one| one.key) else { return not_found("server") };
    let (done, command) = match what {
        "poweron" => (world.start(key), "start_server"),
        "poweroff" | "shutdown" => (world.stop(key), "stop_server"),
        "reboot" | "reset" => (world.stop(key).and_then(|()| world.start(key)), "reboot_server"),
        _ => return not_found("action"),
    };
    match (done, world.instance(key)) {
        (Ok(()) | Err(Refusal::State), Some(one)) => {
            Answer::json(StatusCode::CREATED, &json!({ "action": action_of(one, command) }))
        }
        _ => error(StatusCode::PRECONDITION_FAILED, "resource_unavailable", "error during placement"),
    }
}

/// Commands in the order of the last digit of their actions' ids.
const COMMANDS: [&str; 5] =
    ["create_server", "start_server", "delete_server", "stop_server", "reboot_server"];

/// `GET /actions/{id}`
pub(super) fn action(world: &World, call: &Call, id: &str) -> Answer {
    let Ok(number) = id.parse::<usize>() else { return not_found("action") };
    let command = COMMANDS.get(number % 10).copied();
    let one = world.instance(crate::backend::Key(number / 10));
    let one = one.filter(|one| one.order.vendor == Vendor::Hetzner && one.order.account == call.account);
    match (one, command) {
        (Some(one), Some(command)) => Answer::ok(&json!({ "action": action_of(one, command) })),
        _ => not_found("action"),
    }
}

/// An action on a server: done once the server is where it was to go.
pub(super) fn action_of(one: &Instance, command: &str) -> Value {
    let number = COMMANDS.iter().position(|known| *known == command).unwrap_or_default();
    let is_done = match command {
        "create_server" => one.phase != Phase::Accepted,
        "delete_server" => one.phase == Phase::Over,
        "stop_server" => true,
        _ => !matches!(one.phase, Phase::Accepted | Phase::Booting),
    };
    json!({
        "id": one.key.0 * 10 + number,
        "command": command,
        "status": if is_done { "success" } else { "running" },
        "progress": if is_done { 100 } else { 0 },
        "started": whole_second(one.created),
        "finished": is_done.then(|| whole_second(one.created)),
        "resources": [{ "id": one.id.parse::<u64>().ok(), "type": "server" }],
        "error": null,
    })
}

const fn status(one: &Instance) -> &'static str {
    match one.phase {
        Phase::Accepted => "initializing",
        Phase::Booting => "starting",
        Phase::Running => "running",
        // Nobody bids here: what the vendor takes away is switched off, and paid for.
        Phase::Stopped | Phase::Preempted | Phase::Exited => "off",
        Phase::Failed => "unknown",
        Phase::Ending | Phase::Over => "deleting",
    }
}

pub(super) fn row(market: &Market, one: &Instance) -> Object {
    let (kind, location) = match &one.order.place {
        Place::Server { name, location } => (market.server_type(name), location.as_str()),
        _ => (None, ""),
    };
    let address = json!({ "ip": one.address, "blocked": false, "dns_ptr": "static.example.org" });
    let data_center = json!({ "name": format!("{location}-dc1"), "location": catalog::location(location) });
    Object::new()
        .with("id", one.id.parse::<u64>().ok())
        .with("name", &one.order.name)
        .with("status", status(one))
        .with("created", whole_second(one.created))
        .with("public_net", json!({ "ipv4": address, "ipv6": null, "floating_ips": [], "firewalls": [] }))
        .with("private_net", [0_u8; 0])
        .with("server_type", kind.map(catalog::row))
        .with("datacenter", data_center)
        .with("location", catalog::location(location))
        .with("image", json!({ "name": one.order.image, "type": "system" }))
        .with("labels", &one.order.labels)
        .with("locked", matches!(one.phase, Phase::Accepted | Phase::Ending))
        .with("protection", json!({ "delete": false, "rebuild": false }))
        .with("rescue_enabled", false)
        .with("primary_disk_size", one.order.disk_gib)
        .with("included_traffic", 21_990_232_555_520_u64)
        .with("ingoing_traffic", 0)
        .with("outgoing_traffic", 0)
}
