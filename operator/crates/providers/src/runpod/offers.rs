//! What RunPod rents out.

use cooperator_core::market::{CapacityType, Gpus, Granularity, Offer, OfferId, Shape, Terms, Traffic};
use cooperator_core::money::PricePerHour;
use serde_json::value::RawValue;

use super::wire::Gpu;
use crate::decimal::Decimal;
use crate::gpu;

/// Thousandths of a CPU a GPU, and memory in MiB a GPU: it tells neither before a pod is made. These are the floors that its
/// API v1 puts under every pod (`minVCPUPerGPU`, `minRAMPerGPU`); most have several times as much.
const CPU_MILLIS_A_GPU: u64 = 2000;
const MEMORY_MIB_A_GPU: u64 = 8 * 1024;
/// Most disk that is offered, in GB: it tells no bound, and answers 400 beyond its own.
const MOST_DISK_GB: u64 = 1000;
/// A container's disk, in micro-USD a GB and month, besides the GPUs' price: docs.runpod.io, "Storage options".
const DISK_MONTH_MICROS: u64 = 100_000;

/// Its own hosts.
pub(super) const SECURE: &str = "SECURE";
/// Other people's hosts.
pub(super) const COMMUNITY: &str = "COMMUNITY";

/// What an order has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) cloud: String,
    pub(super) count: u32,
    /// Empty: any.
    pub(super) data_center: String,
    pub(super) gpu: String,
}

impl Choice {
    /// As an offer's id: the GPU last, since its name has spaces and may have anything.
    pub(super) fn id(&self) -> OfferId {
        OfferId(format!("{}/{}/{}/{}", self.cloud, self.count, self.data_center, self.gpu))
    }

    /// From an offer's id. None: it is none of RunPod's.
    pub(super) fn parse(id: &OfferId) -> Option<Self> {
        let mut parts = id.0.splitn(4, '/');
        let cloud = parts.next().filter(|cloud| [SECURE, COMMUNITY].contains(cloud))?.to_owned();
        let count = parts.next()?.parse().ok().filter(|count| *count > 0)?;
        let data_center = parts.next()?.to_owned();
        let gpu = parts.next().filter(|gpu| !gpu.is_empty())?.to_owned();
        Some(Self { cloud, count, data_center, gpu })
    }
}

/// The offers of `count` GPUs. None: there are models, and none of them can be read.
pub(super) fn offers(rows: &[Box<RawValue>], count: u32) -> Option<Vec<Offer>> {
    let gpus = rows.iter().filter_map(|row| serde_json::from_str::<Gpu>(row.get()).ok()).collect::<Vec<_>>();
    if gpus.is_empty() && !rows.is_empty() {
        return None;
    }
    let stocked = gpus.iter().filter(|gpu| gpu.availability.as_deref() != Some("NONE"));
    Some(stocked.flat_map(|gpu| of_model(gpu, count)).collect())
}

fn of_model(gpu: &Gpu, count: u32) -> Vec<Offer> {
    let mut offers = Vec::new();
    if gpu.secure && gpu.max_count.secure.is_none_or(|most| most >= count) {
        // Stock is told by data centre for its own hosts.
        let stocked = gpu.data_centers.iter().filter(|center| center.availability.as_deref() != Some("NONE"));
        let mut regions: Vec<&str> = stocked.map(|center| center.id.as_str()).collect();
        if gpu.data_centers.is_empty() {
            regions.push("");
        }
        offers.extend(
            regions.into_iter().filter_map(|region| offer(gpu, SECURE, gpu.price.secure, region, count)),
        );
    }
    if gpu.community && gpu.max_count.community.is_none_or(|most| most >= count) {
        offers.extend(offer(gpu, COMMUNITY, gpu.price.community, "", count));
    }
    offers
}

/// None: it has no price there.
fn offer(gpu: &Gpu, cloud: &str, price: Option<Decimal>, region: &str, count: u32) -> Option<Offer> {
    // The price is that of one GPU.
    let micros = price?.micros().filter(|micros| *micros > 0)?.checked_mul(u64::from(count))?;
    let choice =
        Choice { cloud: cloud.to_owned(), count, data_center: region.to_owned(), gpu: gpu.id.clone() };
    Some(Offer {
        provider: String::new(),
        id: choice.id(),
        host: None,
        region: region.to_owned(),
        shape: Shape::Container,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: CPU_MILLIS_A_GPU * u64::from(count),
        memory_mib: MEMORY_MIB_A_GPU * u64::from(count),
        disk_gib: MOST_DISK_GB,
        gpus: Some(Gpus { model: gpu::model(&gpu.name), count, memory_mib: gpu.memory.checked_mul(1024)? }),
        gigaflops: None,
        reliability: None,
        until: None,
        terms: Terms {
            hourly: PricePerHour::from_micros(micros),
            disk_month_micros: DISK_MONTH_MICROS,
            // "No fees for data transfer", and everything "billed per second": docs.runpod.io, "Billing overview".
            traffic: Traffic::default(),
            granularity: Granularity::Second,
        },
    })
}
