//! What is for rent, and where.

use std::collections::BTreeSet;

use cooperator_core::money::{Amount, PricePerHour};
use serde_json::{Value, json};

use super::Page;
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::ServerKind;
use crate::wire::Object;
use crate::world::World;

/// `GET /server_types`
pub(super) fn server_types(world: &World, call: &Call) -> Answer {
    let page = match Page::of(call) {
        Ok(page) => page,
        Err(answer) => return answer,
    };
    let name = call.query("name");
    let is_empty = call.meets(Fault::EmptyPage);
    let kinds = world.market.servers.iter().filter(|kind| name.is_none_or(|name| name == kind.name));
    let total = kinds.clone().count();
    let rows: Vec<Object> =
        kinds.skip(page.skipped()).take(page.size).filter(|_| !is_empty).map(row).collect();
    Answer::ok(&Object::new().with("server_types", rows).with("meta", page.meta(total)))
}

/// An hour and a month in a location: net and gross are the same, as for who pays no VAT here.
fn price(location: &str, hourly: PricePerHour) -> Value {
    let text = |amount: Amount| amount.with_places(10);
    let both = |amount: Amount| json!({ "net": text(amount), "gross": text(amount) });
    let hour = hourly.amount(3_600).unwrap_or_default();
    // A month is 625 hours at most, as the vendor caps it.
    let month = hourly.amount(625 * 3_600).unwrap_or_default();
    json!({
        "location": location,
        "price_hourly": both(hour),
        "price_monthly": both(month),
        "included_traffic": 21_990_232_555_520_u64,
        "price_per_tb_traffic": both("1.00".parse().unwrap_or_default()),
    })
}

pub(super) fn row(kind: &ServerKind) -> Object {
    let prices: Vec<Value> = kind.prices.iter().map(|(location, hourly)| price(location, *hourly)).collect();
    let at = |name: &String| json!({ "name": name, "available": kind.free.get(name).is_some_and(|free| *free > 0) });
    let locations: Vec<Value> = kind.prices.keys().map(at).collect();
    Object::new()
        .with("id", kind.id)
        .with("name", &kind.name)
        .with("description", kind.name.to_uppercase())
        .with("category", if kind.cpu_type == "shared" { "cost_optimized" } else { "general_purpose" })
        .with("cores", kind.cores)
        .decimal("memory", format!("{}.0", kind.memory))
        .with("disk", kind.disk)
        .with("storage_type", "local")
        .with("cpu_type", &kind.cpu_type)
        .with("architecture", &kind.architecture)
        .with("deprecated", false)
        .with("deprecation", None::<u8>)
        .with("prices", prices)
        .with("locations", locations)
}

/// The names of all locations.
pub(super) fn location_names(world: &World) -> BTreeSet<&str> {
    world.market.servers.iter().flat_map(|kind| kind.prices.keys()).map(String::as_str).collect()
}

pub(super) fn location(name: &str) -> Value {
    let country = match name {
        "hel1" => "FI",
        "ash" | "hil" => "US",
        "sin" => "SG",
        _ => "DE",
    };
    json!({ "name": name, "description": name, "country": country, "network_zone": "eu-central" })
}

/// `GET /locations`
pub(super) fn locations(world: &World, call: &Call) -> Answer {
    let row = |name: &str| Object::new().with("name", name).with("country", &location(name)["country"]);
    list("locations", call, location_names(world).into_iter().map(row).collect())
}

/// `GET /datacenters`: of which server types there are some.
pub(super) fn data_centers(world: &World, call: &Call) -> Answer {
    let row = |name: &str| {
        let kinds = world.market.servers.iter();
        let ids = |most: u32| {
            let some =
                kinds.clone().filter(move |kind| kind.free.get(name).is_some_and(|free| *free >= most));
            some.map(|kind| kind.id).collect::<Vec<_>>()
        };
        let types = json!({ "available": ids(1), "available_for_migration": ids(1), "supported": ids(0) });
        Object::new()
            .with("name", format!("{name}-dc1"))
            .with("location", location(name))
            .with("server_types", types)
    };
    list("datacenters", call, location_names(world).into_iter().map(row).collect())
}

/// `GET /ssh_keys`
pub(super) fn ssh_keys(world: &World, call: &Call) -> Answer {
    let names = world.accounts.get(call.account).into_iter().flat_map(|account| account.ssh_keys.iter());
    let row = |(number, name): (usize, &String)| {
        Object::new().with("id", number + 1).with("name", name).with("public_key", "ssh-ed25519 AAAA")
    };
    list("ssh_keys", call, names.enumerate().map(row).collect())
}

fn list(name: &'static str, call: &Call, rows: Vec<Object>) -> Answer {
    match Page::of(call) {
        Ok(page) => page.answer(name, rows),
        Err(answer) => answer,
    }
}
