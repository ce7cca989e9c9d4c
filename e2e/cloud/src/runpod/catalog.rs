//! `GET /catalog/gpus`: what is for rent.

use serde_json::json;

use super::invalid;
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::PodKind;
use crate::wire::Object;
use crate::world::World;

pub(super) fn gpus(world: &World, call: &Call) -> Answer {
    let has_availability =
        call.query("include").is_some_and(|list| list.split(',').any(|one| one == "AVAILABILITY"));
    if has_availability && call.query("product").is_none() {
        return invalid("include=AVAILABILITY requires product");
    }
    let count = match call.query("count").map(str::parse::<u32>) {
        None => 1,
        Some(Ok(count)) if count > 0 => count,
        Some(_) => return invalid("count must be a whole number above zero"),
    };
    let cloud = call.query("cloud");
    if cloud.is_some_and(|cloud| !["SECURE", "COMMUNITY"].contains(&cloud)) {
        return invalid("cloud is one of SECURE, COMMUNITY");
    }
    if call.meets(Fault::EmptyPage) {
        return Answer::ok(&json!({ "gpus": [] }));
    }
    let countries: Vec<&str> =
        call.query("countryCodes").map(|list| list.split(',').collect()).unwrap_or_default();
    let is_there = |kind: &&PodKind| match cloud {
        Some("SECURE") => kind.secure.micros() > 0,
        Some(_) => kind.community.micros() > 0,
        None => true,
    };
    let kinds = world.market.pods.iter().filter(is_there);
    let rows: Vec<Object> = kinds.map(|kind| row(kind, has_availability, count, &countries)).collect();
    Answer::ok(&Object::new().with("gpus", rows))
}

fn row(kind: &PodKind, has_availability: bool, count: u32, countries: &[&str]) -> Object {
    let price = Object::new().decimal("secure", kind.secure).decimal("community", kind.community);
    let most = |is_there: bool| if is_there { kind.max_count } else { 0 };
    let (secure, community) = (kind.secure.micros() > 0, kind.community.micros() > 0);
    let row = Object::new()
        .with("id", &kind.id)
        .with("name", &kind.name)
        .with("pool", None::<&str>)
        .with("manufacturer", "NVIDIA")
        .with("memory", kind.memory)
        .with("secure", secure)
        .with("community", community)
        .with("price", price)
        .with("maxCount", json!({ "secure": most(secure), "community": most(community) }));
    if !has_availability {
        return row;
    }
    let fits = |place: &str| {
        let country = place.split('-').next().unwrap_or_default();
        countries.is_empty() || countries.contains(&country)
    };
    let places = kind.free.iter().filter(|(place, _)| fits(place));
    let best = places.clone().map(|(_, free)| free / count).max().unwrap_or_default();
    let best = if count > kind.max_count { 0 } else { best };
    let places: Vec<_> = places
        .map(|(place, free)| json!({ "id": place, "name": place, "availability": level(free / count) }))
        .collect();
    row.with("availability", level(best)).with("dataCenters", places)
}

/// How many pods could be had, in the vendor's words.
const fn level(pods: u32) -> &'static str {
    match pods {
        0 => "NONE",
        1..=2 => "LOW",
        3..=8 => "MEDIUM",
        _ => "HIGH",
    }
}
