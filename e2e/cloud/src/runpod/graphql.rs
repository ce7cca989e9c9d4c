//! GraphQL, by which alone a pod is let to the highest bid: `https://api.runpod.io/graphql`, here below the same base as the
//! rest. Of the language it understands one mutation and one query, with their input in `variables`. What is refused
//! comes as 200 with `errors`.

use std::collections::BTreeMap;

use cooperator_core::market::Traffic;
use cooperator_core::money::PricePerHour;
use serde::Deserialize;
use serde_json::{Number, json};

use crate::backend::{Container, Payload};
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::market::{Market, Place};
use crate::vendor::Vendor;
use crate::wire::{self, Object};
use crate::world::{New, World};

#[derive(Deserialize)]
struct Variable {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    bid_per_gpu: Number,
    gpu_type_id: String,
    gpu_count: u32,
    name: String,
    image_name: String,
    #[serde(default)]
    docker_args: String,
    #[serde(default)]
    env: Vec<Variable>,
    #[serde(default)]
    container_disk_in_gb: u64,
    #[serde(default)]
    volume_in_gb: u64,
    #[serde(default)]
    data_center_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct Variables {
    input: Option<Input>,
}

#[derive(Deserialize)]
struct Body {
    query: String,
    #[serde(default)]
    variables: Option<Variables>,
}

pub(super) fn answer(world: &mut World, call: &Call) -> Answer {
    let Ok(body) = call.json::<Body>() else { return errors("Variables do not match the input's type.") };
    if body.query.contains("gpuTypes") {
        let rows: Vec<Object> = world.market.pods.iter().map(price).collect();
        return data(Object::new().with("gpuTypes", rows));
    }
    if !body.query.contains("podRentInterruptable") {
        return errors("Cannot query this field here.");
    }
    match body.variables.unwrap_or_default().input {
        Some(input) => rent(world, call, input),
        None => errors(
            "Variable \"$input\" is required; arguments written into the query are not understood here.",
        ),
    }
}

fn price(kind: &crate::market::PodKind) -> Object {
    let lowest = Object::new()
        .decimal("minimumBidPrice", kind.min_bid)
        .decimal("uninterruptablePrice", kind.community);
    Object::new()
        .with("id", &kind.id)
        .with("displayName", &kind.name)
        .with("memoryInGb", kind.memory)
        .with("lowestPrice", lowest)
}

fn rent(world: &mut World, call: &Call, input: Input) -> Answer {
    const NONE: &str = "There are no longer any instances available with the requested specifications.";
    let Some(kind) = world.market.pod(&input.gpu_type_id) else { return errors("gpuTypeId is not known.") };
    let Some(bid) = wire::price(&input.bid_per_gpu) else { return errors("bidPerGpu is no price.") };
    if input.gpu_count == 0 || input.name.is_empty() || input.image_name.is_empty() {
        return errors("gpuCount, name and imageName are required.");
    }
    if bid < kind.min_bid {
        return errors("Your bid is below the minimum bid price.");
    }
    let place = place(&world.market, &input);
    let Some(place) = place.filter(|_| !call.meets(Fault::OfferVanished)) else { return errors(NONE) };
    if world.is_broke(call.account) {
        return errors("Your account balance is too low to rent this pod.");
    }
    let hourly = PricePerHour::from_micros(bid.micros() * u64::from(input.gpu_count));
    let month = world.market.volume_month_micros;
    let arguments = input.docker_args.split_whitespace().map(str::to_owned).collect();
    let environment: BTreeMap<String, String> =
        input.env.into_iter().map(|one| (one.key, one.value)).collect();
    let container = Container {
        image: input.image_name.clone(),
        arguments,
        environment: environment.into_iter().collect(),
    };
    let order = New {
        vendor: Vendor::RunPod,
        account: call.account,
        name: input.name,
        labels: BTreeMap::from([("cloud".to_owned(), "COMMUNITY".to_owned())]),
        place,
        payload: Payload::Container(container),
        image: input.image_name,
        disk_gib: input.container_disk_in_gb,
        hourly,
        paid_disk: (input.volume_in_gb, month, month * 2),
        traffic: Traffic::default(),
        bid: Some(hourly),
        holds: true,
        stopped: false,
    };
    let key = world.create(order, call.drawn);
    let Some(pod) = world.instance(key) else { return errors("Something went wrong.") };
    let row = Object::new()
        .with("id", &pod.id)
        .with("imageName", &pod.order.image)
        .with("machineId", key.to_string())
        .with("desiredStatus", "RUNNING")
        .decimal("costPerHr", hourly);
    data(Object::new().with("podRentInterruptable", row))
}

/// The data centre that is named, else the first where it fits.
fn place(market: &Market, input: &Input) -> Option<Place> {
    let names = market.pod(&input.gpu_type_id)?.free.keys();
    let wanted = names.filter(|name| input.data_center_id.as_ref().is_none_or(|only| only == *name));
    let mut places = wanted.map(|name| Place::Pod {
        id: input.gpu_type_id.clone(),
        count: input.gpu_count,
        data_center: name.clone(),
    });
    places.find(|place| market.is_free(place))
}

fn data(value: Object) -> Answer {
    Answer::ok(&Object::new().with("data", value))
}

fn errors(message: &str) -> Answer {
    Answer::ok(&json!({ "errors": [{ "message": message }], "data": null }))
}
