//! The market of Vast.ai.

use std::time::Duration;

use cooperator_core::basis_points::BasisPoints;
use cooperator_core::market::{
    CapacityType, Gpus, Granularity, HostId, Offer, OfferId, Shape, Terms, Traffic,
};
use cooperator_core::money::PricePerHour;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use serde_json::value::RawValue;

use super::orders::LEAST_DISK_GB;
use super::wire::{Is, Row, Search};
use crate::decimal::Decimal;
use crate::driver::Query;
use crate::gpu;

/// What the id of a spot offer has after the ask's.
pub(super) const SPOT: &str = "/spot";
/// Most offers that are asked for, the cheapest first.
const MOST_OFFERS: u32 = 3000;

/// What is asked for. Models are not: it knows them only by names of its own. Prices are not: a spot offer costs less than
/// the price by which it is listed.
pub(super) fn search(query: &Query) -> Search {
    let disk = query.disk_gib.max(LEAST_DISK_GB);
    Search {
        limit: MOST_OFFERS,
        // Both spellings occur in its own documentation; its example has this one.
        kind: "on-demand",
        verified: Is::Eq(true),
        rentable: Is::Eq(true),
        rented: Is::Eq(false),
        order: [["dph_total", "asc"]],
        allocated_storage: disk,
        disk_space: Is::Gte(disk),
        vms_enabled: query.shape.map(|shape| Is::Eq(shape == Shape::Machine)),
        num_gpus: (query.gpus > 0).then_some(Is::Gte(query.gpus)),
        gpu_ram: (query.gpu_memory_mib > 0).then_some(Is::Gte(query.gpu_memory_mib)),
    }
}

/// The offers that rows are: on demand, and for a bid. None: there are rows, and none of them can be read.
pub(super) fn offers(rows: &[Box<RawValue>], now: Timestamp) -> Option<Vec<Offer>> {
    let read = rows.iter().filter_map(|row| serde_json::from_str::<Row>(row.get()).ok()).collect::<Vec<_>>();
    if read.is_empty() && !rows.is_empty() {
        return None;
    }
    Some(read.iter().filter(|row| is_for_rent(row)).flat_map(|row| both(row, now)).collect())
}

/// Asked for as well, and looked at again: what is not vetted, or taken, costs a try.
fn is_for_rent(row: &Row) -> bool {
    row.rentable != Some(false)
        && row.rented != Some(true)
        && row.verification.as_deref().is_none_or(|verification| verification == "verified")
}

fn both(row: &Row, now: Timestamp) -> Vec<Offer> {
    let Some(on_demand) = offer(row, row.dph_base, now) else { return Vec::new() };
    // No lowest bid: it is rented on demand only.
    let bid = row.min_bid.and_then(Decimal::hourly).filter(|bid| *bid > PricePerHour::from_micros(0));
    let spot = bid.map(|hourly| Offer {
        id: OfferId(format!("{}{SPOT}", row.id)),
        capacity_type: CapacityType::Spot,
        terms: Terms { hourly, ..on_demand.terms.clone() },
        ..on_demand.clone()
    });
    std::iter::once(on_demand).chain(spot).collect()
}

/// None: something that has to be known is not told, or is absurd.
fn offer(row: &Row, price: Decimal, now: Timestamp) -> Option<Offer> {
    let whole = |number: Option<Decimal>| number.and_then(|number| number.down(0));
    let micros = |number: Option<Decimal>| number.map_or(Some(0), Decimal::micros);
    let gpus = match row.num_gpus.unwrap_or(0) {
        0 => None,
        count => {
            let model = gpu::model(row.gpu_name.as_deref()?);
            Some(Gpus { model, count, memory_mib: whole(row.gpu_ram)? })
        }
    };
    let until = whole(row.duration).map(|seconds| {
        later(now, SignedDuration::try_from(Duration::from_secs(seconds)).unwrap_or(SignedDuration::MAX))
    });
    Some(Offer {
        provider: String::new(),
        id: OfferId(row.id.to_string()),
        host: row.machine_id.map(|id| HostId(id.to_string())),
        region: row.geolocation.clone().unwrap_or_default(),
        shape: if row.vms_enabled == Some(true) { Shape::Machine } else { Shape::Container },
        capacity_type: CapacityType::OnDemand,
        // The share of the host's; null in `cpu_cores` says nothing about it.
        cpu_millis: row.cpu_cores_effective.or(row.cpu_cores)?.down(3)?,
        memory_mib: whole(row.cpu_ram)?,
        disk_gib: whole(row.disk_space)?,
        gpus,
        gigaflops: row.total_flops.and_then(|flops| flops.down(3)),
        reliability: row.reliability.and_then(basis_points),
        until,
        terms: Terms {
            hourly: price.hourly()?,
            // What it calls GB is taken for GiB here and in orders alike, so that the bill is the same.
            disk_month_micros: micros(row.storage_cost)?,
            traffic: Traffic {
                up_micros: micros(row.inet_up_cost)?,
                down_micros: micros(row.inet_down_cost)?,
            },
            // By the second while it runs: docs.vast.ai, "Billing"; the disk from its creation to its end.
            granularity: Granularity::Second,
        },
    })
}

/// From a part of one.
fn basis_points(part: Decimal) -> Option<BasisPoints> {
    BasisPoints::new(u16::try_from(part.down(4)?).ok()?).ok()
}
