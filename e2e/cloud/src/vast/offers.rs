//! `POST /api/v0/bundles/`: what is for rent.

use cooperator_core::market::Terms;
use cooperator_core::money::PricePerHour;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::filter::{Field, Test};
use super::invalid;
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::{Ask, Host, Place};
use crate::wire::{Object, basis_points, micros};
use crate::world::World;

/// Rows of an answer whose request says no limit.
const DEFAULT_LIMIT: u64 = 64;
/// GB of disk in `dph_total` when the request says none.
const DEFAULT_STORAGE: u64 = 5;

/// An offer, as one search sees it.
struct Row<'a> {
    id: u64,
    ask: &'a Ask,
    host: &'a Host,
    is_free: bool,
    is_bid: bool,
    /// With the disk that was asked for.
    dph_total: PricePerHour,
}

/// The parts of a search that are no filter.
struct Search {
    tests: Vec<Test>,
    order: Vec<(String, bool)>,
    limit: usize,
    storage: u64,
    is_bid: bool,
}

pub(super) fn search(world: &World, call: &Call) -> Answer {
    let Ok(body) = call.json::<Map<String, Value>>() else { return invalid("the body is no JSON object") };
    // Older clients put all of it below `q`.
    let body = match body.get("q") {
        Some(Value::Object(inner)) => inner.clone(),
        _ => body,
    };
    let search = match parse(&body) {
        Ok(search) => search,
        Err(message) => return invalid(&message),
    };
    if call.meets(Fault::EmptyPage) {
        return Answer::ok(&json!({ "offers": [] }));
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (id, ask) in &world.market.asks {
        let Some((_, host)) = world.market.ask(*id) else { continue };
        let row = Row::of(world, *id, ask, host, &search);
        // Those that have left the market are in no answer; those that are let are, unless they are filtered out.
        if !ask.withdrawn
            && search.tests.iter().all(|test| test.holds(row.field(&test.name).unwrap_or(Field::Null)))
        {
            rows.push(row);
        }
    }
    for (name, is_descending) in search.order.iter().rev() {
        rows.sort_by(|left, right| {
            let (left, right) = (left.field(name), right.field(name));
            let order = left.unwrap_or(Field::Null).compare(&right.unwrap_or(Field::Null));
            if *is_descending { order.reverse() } else { order }
        });
    }
    rows.truncate(search.limit);
    let offers: Vec<Object> = rows.iter().map(Row::object).collect();
    Answer::json(StatusCode::OK, &Object::new().with("offers", offers))
}

fn parse(body: &Map<String, Value>) -> Result<Search, String> {
    let mut search = Search {
        tests: Vec::new(),
        order: Vec::new(),
        limit: DEFAULT_LIMIT as usize,
        storage: DEFAULT_STORAGE,
        is_bid: false,
    };
    for (name, value) in body {
        match name.as_str() {
            "limit" => {
                let limit = value.as_u64().ok_or("limit is no whole number")?;
                search.limit = usize::try_from(limit).unwrap_or(usize::MAX);
            }
            "allocated_storage" => {
                search.storage = value.as_f64().ok_or("allocated_storage is no number")?.ceil() as u64;
            }
            "type" => {
                search.is_bid = match value.as_str() {
                    Some("bid" | "interruptible") => true,
                    Some("on-demand" | "ondemand" | "ask" | "reserved") => false,
                    _ => return Err("type is one of on-demand, reserved, bid".to_owned()),
                };
            }
            "order" => search.order = order(value)?,
            // Heeded by the vendor, and nothing here depends on them.
            "external" | "disable_bundling" | "client_id" | "resource_type" => {}
            _ if Row::has(name) => search.tests.extend(Test::parse(name, value)?),
            _ => return Err(format!("unknown field {name}")),
        }
    }
    Ok(search)
}

fn order(value: &Value) -> Result<Vec<(String, bool)>, String> {
    let wrong = || "order is a list of [field, asc or desc]".to_owned();
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(way)]) => Ok((name.clone(), way == "desc")),
        _ => Err(wrong()),
    };
    value.as_array().ok_or_else(wrong)?.iter().map(pair).collect()
}

/// Fields that can be asked for and are always the same here.
const FIXED: [&str; 6] =
    ["direct_port_count", "inet_up", "inet_down", "compute_cap", "cuda_max_good", "datacenter"];

impl<'a> Row<'a> {
    fn of(world: &World, id: u64, ask: &'a Ask, host: &'a Host, search: &Search) -> Self {
        let base = if search.is_bid { ask.min_bid } else { ask.dph_base };
        let terms = Terms { hourly: base, disk_month_micros: ask.storage_cost, ..Terms::default() };
        Self {
            id,
            ask,
            host,
            is_free: world.market.is_free(&Place::Ask(id)),
            is_bid: search.is_bid,
            dph_total: terms.hourly_with(search.storage).unwrap_or(base),
        }
    }

    fn has(name: &str) -> bool {
        const NAMES: [&str; 25] = [
            "id",
            "ask_contract_id",
            "machine_id",
            "host_id",
            "gpu_name",
            "num_gpus",
            "gpu_ram",
            "gpu_total_ram",
            "cpu_cores",
            "cpu_cores_effective",
            "cpu_ram",
            "disk_space",
            "dph_base",
            "dph_total",
            "min_bid",
            "storage_cost",
            "inet_up_cost",
            "inet_down_cost",
            "reliability",
            "reliability2",
            "verified",
            "geolocation",
            "duration",
            "rentable",
            "rented",
        ];
        NAMES.contains(&name)
            || FIXED.contains(&name)
            || ["vms_enabled", "static_ip", "total_flops"].contains(&name)
    }

    fn slots(&self) -> u64 {
        u64::from(self.ask.slots)
    }

    fn gpus(&self) -> u64 {
        if self.host.gpu.is_some() { self.slots() } else { 0 }
    }

    fn base(&self) -> PricePerHour {
        if self.is_bid { self.ask.min_bid } else { self.ask.dph_base }
    }

    fn field(&self, name: &str) -> Option<Field<'a>> {
        let price = |price: PricePerHour| Field::Number(i128::from(price.micros()));
        let micros = |micros: u64| Field::Number(i128::from(micros));
        let points = |points: u32| Field::Number(i128::from(points) * 100);
        Some(match name {
            "id" | "ask_contract_id" => Field::whole(self.id),
            "machine_id" => Field::whole(self.ask.machine_id),
            "host_id" => Field::whole(self.host.host_id),
            "gpu_name" => self.host.gpu.as_deref().map_or(Field::Null, Field::Text),
            "num_gpus" => Field::whole(self.gpus()),
            "gpu_ram" => Field::whole(self.host.gpu_ram),
            "gpu_total_ram" => Field::whole(self.host.gpu_ram * self.gpus()),
            "cpu_cores" | "cpu_cores_effective" => {
                Field::Number(i128::from(self.host.cpu_millis * self.slots()) * 1_000)
            }
            "cpu_ram" => Field::whole(self.host.cpu_ram * self.slots()),
            "disk_space" => Field::whole(self.host.disk_space * self.slots()),
            "dph_base" => price(self.base()),
            "dph_total" => price(self.dph_total),
            "min_bid" => price(self.ask.min_bid),
            "storage_cost" => micros(self.ask.storage_cost),
            "inet_up_cost" => micros(self.ask.inet_up_cost),
            "inet_down_cost" => micros(self.ask.inet_down_cost),
            "reliability" | "reliability2" => points(self.host.reliability),
            "verified" => Field::Bool(self.host.verified),
            "geolocation" => Field::Place(&self.host.geolocation),
            "duration" => Field::whole(self.host.duration),
            "rentable" => Field::Bool(self.is_free),
            "rented" => Field::Bool(!self.is_free),
            "vms_enabled" => Field::Bool(self.host.vms_enabled),
            "static_ip" => Field::Bool(self.host.verified),
            "total_flops" => Field::Number(i128::from(self.host.gigaflops * self.gpus()) * 1_000),
            "direct_port_count" => Field::whole(100),
            "inet_up" | "inet_down" => Field::whole(800),
            "compute_cap" => Field::whole(890),
            "cuda_max_good" => Field::Number(12_800_000),
            "datacenter" => Field::Bool(self.host.verified),
            _ => return None,
        })
    }

    fn object(&self) -> Object {
        let Self { id, ask, host, is_free, is_bid, dph_total } = self;
        let tera = micros(host.gigaflops * self.gpus() * 1_000);
        let per_dollar = per_dollar(host.gigaflops * self.gpus(), *dph_total);
        Object::new()
            .with("id", id)
            .with("ask_contract_id", id)
            .with("machine_id", ask.machine_id)
            .with("host_id", host.host_id)
            .with("gpu_name", &host.gpu)
            .with("num_gpus", self.gpus())
            .with("gpu_ram", host.gpu_ram)
            .with("gpu_total_ram", host.gpu_ram * self.gpus())
            // The vendor does not always know.
            .with("cpu_cores", (id % 7 != 0).then_some(host.cpu_millis * self.slots() / 1_000))
            .decimal("cpu_cores_effective", micros(host.cpu_millis * self.slots() * 1_000))
            .with("cpu_ram", host.cpu_ram * self.slots())
            .with("disk_space", host.disk_space * self.slots())
            .decimal("dph_base", self.base())
            .decimal("dph_total", dph_total)
            .decimal("min_bid", ask.min_bid)
            .decimal("storage_cost", micros(ask.storage_cost))
            .decimal("inet_up_cost", micros(ask.inet_up_cost))
            .decimal("inet_down_cost", micros(ask.inet_down_cost))
            .decimal("reliability", basis_points(host.reliability))
            .decimal("reliability2", basis_points(host.reliability))
            .with("verification", if host.verified { "verified" } else { "unverified" })
            .with("verified", host.verified)
            .with("geolocation", &host.geolocation)
            .with("duration", host.duration)
            .decimal("total_flops", tera)
            .decimal("dlperf", tera)
            .decimal("flops_per_dphtotal", per_dollar)
            .decimal("dlperf_per_dphtotal", per_dollar)
            .with("compute_cap", 890)
            .decimal("cuda_max_good", "12.8")
            .with("static_ip", host.verified)
            .with("direct_port_count", 100)
            .with("inet_up", 800)
            .with("inet_down", 800)
            .with("vms_enabled", host.vms_enabled)
            .with("is_bid", is_bid)
            .with("rentable", is_free)
            .with("rented", !is_free)
    }
}

/// 10^12 operations a second for a dollar an hour.
fn per_dollar(gigaflops: u64, hourly: PricePerHour) -> cooperator_core::money::Amount {
    let milli = u128::from(gigaflops) * 1_000_000_000 / u128::from(hourly.micros().max(1));
    micros(u64::try_from(milli).unwrap_or(u64::MAX))
}
