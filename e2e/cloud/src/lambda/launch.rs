//! Instances are launched, renamed and terminated.

use cooperator_core::market::Traffic;
use cooperator_core::money::PricePerHour;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{Lambda, data, error, instances, invalid, no_such};
use crate::backend::Payload;
use crate::call::{Answer, Call, Dialect as _};
use crate::fault::Fault;
use crate::market::Place;
use crate::vendor::Vendor;
use crate::world::{New, World};

/// Most characters of a name.
const NAME: usize = 64;
/// Most bytes of user-data.
const USER_DATA: usize = 1 << 20;
/// Instances that one account may have at once.
const QUOTA: usize = 100_000;

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct Body {
    region_name: String,
    instance_type_name: String,
    ssh_key_names: Vec<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    user_data: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Body {
    /// What is wrong with it.
    fn fault(&self, known_keys: &[String]) -> Option<String> {
        let [key] = self.ssh_key_names.as_slice() else {
            return Some("ssh_key_names must name exactly one SSH key".to_owned());
        };
        if !known_keys.contains(key) {
            return Some(format!("the SSH key {key} does not exist"));
        }
        if self.name.as_ref().is_some_and(|name| name.chars().count() > NAME) {
            return Some(format!("name is longer than {NAME} characters"));
        }
        let is_long = self.user_data.as_ref().is_some_and(|text| text.len() > USER_DATA);
        is_long.then(|| "user_data is larger than 1 MiB".to_owned())
    }
}

/// `POST /instance-operations/launch`
pub(super) fn launch(world: &mut World, call: &Call) -> Answer {
    let Ok(body) = call.json::<Body>() else { return invalid("the body is not what this endpoint takes") };
    let known = world.accounts.get(call.account).map(|account| account.ssh_keys.clone()).unwrap_or_default();
    if let Some(message) = body.fault(&known) {
        return invalid(&message);
    }
    let Some(kind) = world.market.instance_type(&body.instance_type_name) else {
        return invalid("instance_type_name is not known");
    };
    if !kind.free.contains_key(&body.region_name) {
        return invalid("region_name is not known");
    }
    let (cents, storage_gib) = (kind.price_cents_per_hour, kind.storage_gib);
    let place = Place::Box { name: body.instance_type_name, region: body.region_name };
    let is_double = call.meets(Fault::DoubleAccept);
    // What the list of types says is free can be refused all the same.
    if call.meets(Fault::OfferVanished) || (!is_double && !world.market.is_free(&place)) {
        let code = "instance-operations/launch/insufficient-capacity";
        return error(StatusCode::BAD_REQUEST, code, "Not enough capacity to fulfill launch request.");
    }
    if world.is_broke(call.account) || world.listed(Vendor::Lambda, call.account) >= QUOTA {
        return error(StatusCode::BAD_REQUEST, "global/quota-exceeded", "Quota exceeded.");
    }
    let order = New {
        vendor: Vendor::Lambda,
        account: call.account,
        name: body.name.unwrap_or_default(),
        labels: body.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        place,
        payload: Payload::UserData(body.user_data.unwrap_or_default()),
        image: "lambda-stack-24-04".to_owned(),
        disk_gib: storage_gib,
        hourly: PricePerHour::from_micros(cents * 10_000),
        paid_disk: (0, 0, 0),
        traffic: Traffic::default(),
        bid: None,
        holds: !is_double,
        stopped: false,
    };
    let key = world.create(order, call.drawn);
    let id = world.instance(key).map(|one| one.id.clone());
    data(json!({ "instance_ids": [id] }))
}

/// `POST /instance-operations/terminate`
pub(super) fn terminate(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Which {
        instance_ids: Vec<String>,
    }
    let Ok(Which { instance_ids }) = call.json() else { return invalid("instance_ids is needed") };
    let find = |id: &String| {
        let found = world.find(Vendor::Lambda, call.account, id);
        found.filter(|one| one.phase != crate::world::Phase::Over).map(|one| one.key)
    };
    let Some(keys) =
        instance_ids.iter().map(find).collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty())
    else {
        return no_such("instance");
    };
    for key in &keys {
        if world.delete(*key, call.drawn).is_err() {
            return Lambda.broken();
        }
    }
    let rows: Vec<_> = keys
        .iter()
        .filter_map(|key| world.instance(*key))
        .map(|one| instances::row(&world.market, one))
        .collect();
    data(json!({ "terminated_instances": rows }))
}

/// `POST /instances/{id}`
pub(super) fn rename(world: &mut World, call: &Call, id: &str) -> Answer {
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    let Ok(Name { name }) = call.json() else { return invalid("name is needed") };
    let Some(key) = world.find(Vendor::Lambda, call.account, id).map(|one| one.key) else {
        return no_such("instance");
    };
    world.rename(key, &name);
    match world.instance(key) {
        Some(one) => data(instances::row(&world.market, one)),
        None => no_such("instance"),
    }
}

/// `GET /ssh-keys`
pub(super) fn ssh_keys(world: &World, call: &Call) -> Answer {
    let names = world.accounts.get(call.account).into_iter().flat_map(|account| &account.ssh_keys);
    let row = |(number, name): (usize, &String)| json!({ "id": format!("{number:032x}"), "name": name, "public_key": "ssh-ed25519 AAAA" });
    data(names.enumerate().map(row).collect::<Vec<_>>())
}

/// `POST /ssh-keys`
pub(super) fn add_ssh_key(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Key {
        name: String,
        #[serde(default)]
        public_key: Option<String>,
    }
    let Ok(Key { name, public_key }) = call.json() else { return invalid("name is needed") };
    let Some(account) = world.accounts.get_mut(call.account) else { return no_such("account") };
    if account.ssh_keys.contains(&name) {
        return error(StatusCode::BAD_REQUEST, "ssh-keys/key-in-use", "An SSH key of this name exists.");
    }
    account.ssh_keys.push(name.clone());
    let id = format!("{:032x}", account.ssh_keys.len() - 1);
    data(json!({ "id": id, "name": name, "public_key": public_key.unwrap_or_default() }))
}
