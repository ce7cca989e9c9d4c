//! A market from a seed: typical GPUs and CPU machines at typical prices.

use std::collections::BTreeMap;

use cooperator_core::money::PricePerHour;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Ask, BoxKind, Host, Market, PodKind, ServerKind};

/// How much is for rent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Machines of Vast.ai.
    pub hosts: u32,
    /// Free GPUs, instances or servers of each kind in each place elsewhere, about.
    pub depth: u32,
}

impl Size {
    /// For a person to look at: some forty offers of Vast.ai.
    pub const SMALL: Self = Self { hosts: 24, depth: 8 };
    /// Like the real one: some five thousand offers of Vast.ai.
    pub const TYPICAL: Self = Self { hosts: 2_800, depth: 64 };
    /// Room for tens of thousands of machines at once.
    pub const VAST: Self = Self { hosts: 12_000, depth: 4_000 };
}

/// A GPU: Vast.ai's name, RunPod's id, MB as Vast.ai says it, GB, 10^9 operations a second, micro-USD an hour.
type Gpu = (&'static str, &'static str, u64, u64, u64, u64);

const GPUS: [Gpu; 12] = [
    ("RTX 3060", "NVIDIA GeForce RTX 3060", 12_288, 12, 12_700, 60_000),
    ("RTX 3090", "NVIDIA GeForce RTX 3090", 24_576, 24, 35_600, 160_000),
    ("RTX 4070 Ti", "NVIDIA GeForce RTX 4070 Ti", 12_282, 12, 40_100, 170_000),
    ("RTX 4090", "NVIDIA GeForce RTX 4090", 24_564, 24, 82_600, 340_000),
    ("RTX 5090", "NVIDIA GeForce RTX 5090", 32_607, 32, 104_800, 520_000),
    ("RTX A6000", "NVIDIA RTX A6000", 49_140, 48, 38_700, 420_000),
    ("L4", "NVIDIA L4", 23_034, 24, 30_300, 320_000),
    ("L40S", "NVIDIA L40S", 46_068, 48, 91_600, 740_000),
    ("A100 PCIE", "NVIDIA A100 80GB PCIe", 81_920, 80, 19_500, 1_040_000),
    ("A100 SXM4", "NVIDIA A100-SXM4-80GB", 81_920, 80, 19_500, 1_240_000),
    ("H100 SXM", "NVIDIA H100 80GB HBM3", 81_559, 80, 66_900, 2_290_000),
    ("H200", "NVIDIA H200", 143_771, 141, 66_900, 3_190_000),
];

const GEOLOCATIONS: [&str; 12] = [
    "California, US",
    "Texas, US",
    "Washington, US",
    "Quebec, CA",
    "Sweden, SE",
    "Norway, NO",
    "Germany, DE",
    "Czechia, CZ",
    "France, FR",
    "Japan, JP",
    "South Korea, KR",
    "Poland, PL",
];

const DATA_CENTERS: [&str; 6] = ["US-TX-3", "US-KS-2", "CA-MTL-1", "EU-RO-1", "EU-SE-1", "AP-JP-1"];

const LAMBDA_REGIONS: [&str; 5] =
    ["us-east-1", "us-west-1", "us-south-1", "europe-central-1", "asia-south-1"];

const LOCATIONS: [&str; 5] = ["fsn1", "nbg1", "hel1", "ash", "hil"];

/// Name, GPU, GiB of each, GPUs, cents, vCPUs, GiB, GiB of disk.
type Instance = (&'static str, &'static str, u64, u32, u64, u64, u64, u64);

const BOXES: [Instance; 7] = [
    ("gpu_1x_a10", "A10 (24 GB PCIe)", 24, 1, 75, 30, 200, 1_400),
    ("gpu_1x_a6000", "RTX A6000 (48 GB)", 48, 1, 80, 14, 100, 512),
    ("gpu_1x_a100_sxm4", "A100 (40 GB SXM4)", 40, 1, 129, 30, 200, 512),
    ("gpu_1x_gh200", "GH200 (96 GB)", 96, 1, 149, 64, 432, 4_096),
    ("gpu_1x_h100_pcie", "H100 (80 GB PCIe)", 80, 1, 249, 26, 200, 1_024),
    ("gpu_1x_h100_sxm5", "H100 (80 GB SXM5)", 80, 1, 329, 26, 225, 2_800),
    ("gpu_8x_h100_sxm5", "H100 (80 GB SXM5)", 80, 8, 2_392, 208, 1_800, 22_528),
];

/// Number, name, cores, GB, GB of disk, architecture, CPU, micro-EUR an hour.
type Server = (u64, &'static str, u64, u64, u64, &'static str, &'static str, u64);

const SERVERS: [Server; 9] = [
    (114, "cx23", 2, 4, 40, "x86", "shared", 5_600),
    (115, "cx33", 4, 8, 80, "x86", "shared", 8_800),
    (116, "cx43", 8, 16, 160, "x86", "shared", 15_200),
    (117, "cx53", 16, 32, 320, "x86", "shared", 28_000),
    (45, "cax11", 2, 4, 40, "arm", "shared", 6_000),
    (93, "cax21", 4, 8, 80, "arm", "shared", 10_400),
    (96, "ccx13", 2, 8, 80, "x86", "dedicated", 20_000),
    (97, "ccx23", 4, 16, 160, "x86", "dedicated", 39_200),
    (98, "ccx33", 8, 32, 240, "x86", "dedicated", 77_600),
];

pub(super) fn market(seed: u64, size: Size) -> Market {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut market = Market { volume_month_micros: 100_000, ..Market::default() };
    for number in 0..u64::from(size.hosts) {
        let machine_id = 10_000 + number;
        let host = host(&mut dice, number);
        asks(&mut dice, &mut market.asks, machine_id, &host);
        market.hosts.insert(machine_id, host);
    }
    market.pods = GPUS.iter().map(|gpu| pod(&mut dice, gpu, size.depth)).collect();
    market.boxes = BOXES
        .iter()
        .map(|&(name, gpu, gpu_memory_gib, gpus, price_cents_per_hour, vcpus, memory_gib, storage_gib)| {
            BoxKind {
                name: name.to_owned(),
                description: format!("{gpus}x {gpu}"),
                gpu_description: gpu.to_owned(),
                price_cents_per_hour,
                vcpus,
                memory_gib,
                storage_gib,
                gpus,
                gpu_memory_gib,
                free: free(&mut dice, &LAMBDA_REGIONS, size.depth),
            }
        })
        .collect();
    market.servers = SERVERS
        .iter()
        .map(|&(id, name, cores, memory, disk, architecture, cpu_type, micros)| ServerKind {
            id,
            name: name.to_owned(),
            cores,
            memory,
            disk,
            architecture: architecture.to_owned(),
            cpu_type: cpu_type.to_owned(),
            prices: LOCATIONS
                .iter()
                .map(|at| ((*at).to_owned(), PricePerHour::from_micros(micros)))
                .collect(),
            free: free(&mut dice, &LOCATIONS, size.depth),
        })
        .collect();
    market
}

fn host(dice: &mut ChaCha8Rng, number: u64) -> Host {
    let has_gpus = dice.random_ratio(9, 10);
    let (gpu, ..) = (GPUS[dice.random_range(0..GPUS.len())],);
    let slots = if has_gpus { [1, 1, 1, 2, 2, 4, 8][dice.random_range(0..7)] } else { 1 };
    let geolocation = GEOLOCATIONS.choose(dice).copied().unwrap_or("Texas, US");
    Host {
        host_id: 1_000 + number / 3,
        gpu: has_gpus.then(|| gpu.0.to_owned()),
        gpu_ram: if has_gpus { gpu.2 } else { 0 },
        gigaflops: if has_gpus { gpu.4 } else { 0 },
        slots,
        taken: 0,
        cpu_millis: [4_000, 8_000, 12_000, 16_000, 24_000][dice.random_range(0..5)],
        cpu_ram: [16_084, 32_168, 64_336, 128_672][dice.random_range(0..4)],
        disk_space: dice.random_range(60..1_200),
        reliability: dice.random_range(9_000..=9_999),
        verified: dice.random_ratio(4, 5),
        geolocation: geolocation.to_owned(),
        duration: dice.random_range(1..180) * 86_400,
        vms_enabled: dice.random_ratio(1, 4),
        lies: false,
    }
}

/// A host is let whole, by halves, and so on down to single slots.
fn asks(dice: &mut ChaCha8Rng, asks: &mut BTreeMap<u64, Ask>, machine_id: u64, host: &Host) {
    let base = GPUS.iter().find(|gpu| Some(gpu.0) == host.gpu.as_deref()).map_or(30_000, |gpu| gpu.5);
    // Hosts ask between seven tenths and one and a half of what is usual.
    let slot = base * dice.random_range(700..1_500_u64) / 1_000;
    let bid = dice.random_range(350..900_u64);
    let storage_cost = dice.random_range(50..300_u64) * 1_000;
    let traffic = dice.random_range(0..20_u64) * 1_000;
    let mut slots = host.slots;
    while slots > 0 {
        let hourly = slot * u64::from(slots);
        let ask = Ask {
            machine_id,
            slots,
            dph_base: PricePerHour::from_micros(hourly),
            min_bid: PricePerHour::from_micros(hourly * bid / 1_000),
            storage_cost,
            inet_up_cost: traffic,
            inet_down_cost: traffic,
            withdrawn: false,
        };
        asks.insert(20_000_000 + machine_id * 16 + u64::from(slots), ask);
        slots /= 2;
    }
}

fn pod(dice: &mut ChaCha8Rng, gpu: &Gpu, depth: u32) -> PodKind {
    let (name, id, _, memory, _, micros) = *gpu;
    let community = micros * dice.random_range(900..1_300_u64) / 1_000 / 10_000 * 10_000;
    PodKind {
        id: id.to_owned(),
        name: name.to_owned(),
        memory,
        secure: PricePerHour::from_micros(community * 5 / 4),
        community: PricePerHour::from_micros(community),
        min_bid: PricePerHour::from_micros(community / 2),
        max_count: 8,
        free: free(dice, &DATA_CENTERS, depth),
        vcpus: 8,
        ram: 48,
    }
}

fn free(dice: &mut ChaCha8Rng, places: &[&str], depth: u32) -> BTreeMap<String, u32> {
    let mut some = |at: &&str| ((*at).to_owned(), dice.random_range(0..=depth * 2));
    places.iter().map(&mut some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Place;

    #[test]
    fn the_same_seed_makes_the_same_market_and_another_seed_another() {
        let text = |seed| serde_json::to_string(&Market::generated(seed, Size::SMALL)).unwrap();
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn a_typical_market_has_thousands_of_offers_and_reads_back() {
        let market = Market::generated(5, Size::TYPICAL);
        assert!((4_000..8_000).contains(&market.asks.len()), "{}", market.asks.len());
        assert!(market.hosts.values().any(|host| host.gpu.is_none()));
        let read: Market = serde_json::from_str(&serde_json::to_string(&market).unwrap()).unwrap();
        assert_eq!(read.asks, market.asks);
    }

    #[test]
    fn what_is_let_is_gone_with_the_offers_that_share_it_until_it_is_given_back() {
        let mut market = Market::generated(5, Size::TYPICAL);
        let (machine, _) = market.hosts.iter().find(|(_, host)| host.slots == 2).unwrap();
        let asks: Vec<_> = market.asks.iter().filter(|(_, ask)| ask.machine_id == *machine).collect();
        let whole = Place::Ask(*asks.iter().find(|(_, ask)| ask.slots == 2).unwrap().0);
        let half = Place::Ask(*asks.iter().find(|(_, ask)| ask.slots == 1).unwrap().0);
        assert!(market.take(&half) && !market.is_free(&whole));
        assert!(market.take(&half) && !market.take(&half));
        market.give_back(&half);
        market.give_back(&half);
        assert!(market.take(&whole) && !market.take(&half));
        market.give_back(&whole);
        market.withdraw(&whole);
        assert!(!market.take(&whole) && market.take(&half));
    }

    #[test]
    fn a_pod_takes_as_many_gpus_as_it_has() {
        let mut market = Market::generated(5, Size::SMALL);
        let kind = &mut market.pods[0];
        kind.free = BTreeMap::from([("EU-RO-1".to_owned(), 5)]);
        let id = kind.id.clone();
        let place = |count| Place::Pod { id: id.clone(), count, data_center: "EU-RO-1".to_owned() };
        assert!(market.take(&place(4)) && !market.take(&place(2)) && market.take(&place(1)));
        market.give_back(&place(4));
        assert_eq!(market.pods[0].free["EU-RO-1"], 4);
        assert_eq!(market.gpus(&place(2)).unwrap().model, "rtx-3060");
    }
}
