//! What the vendors have for rent: generated from a seed, or set exactly.

use std::collections::BTreeMap;

use cooperator_core::market::Gpus;
use cooperator_core::money::PricePerHour;
use serde::{Deserialize, Serialize};

mod generate;

pub use generate::Size;

/// All that is for rent, and what of it is let.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Market {
    /// Machines of Vast.ai, by their id.
    pub hosts: BTreeMap<u64, Host>,
    /// Offers of Vast.ai, by their id.
    pub asks: BTreeMap<u64, Ask>,
    /// RunPod's kinds of GPU.
    pub pods: Vec<PodKind>,
    /// Lambda's types of instance.
    pub boxes: Vec<BoxKind>,
    /// Hetzner's types of server.
    pub servers: Vec<ServerKind>,
    /// What a GB of a RunPod volume costs a month while its pod runs, in micro-USD; twice that while it is stopped.
    pub volume_month_micros: u64,
}

/// A machine of Vast.ai. Its slots are its GPUs; a machine without has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Who lets it.
    pub host_id: u64,
    /// The vendor's name of its GPUs, such as `RTX 4090`; None: it has none.
    #[serde(default)]
    pub gpu: Option<String>,
    /// Memory of each GPU in MB, as the vendor says it.
    #[serde(default)]
    pub gpu_ram: u64,
    /// 10^9 floating-point operations a second and GPU.
    #[serde(default)]
    pub gigaflops: u64,
    /// Parts in which it can be let.
    pub slots: u32,
    /// Parts that are let.
    #[serde(default)]
    pub taken: u32,
    /// Thousandths of a CPU, a slot.
    pub cpu_millis: u64,
    /// MB of memory, a slot.
    pub cpu_ram: u64,
    /// GB of disk, a slot.
    pub disk_space: u64,
    /// In 10^-4.
    pub reliability: u32,
    /// Whether the vendor has tried it out.
    pub verified: bool,
    /// `Region, CC`.
    pub geolocation: String,
    /// Seconds for which it can be rented from now on.
    pub duration: u64,
    /// Whether it lets virtual machines.
    pub vms_enabled: bool,
    /// Whether it always lies about its GPUs.
    #[serde(default)]
    pub lies: bool,
}

/// An offer of Vast.ai: some slots of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// On which host.
    pub machine_id: u64,
    /// How much of it.
    pub slots: u32,
    /// An hour on demand, disk aside.
    pub dph_base: PricePerHour,
    /// The lowest bid that is taken.
    pub min_bid: PricePerHour,
    /// Micro-USD a GB of disk and month of 720 hours.
    pub storage_cost: u64,
    /// Micro-USD a GB sent.
    pub inet_up_cost: u64,
    /// Micro-USD a GB fetched.
    pub inet_down_cost: u64,
    /// Whether it has left the market.
    #[serde(default)]
    pub withdrawn: bool,
}

/// A kind of GPU at RunPod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodKind {
    /// Such as `NVIDIA GeForce RTX 4090`.
    pub id: String,
    /// Such as `RTX 4090`.
    pub name: String,
    /// GB of each.
    pub memory: u64,
    /// An hour of one in the secure cloud; zero: not there.
    pub secure: PricePerHour,
    /// An hour of one in the community cloud; zero: not there.
    pub community: PricePerHour,
    /// The lowest bid for one that is taken.
    #[serde(default)]
    pub min_bid: PricePerHour,
    /// Most of them in one pod.
    pub max_count: u32,
    /// How many are free, by data centre.
    pub free: BTreeMap<String, u32>,
    /// vCPUs that come with each.
    pub vcpus: u64,
    /// GB of memory that come with each.
    pub ram: u64,
}

/// A type of instance at Lambda.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoxKind {
    /// Such as `gpu_1x_a10`.
    pub name: String,
    /// Such as `1x A10 (24 GB PCIe)`.
    pub description: String,
    /// Such as `A10 (24 GB PCIe)`.
    pub gpu_description: String,
    /// US cents.
    pub price_cents_per_hour: u64,
    /// CPUs.
    pub vcpus: u64,
    /// GiB of memory.
    pub memory_gib: u64,
    /// GiB of disk.
    pub storage_gib: u64,
    /// GPUs.
    pub gpus: u32,
    /// GiB of memory of each.
    pub gpu_memory_gib: u64,
    /// How many instances are free, by region.
    pub free: BTreeMap<String, u32>,
}

/// A type of server at Hetzner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerKind {
    /// The vendor's number of it.
    pub id: u64,
    /// Such as `cx23`.
    pub name: String,
    /// CPUs.
    pub cores: u64,
    /// GB of memory.
    pub memory: u64,
    /// GB of disk.
    pub disk: u64,
    /// `x86` or `arm`.
    pub architecture: String,
    /// `shared` or `dedicated`.
    pub cpu_type: String,
    /// EUR an hour without VAT, by location. Here VAT is nought: the net price is the gross price.
    pub prices: BTreeMap<String, PricePerHour>,
    /// How many are free, by location.
    pub free: BTreeMap<String, u32>,
}

/// What a machine occupies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An offer of Vast.ai.
    Ask(u64),
    /// GPUs at RunPod.
    Pod {
        /// Kind of GPU.
        id: String,
        /// How many.
        count: u32,
        /// Data centre.
        data_center: String,
    },
    /// An instance at Lambda.
    Box {
        /// Type.
        name: String,
        /// Region.
        region: String,
    },
    /// A server at Hetzner.
    Server {
        /// Type.
        name: String,
        /// Location.
        location: String,
    },
}

impl Market {
    /// A market of this size. The same seed makes the same.
    pub fn generated(seed: u64, size: Size) -> Self {
        generate::market(seed, size)
    }

    /// Whether it can be rented now.
    pub fn is_free(&self, place: &Place) -> bool {
        match place {
            Place::Ask(id) => self.ask(*id).is_some_and(|(ask, host)| {
                !ask.withdrawn && host.slots.saturating_sub(host.taken) >= ask.slots
            }),
            _ => self.free(place).is_some_and(|(free, wanted)| free >= wanted),
        }
    }

    /// Takes it from the market, if it is free.
    pub fn take(&mut self, place: &Place) -> bool {
        let is_free = self.is_free(place);
        if is_free {
            self.change(place, true);
        }
        is_free
    }

    /// Puts it back.
    pub fn give_back(&mut self, place: &Place) {
        self.change(place, false);
    }

    /// Takes an offer from the market for good: all of its kind, in its place.
    pub fn withdraw(&mut self, place: &Place) {
        match place {
            Place::Ask(id) => {
                if let Some(ask) = self.asks.get_mut(id) {
                    ask.withdrawn = true;
                }
            }
            _ => {
                if let Some(free) = self.free_mut(place) {
                    *free = 0;
                }
            }
        }
    }

    /// An offer of Vast.ai with its host.
    pub fn ask(&self, id: u64) -> Option<(&Ask, &Host)> {
        let ask = self.asks.get(&id)?;
        Some((ask, self.hosts.get(&ask.machine_id)?))
    }

    /// A kind of GPU at RunPod.
    pub fn pod(&self, id: &str) -> Option<&PodKind> {
        self.pods.iter().find(|kind| kind.id == id)
    }

    /// A type of instance at Lambda.
    pub fn instance_type(&self, name: &str) -> Option<&BoxKind> {
        self.boxes.iter().find(|kind| kind.name == name)
    }

    /// A type of server at Hetzner.
    pub fn server_type(&self, name: &str) -> Option<&ServerKind> {
        self.servers.iter().find(|kind| kind.name == name)
    }

    /// The GPUs that are let there.
    pub fn gpus(&self, place: &Place) -> Option<Gpus> {
        let (name, count, memory_mib) = match place {
            Place::Ask(id) => {
                let (ask, host) = self.ask(*id)?;
                (host.gpu.clone()?, ask.slots, host.gpu_ram)
            }
            Place::Pod { id, count, .. } => (id.clone(), *count, self.pod(id)?.memory * 1024),
            Place::Box { name, .. } => {
                let kind = self.instance_type(name)?;
                (kind.gpu_description.clone(), kind.gpus, kind.gpu_memory_gib * 1024)
            }
            Place::Server { .. } => return None,
        };
        (count > 0).then(|| Gpus { model: Gpus::model_name(&name), count, memory_mib })
    }

    /// Thousandths of a CPU and MiB of memory that are let there.
    pub fn size(&self, place: &Place) -> (u64, u64) {
        let found = match place {
            Place::Ask(id) => self.ask(*id).map(|(ask, host)| {
                let slots = u64::from(ask.slots);
                (host.cpu_millis * slots, host.cpu_ram * slots)
            }),
            Place::Pod { id, count, .. } => self.pod(id).map(|kind| {
                let count = u64::from(*count);
                (kind.vcpus * 1000 * count, kind.ram * 1024 * count)
            }),
            Place::Box { name, .. } => {
                self.instance_type(name).map(|kind| (kind.vcpus * 1000, kind.memory_gib * 1024))
            }
            Place::Server { name, .. } => {
                self.server_type(name).map(|kind| (kind.cores * 1000, kind.memory * 1024))
            }
        };
        found.unwrap_or_default()
    }

    fn change(&mut self, place: &Place, takes: bool) {
        if let Place::Ask(id) = place {
            let Some(ask) = self.asks.get(id) else { return };
            let Some(host) = self.hosts.get_mut(&ask.machine_id) else { return };
            host.taken = if takes { host.taken + ask.slots } else { host.taken.saturating_sub(ask.slots) };
            return;
        }
        let wanted = self.free(place).map_or(0, |(_, wanted)| wanted);
        if let Some(free) = self.free_mut(place) {
            *free = if takes { free.saturating_sub(wanted) } else { free.saturating_add(wanted) };
        }
    }

    /// How many are free, and how many it needs.
    fn free(&self, place: &Place) -> Option<(u32, u32)> {
        match place {
            Place::Ask(_) => None,
            Place::Pod { id, count, data_center } => {
                self.pod(id)?.free.get(data_center).map(|free| (*free, *count))
            }
            Place::Box { name, region } => self.instance_type(name)?.free.get(region).map(|free| (*free, 1)),
            Place::Server { name, location } => {
                self.server_type(name)?.free.get(location).map(|free| (*free, 1))
            }
        }
    }

    fn free_mut(&mut self, place: &Place) -> Option<&mut u32> {
        match place {
            Place::Ask(_) => None,
            Place::Pod { id, data_center, .. } => {
                self.pods.iter_mut().find(|kind| kind.id == *id)?.free.get_mut(data_center)
            }
            Place::Box { name, region } => {
                self.boxes.iter_mut().find(|kind| kind.name == *name)?.free.get_mut(region)
            }
            Place::Server { name, location } => {
                self.servers.iter_mut().find(|kind| kind.name == *name)?.free.get_mut(location)
            }
        }
    }
}
