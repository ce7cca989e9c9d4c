//! `POST /servers`: a server is rented.

use std::collections::BTreeMap;

use cooperator_core::market::Traffic;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Hetzner, error, invalid, servers};
use crate::backend::Payload;
use crate::call::{Answer, Call, Dialect as _};
use crate::fault::Fault;
use crate::market::{Market, Place, ServerKind};
use crate::vendor::Vendor;
use crate::wire::Object;
use crate::world::{New, World};

/// Most bytes of user-data.
const USER_DATA: usize = 32 << 10;
/// Most characters of a name, and of a label's value.
const NAME: usize = 63;

#[derive(Deserialize)]
struct Body {
    name: String,
    /// Its name or number.
    server_type: Value,
    image: Value,
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    datacenter: Option<String>,
    #[serde(default)]
    user_data: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    ssh_keys: Vec<Value>,
    #[serde(default = "yes")]
    start_after_create: bool,
}

const fn yes() -> bool {
    true
}

impl Body {
    /// What is wrong with it.
    fn fault(&self) -> Option<&'static str> {
        let is_inner = |character: char| character.is_ascii_alphanumeric() || "-.".contains(character);
        let ends_well = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        };
        if self.name.len() > NAME || !self.name.chars().all(is_inner) || !ends_well(&self.name) {
            return Some("invalid input in field 'name'");
        }
        let is_label = |text: &String| {
            let is_legal = |character: char| is_inner(character) || character == '_';
            text.is_empty() || (text.len() <= NAME && text.chars().all(is_legal) && ends_well(text))
        };
        if !self.labels.values().all(is_label) {
            return Some("invalid input in field 'labels'");
        }
        if self.user_data.as_ref().is_some_and(|text| text.len() > USER_DATA) {
            return Some("invalid input in field 'user_data'");
        }
        let is_both = self.location.is_some() && self.datacenter.is_some();
        is_both.then_some("location and datacenter exclude each other")
    }
}

/// The type that is asked for, and a location where it is let: who names none gets the first where there is one.
fn chosen<'a>(market: &'a Market, body: &Body) -> Result<(&'a ServerKind, String), &'static str> {
    // By name or number; the number may be text.
    let wanted = body.server_type.as_str().map_or_else(|| body.server_type.to_string(), str::to_owned);
    let is_wanted = |kind: &&ServerKind| wanted == kind.name || wanted.parse() == Ok(kind.id);
    let kind = market.servers.iter().find(is_wanted).ok_or("server type not found")?;
    let asked = body.location.clone().or_else(|| {
        let name = body.datacenter.as_deref()?;
        Some(name.split('-').next().unwrap_or(name).to_owned())
    });
    let is_known = |asked: &String| market.servers.iter().any(|kind| kind.prices.contains_key(asked));
    if !asked.as_ref().is_none_or(is_known) {
        return Err("location not found");
    }
    let first = || kind.free.iter().find(|(_, free)| **free > 0).or(kind.free.iter().next());
    let location = asked.or_else(|| first().map(|(location, _)| location.clone())).unwrap_or_default();
    let is_let = kind.prices.contains_key(&location);
    if is_let { Ok((kind, location)) } else { Err("unsupported location for server type") }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let Ok(body) = call.json::<Body>() else { return invalid("the body is not what this endpoint takes") };
    if let Some(message) = body.fault() {
        return invalid(message);
    }
    let (kind, location) = match chosen(&world.market, &body) {
        Ok(chosen) => chosen,
        Err(message) => return invalid(message),
    };
    let (name, disk) = (kind.name.clone(), kind.disk);
    let hourly = kind.prices.get(&location).copied().unwrap_or_default();
    if world.has_name(Vendor::Hetzner, call.account, &body.name) {
        return error(StatusCode::CONFLICT, "uniqueness_error", "server name is already used");
    }
    let place = Place::Server { name, location };
    let is_double = call.meets(Fault::DoubleAccept);
    if call.meets(Fault::OfferVanished) || (!is_double && !world.market.is_free(&place)) {
        let message = "error during placement";
        return error(StatusCode::PRECONDITION_FAILED, "resource_unavailable", message);
    }
    if world.is_broke(call.account) {
        return error(StatusCode::FORBIDDEN, "resource_limit_exceeded", "server limit reached");
    }
    let has_password = body.ssh_keys.is_empty();
    let order = New {
        vendor: Vendor::Hetzner,
        account: call.account,
        name: body.name,
        labels: body.labels,
        place,
        payload: Payload::UserData(body.user_data.unwrap_or_default()),
        image: body.image.as_str().map_or_else(|| body.image.to_string(), str::to_owned),
        disk_gib: disk,
        hourly,
        paid_disk: (0, 0, 0),
        traffic: Traffic::default(),
        bid: None,
        holds: !is_double,
        stopped: !body.start_after_create,
    };
    let key = world.create(order, call.drawn);
    let Some(server) = world.instance(key) else { return Hetzner.broken() };
    let actions = [servers::action_of(server, "create_server"), servers::action_of(server, "start_server")];
    let body = Object::new()
        .with("server", servers::row(&world.market, server))
        .with("action", &actions[0])
        .with("next_actions", &actions[1..])
        .with("root_password", has_password.then(|| json!(format!("password-{key}"))));
    Answer::json(StatusCode::CREATED, &body)
}
