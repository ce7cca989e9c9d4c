//! `PUT /api/v0/asks/{id}/`: an offer is taken.

use std::collections::BTreeMap;

use cooperator_core::market::Traffic;
use cooperator_core::money::PricePerHour;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::{invalid, refuse};
use crate::backend::{Container, Payload};
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::{Ask, Place};
use crate::vendor::Vendor;
use crate::wire;
use crate::world::{New, World};

/// Least disk in GB.
const LEAST_DISK: u64 = 8;
/// Most characters of a label.
const LABEL: usize = 256;
/// Most characters of arguments and start script together.
const ARGUMENTS: usize = 4096;

/// What may be in the body. What else is there is passed over, as the vendor does.
#[derive(Deserialize)]
#[serde(default)]
struct Body {
    image: Option<String>,
    disk: Number,
    label: Option<String>,
    env: Value,
    onstart: Option<String>,
    args: Option<Vec<String>>,
    args_str: Option<String>,
    price: Option<Number>,
    target_state: Option<String>,
    vm: Option<bool>,
    template_hash_id: Option<String>,
}

impl Default for Body {
    fn default() -> Self {
        Self {
            image: None,
            disk: Number::from(10),
            label: None,
            env: Value::Null,
            onstart: None,
            args: None,
            args_str: None,
            price: None,
            target_state: None,
            vm: None,
            template_hash_id: None,
        }
    }
}

impl Body {
    fn is_vm(&self) -> bool {
        self.vm == Some(true) || self.image.as_deref().is_some_and(|image| image.contains("vastai/kvm"))
    }

    /// Whole GB, rounded up.
    fn disk(&self) -> Option<u64> {
        let millionths = wire::millionths(&self.disk)?;
        u64::try_from((millionths + 999_999).div_euclid(1_000_000)).ok()
    }

    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        let length = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
        let arguments: usize = self.args.iter().flatten().map(|one| one.chars().count() + 1).sum();
        let all = arguments + length(&self.args_str) + length(&self.onstart);
        if length(&self.image) == 0 && self.template_hash_id.is_none() {
            return Some("image or template_hash_id is needed".to_owned());
        }
        if self.disk().is_none_or(|disk| disk < LEAST_DISK) {
            return Some(format!("disk must be at least {LEAST_DISK} GB"));
        }
        if length(&self.label) > LABEL {
            return Some(format!("label is longer than {LABEL} characters"));
        }
        (all > ARGUMENTS)
            .then(|| format!("args, args_str and onstart are longer than {ARGUMENTS} characters"))
    }

    fn payload(&self) -> Payload {
        if self.is_vm() {
            return Payload::UserData(self.onstart.clone().unwrap_or_default());
        }
        let words =
            || self.args_str.iter().flat_map(|text| text.split_whitespace().map(str::to_owned)).collect();
        // Anything but an object is dropped without a word, as the vendor does; options of docker are no environment.
        let pairs = self.env.as_object().into_iter().flatten();
        let environment: BTreeMap<String, String> = pairs
            .filter(|(name, _)| !name.starts_with('-'))
            .map(|(name, value)| {
                (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        Payload::Container(Container {
            image: self.image.clone().unwrap_or_default(),
            arguments: self.args.clone().unwrap_or_else(words),
            environment: environment.into_iter().collect(),
        })
    }
}

pub(super) fn create(world: &mut World, call: &Call, ask_id: &str) -> Answer {
    let body: Body = match call.json() {
        Ok(body) => body,
        Err(_) => return invalid("the body is not what this endpoint takes"),
    };
    if let Some(message) = body.fault() {
        return invalid(&message);
    }
    let place = ask_id.parse().map(Place::Ask);
    let Some((place, ask, host)) = place.ok().and_then(|place| {
        let Place::Ask(id) = place else { return None };
        world.market.ask(id).map(|(ask, host)| (place, ask.clone(), host.clone()))
    }) else {
        return no_such_ask(StatusCode::NOT_FOUND, ask_id);
    };
    if body.is_vm() && !host.vms_enabled {
        return invalid("the machine lets no virtual machines");
    }
    let has_ssh_key = world.accounts.get(call.account).is_some_and(|account| !account.ssh_keys.is_empty());
    if body.is_vm() && !has_ssh_key {
        return refuse(StatusCode::BAD_REQUEST, "no_ssh_key_for_vm", "add an SSH key to the account first");
    }
    let bid = match body.price.as_ref().map(wire::price) {
        Some(Some(bid)) if bid > PricePerHour::default() => Some(bid),
        Some(_) => return refuse(StatusCode::BAD_REQUEST, "invalid_price", "price must be above zero"),
        None => None,
    };
    let is_double = call.meets(Fault::DoubleAccept);
    if call.meets(Fault::OfferVanished) || (!is_double && !world.market.is_free(&place)) {
        return no_such_ask(StatusCode::GONE, ask_id);
    }
    if world.is_broke(call.account) {
        return refuse(StatusCode::BAD_REQUEST, "insufficient_credit", "the account has no credit left");
    }
    let is_low =
        bid.is_some_and(|bid| bid < ask.min_bid) || (bid.is_some() && call.meets(Fault::BidFailsWithId));
    let order = New {
        holds: !is_double && !is_low,
        stopped: is_low || body.target_state.as_deref() == Some("stopped"),
        ..order(call, &body, place, &ask, bid)
    };
    let key = world.create(order, call.drawn);
    let id = world.instance(key).and_then(|instance| instance.id.parse::<u64>().ok());
    if is_low {
        let message = "your bid is below the current lowest bid";
        let body = json!({ "success": false, "error": "invalid_price", "msg": message, "new_contract": id });
        return Answer::json(StatusCode::BAD_REQUEST, &body);
    }
    let instance_key = format!("instance-key-{key}");
    Answer::ok(&json!({ "success": true, "new_contract": id, "instance_api_key": instance_key }))
}

/// What is rented on these terms.
fn order(call: &Call, body: &Body, place: Place, ask: &Ask, bid: Option<PricePerHour>) -> New {
    let disk_gib = body.disk().unwrap_or_default();
    New {
        vendor: Vendor::Vast,
        account: call.account,
        name: body.label.clone().unwrap_or_default(),
        labels: BTreeMap::new(),
        place,
        payload: body.payload(),
        image: body.image.clone().unwrap_or_default(),
        disk_gib,
        hourly: bid.unwrap_or(ask.dph_base),
        paid_disk: (disk_gib, ask.storage_cost, ask.storage_cost),
        traffic: Traffic { up_micros: ask.inet_up_cost, down_micros: ask.inet_down_cost },
        bid,
        holds: true,
        stopped: false,
    }
}

fn no_such_ask(status: StatusCode, id: &str) -> Answer {
    refuse(status, "no_such_ask", &format!("Instance type by id {id} is not available"))
}
