//! `POST /pods`: a pod is rented.

use std::collections::BTreeMap;

use cooperator_core::market::Traffic;
use cooperator_core::money::PricePerHour;
use http::StatusCode;
use serde::Deserialize;

use super::{RunPod, invalid, no_capacity, pods, problem};
use crate::backend::{Container, Payload};
use crate::call::{Answer, Call, Dialect as _};
use crate::fault::Fault;
use crate::market::{Market, Place};
use crate::vendor::Vendor;
use crate::world::{New, World};

/// Most environment variables.
const ENVIRONMENT: usize = 50;
/// Least GB of a persistent mount.
const LEAST_VOLUME: u64 = 10;

#[derive(Deserialize)]
struct Gpu {
    id: String,
    #[serde(default = "one")]
    count: u32,
}

const fn one() -> u32 {
    1
}

#[derive(Deserialize)]
struct Persistent {
    size: u64,
}

#[derive(Default, Deserialize)]
struct Mounts {
    persistent: Option<Persistent>,
    network: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    image: Option<String>,
    #[serde(default)]
    args: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    disk: Option<u64>,
    gpu: Option<Gpu>,
    cpu: Option<serde_json::Value>,
    cloud: Option<String>,
    #[serde(default)]
    data_center_ids: Vec<String>,
    mounts: Option<Mounts>,
}

impl Body {
    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        let mounts = self.mounts.as_ref();
        if self.name.as_deref().is_none_or(str::is_empty) || self.image.as_deref().is_none_or(str::is_empty) {
            return Some("name and image are required".to_owned());
        }
        if self.gpu.is_some() == self.cpu.is_some() {
            return Some("exactly one of gpu and cpu must be set".to_owned());
        }
        if self.disk == Some(0) {
            return Some("disk must be at least 1".to_owned());
        }
        if mounts.is_some_and(|mounts| mounts.persistent.is_some() && mounts.network.is_some()) {
            return Some("mounts.persistent and mounts.network exclude each other".to_owned());
        }
        if mounts.and_then(|mounts| mounts.persistent.as_ref()).is_some_and(|one| one.size < LEAST_VOLUME) {
            return Some(format!("mounts.persistent.size must be at least {LEAST_VOLUME}"));
        }
        if !self.cloud.as_deref().is_none_or(|cloud| ["SECURE", "COMMUNITY"].contains(&cloud)) {
            return Some("cloud is one of SECURE, COMMUNITY".to_owned());
        }
        (self.env.len() > ENVIRONMENT).then(|| format!("env has more than {ENVIRONMENT} variables"))
    }

    fn payload(&self) -> Payload {
        let words = self.args.iter().flat_map(|text| text.split_whitespace().map(str::to_owned));
        Payload::Container(Container {
            image: self.image.clone().unwrap_or_default(),
            arguments: words.collect(),
            environment: self.env.clone().into_iter().collect(),
        })
    }

    /// Where it could be put: in one of the data centres it names, in order, else where most is free.
    fn place(&self, market: &Market, gpu: &Gpu) -> Option<Place> {
        let kind = market.pod(&gpu.id)?;
        let place = |data_center: &String| Place::Pod {
            id: gpu.id.clone(),
            count: gpu.count,
            data_center: data_center.clone(),
        };
        if self.data_center_ids.is_empty() {
            let (most, _) = kind.free.iter().max_by_key(|(name, free)| (**free, std::cmp::Reverse(*name)))?;
            return Some(place(most)).filter(|place| market.is_free(place));
        }
        self.data_center_ids.iter().map(place).find(|place| market.is_free(place))
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let body: Body = match call.json() {
        Ok(body) => body,
        Err(_) => {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, "the body is not what this endpoint takes");
        }
    };
    if let Some(message) = body.fault() {
        return invalid(&message);
    }
    let Some(gpu) = &body.gpu else { return no_capacity() };
    let Some(kind) = world.market.pod(&gpu.id) else {
        return invalid(&format!("gpu.id {} is not known", gpu.id));
    };
    let single = if body.cloud.as_deref() == Some("COMMUNITY") { kind.community } else { kind.secure };
    if gpu.count == 0 {
        return invalid("gpu.count must be at least 1");
    }
    if single.micros() == 0 || gpu.count > kind.max_count || call.meets(Fault::OfferVanished) {
        return no_capacity();
    }
    let is_double = call.meets(Fault::DoubleAccept);
    let some = || Place::Pod { id: gpu.id.clone(), count: gpu.count, data_center: "US-TX-3".to_owned() };
    let Some(place) = body.place(&world.market, gpu).or_else(|| is_double.then(some)) else {
        return no_capacity();
    };
    if world.is_broke(call.account) {
        return problem(StatusCode::PAYMENT_REQUIRED, "the account's balance is too low");
    }
    let volume = body.mounts.as_ref().and_then(|mounts| mounts.persistent.as_ref()).map_or(0, |one| one.size);
    let month = world.market.volume_month_micros;
    let order = New {
        vendor: Vendor::RunPod,
        account: call.account,
        name: body.name.clone().unwrap_or_default(),
        labels: BTreeMap::from([(
            "cloud".to_owned(),
            body.cloud.clone().unwrap_or_else(|| "SECURE".to_owned()),
        )]),
        place,
        payload: body.payload(),
        image: body.image.clone().unwrap_or_default(),
        disk_gib: body.disk.unwrap_or(20),
        hourly: PricePerHour::from_micros(single.micros() * u64::from(gpu.count)),
        paid_disk: (volume, month, month * 2),
        traffic: Traffic::default(),
        bid: None,
        holds: !is_double,
        stopped: false,
    };
    let key = world.create(order, call.drawn);
    match world.instance(key) {
        Some(pod) => Answer::json(StatusCode::CREATED, &pods::pod(&world.market, pod, world.now())),
        None => RunPod.broken(),
    }
}
