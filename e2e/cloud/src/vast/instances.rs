//! Instances: what is read of them, and what is changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cooperator_core::market::Terms;
use cooperator_core::time::Timestamp;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::filter::{Field, Test};
use super::{find, invalid, no_such_instance, refuse};
use crate::backend::{Key, Payload};
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::{Market, Place};
use crate::vendor::Vendor;
use crate::wire::{self, Object, epoch, micros};
use crate::world::{Instance, Phase, Refusal, World};

/// Most rows of a page.
const PAGE: usize = 25;

/// `GET /api/v0/instances/{id}/`
pub(super) fn get(world: &World, call: &Call, id: &str) -> Answer {
    let found = world.read(Vendor::Vast, call.account, id).map(|one| row(&world.market, one, world.now()));
    Answer::ok(&Object::new().with("instances", found))
}

/// `GET /api/v1/instances/`
pub(super) fn list(world: &World, call: &Call) -> Answer {
    let limit = match call.query("limit").map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(limit)) if limit > 0 => limit.min(PAGE),
        Some(_) => return invalid("limit must be a whole number from 1 to 25"),
    };
    let after = match call.query("after_token").filter(|token| !token.is_empty()).map(read_token) {
        None => None,
        Some(Some(key)) => Some(key),
        Some(None) => return invalid("after_token is not one that was given out"),
    };
    if !call.query("order_by").is_none_or(is_by_age) {
        return invalid("order_by can here only be id or start_date, ascending");
    }
    let filters = call.query("select_filters").unwrap_or("{}");
    let tests = match serde_json::from_str::<Map<String, Value>>(filters).map(|map| Test::all(&map)) {
        Ok(Ok(tests)) => tests,
        Ok(Err(message)) => return invalid(&message),
        Err(_) => return invalid("select_filters is no JSON object"),
    };
    if let Some(test) = tests.iter().find(|test| !FIELDS.contains(&test.name.as_str())) {
        return invalid(&format!("unknown field {}", test.name));
    }
    let (total, page) = select(world, call.account, &tests, after, limit + 1);
    page_of(world, call, total, &page, limit)
}

/// How many there are in all, and the first of those that come after a key.
fn select<'a>(
    world: &'a World,
    account: usize,
    tests: &[Test],
    after: Option<Key>,
    most: usize,
) -> (usize, Vec<&'a Instance>) {
    let fits = |one: &&Instance| tests.iter().all(|test| test.holds(field(&world.market, one, &test.name)));
    let label = tests.iter().find(|test| test.name == "label").and_then(Test::equal_text);
    if let Some(label) = label {
        let all: Vec<_> = world.named(Vendor::Vast, account, label).filter(fits).collect();
        let page = all.iter().copied().filter(|one| after.is_none_or(|after| one.key > after)).take(most);
        return (all.len(), page.collect());
    }
    let total = if tests.is_empty() {
        world.listed(Vendor::Vast, account)
    } else {
        world.list(Vendor::Vast, account, None).filter(fits).count()
    };
    (total, world.list(Vendor::Vast, account, after).filter(fits).take(most).collect())
}

fn page_of(world: &World, call: &Call, total: usize, found: &[&Instance], limit: usize) -> Answer {
    let mut page = &found[..found.len().min(limit)];
    let has_more = found.len() > limit;
    let mut token =
        page.last().filter(|_| has_more).map(|one| STANDARD.encode(format!("{{\"id\": {}}}", one.key)));
    if call.meets(Fault::EmptyPage) {
        (page, token) = (&[], None);
    }
    let mut labels = Map::new();
    for one in page {
        let count = world.named(Vendor::Vast, call.account, &one.order.name).count();
        labels.insert(one.order.name.clone(), json!(count));
    }
    let rows: Vec<Object> = page.iter().map(|one| row(&world.market, one, world.now())).collect();
    let body = Object::new()
        .with("success", true)
        .with("instances_found", page.len())
        .with("total_instances", total)
        .with("label_counts", labels)
        .with("next_token", token)
        .with("instances", rows);
    Answer::ok(&body)
}

/// `PUT /api/v0/instances/{id}/`
pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        state: Option<String>,
        label: Option<String>,
    }
    let Some(key) = find(world, call, id).map(|one| one.key) else { return no_such_instance(id) };
    let Ok(body) = call.json::<Body>() else { return invalid("the body is not what this endpoint takes") };
    if let Some(label) = &body.label {
        world.rename(key, label);
    }
    let done = match body.state.as_deref() {
        Some("running") => world.start(key),
        Some("stopped" | "frozen") => world.stop(key),
        None if body.label.is_some() => Ok(()),
        _ => return invalid("state is one of running, stopped, frozen"),
    };
    match done {
        // To stop what stands is no error, nor to start what runs.
        Ok(()) | Err(Refusal::State) => Answer::ok(&json!({ "success": true })),
        Err(_) => refuse(StatusCode::BAD_REQUEST, "resources_unavailable", "the machine's GPUs are in use"),
    }
}

/// `PUT /api/v0/instances/bid_price/{id}/`
pub(super) fn bid(world: &mut World, call: &Call, id: &str) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        price: Number,
    }
    let Some(instance) = find(world, call, id) else { return no_such_instance(id) };
    let (key, phase, is_bid) = (instance.key, instance.phase, instance.order.bid.is_some());
    let least = ask_of(&world.market, instance).map(|(ask, _)| ask.min_bid).unwrap_or_default();
    let Ok(body) = call.json::<Body>() else { return invalid("price is needed") };
    let Some(price) = wire::price(&body.price).filter(|price| price.micros() > 0) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_price", "price must be above zero");
    };
    if !is_bid {
        return invalid("the instance is not let to the highest bid");
    }
    world.rebid(key, price);
    if price >= least && matches!(phase, Phase::Preempted | Phase::Stopped) {
        // It starts again if its place is free; if not, it waits, and the bid stands all the same.
        world.start(key).unwrap_or_default();
    }
    Answer::ok(&json!({ "success": true }))
}

fn read_token(token: &str) -> Option<Key> {
    let text = STANDARD.decode(token).ok()?;
    let value: Value = serde_json::from_slice(&text).ok()?;
    usize::try_from(value.get("id")?.as_u64()?).ok().map(Key)
}

fn is_by_age(order: &str) -> bool {
    let Ok(Value::Array(columns)) = serde_json::from_str(order) else { return false };
    columns.iter().all(|column| {
        let text = |name: &str| column.get(name).and_then(Value::as_str);
        matches!(text("col"), Some("id" | "start_date")) && text("dir").is_none_or(|way| way == "asc")
    })
}

fn ask_of<'a>(
    market: &'a Market,
    one: &Instance,
) -> Option<(&'a crate::market::Ask, &'a crate::market::Host)> {
    match &one.order.place {
        Place::Ask(id) => market.ask(*id),
        _ => None,
    }
}

/// What is said of the container, and what the tenant wants: `actual_status`, `intended_status`, `cur_state`.
fn states(one: &Instance) -> (Option<&'static str>, &'static str, &'static str) {
    match one.phase {
        Phase::Accepted => (None, "running", "running"),
        Phase::Booting => (Some("loading"), "running", "running"),
        Phase::Running => (Some("running"), "running", "running"),
        // All three stopped: by the tenant, or because another bids more.
        Phase::Stopped | Phase::Preempted => (Some("exited"), "stopped", "stopped"),
        Phase::Exited | Phase::Failed => (Some("exited"), "running", "running"),
        Phase::Ending | Phase::Over => (Some("offline"), "stopped", "stopped"),
    }
}

/// Fields that can be filtered by.
const FIELDS: [&str; 8] =
    ["id", "label", "actual_status", "intended_status", "cur_state", "machine_id", "gpu_name", "num_gpus"];

fn field<'a>(market: &'a Market, one: &'a Instance, name: &str) -> Field<'a> {
    let (actual, intended, current) = states(one);
    let ask = ask_of(market, one);
    match name {
        "id" => one.id.parse().map_or(Field::Null, Field::whole),
        "label" => Field::Text(&one.order.name),
        "actual_status" => actual.map_or(Field::Null, Field::Text),
        "intended_status" => Field::Text(intended),
        "cur_state" => Field::Text(current),
        "machine_id" => ask.map_or(Field::Null, |(ask, _)| Field::whole(ask.machine_id)),
        "gpu_name" => ask.and_then(|(_, host)| host.gpu.as_deref()).map_or(Field::Null, Field::Text),
        "num_gpus" => ask.map_or(Field::Null, |(ask, _)| Field::whole(u64::from(ask.slots))),
        _ => Field::Null,
    }
}

fn row(market: &Market, one: &Instance, now: Timestamp) -> Object {
    let (actual, intended, current) = states(one);
    let order = &one.order;
    let (disk, storage, _) = order.paid_disk;
    let terms = Terms { hourly: order.hourly, disk_month_micros: storage, ..Terms::default() };
    let is_up = actual == Some("running");
    let uptime = one.running.filter(|_| is_up).map(|since| now.duration_since(since).as_secs() / 60);
    let message = if is_up { format!("success, running {}", order.image) } else { one.said.clone() };
    let mut row = Object::new()
        .with("id", one.id.parse::<u64>().ok())
        .with("actual_status", actual)
        .with("intended_status", intended)
        .with("cur_state", current)
        .with("next_state", current)
        .with("label", if order.name.is_empty() { None } else { Some(&order.name) })
        .with("image_uuid", &order.image)
        .with("image_runtype", "args")
        .with("status_msg", message)
        .with("is_bid", order.bid.is_some())
        .with("is_vm", matches!(order.payload, Payload::UserData(_)))
        .decimal("start_date", epoch(one.created))
        .with("uptime_mins", uptime)
        .with("public_ipaddr", is_up.then_some(one.address))
        .with("ssh_host", is_up.then_some(one.address))
        .with("ssh_port", is_up.then_some(22))
        .with("disk_space", disk)
        .decimal("dph_base", order.hourly)
        .decimal("dph_total", terms.hourly_with(disk).unwrap_or(order.hourly))
        .decimal("storage_cost", micros(storage))
        .decimal("inet_up_cost", micros(order.traffic.up_micros))
        .decimal("inet_down_cost", micros(order.traffic.down_micros));
    if let Some((ask, host)) = ask_of(market, one) {
        let slots = u64::from(ask.slots);
        let end = Timestamp::from_second(one.created.as_second().saturating_add_unsigned(host.duration))
            .unwrap_or(Timestamp::MAX);
        row = row
            .with("machine_id", ask.machine_id)
            .with("host_id", host.host_id)
            .with("gpu_name", &host.gpu)
            .with("num_gpus", if host.gpu.is_some() { slots } else { 0 })
            .with("gpu_ram", host.gpu_ram)
            .with("cpu_cores", None::<u64>)
            .decimal("cpu_cores_effective", micros(host.cpu_millis * slots * 1_000))
            .with("cpu_ram", host.cpu_ram * slots)
            .decimal("min_bid", ask.min_bid)
            .decimal("reliability2", wire::basis_points(host.reliability))
            .with("verification", if host.verified { "verified" } else { "unverified" })
            .with("geolocation", &host.geolocation)
            .decimal("end_date", epoch(end))
            .with("duration", end.duration_since(now).as_secs().max(0));
    }
    row
}
