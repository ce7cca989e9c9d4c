//! What Hetzner Cloud rents out.

use cooperator_core::market::{CapacityType, Granularity, Offer, OfferId, Shape, Terms, Traffic};
use cooperator_core::money::PricePerHour;

use super::wire::{Price, Pricing, ServerType};

/// The offers that types are: one a location that sells it. Images are for x86 alone.
pub(super) fn offers(types: &[ServerType], pricing: &Pricing) -> Vec<Offer> {
    let sold =
        types.iter().filter(|kind| kind.deprecation.is_none() && kind.architecture.as_deref() != Some("arm"));
    let each = |kind: &ServerType| {
        let here = kind.prices.iter().filter(|price| is_sold(kind, &price.location));
        here.filter_map(|price| offer(kind, price, pricing)).collect::<Vec<_>>()
    };
    sold.flat_map(each).collect()
}

fn is_sold(kind: &ServerType, location: &str) -> bool {
    kind.locations.as_ref().is_none_or(|locations| {
        let mut here = locations.iter().filter(|other| other.name == location);
        here.any(|here| here.deprecation.is_none() && here.available != Some(false))
    })
}

/// None: something that has to be known is absurd.
fn offer(kind: &ServerType, price: &Price, pricing: &Pricing) -> Option<Offer> {
    let server = price.price_hourly.net.micros()?;
    let hourly = PricePerHour::from_micros(server.checked_add(pricing.ipv4(&price.location)?)?);
    Some(Offer {
        provider: String::new(),
        id: OfferId(format!("{}@{}", kind.name, price.location)),
        host: None,
        region: price.location.clone(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: kind.cores.checked_mul(1000)?,
        memory_mib: kind.memory.down(3)?.checked_mul(1024)? / 1000,
        disk_gib: kind.disk,
        gpus: None,
        gigaflops: None,
        reliability: None,
        until: None,
        terms: Terms {
            // Capped by the month, which no machine of ours lives to see.
            hourly,
            disk_month_micros: 0,
            // A terabyte and more a month comes with each server; what goes beyond that is not foreseen.
            traffic: Traffic::default(),
            // "Every started hour": docs.hetzner.com, "Cloud: Billing".
            granularity: Granularity::Hour,
        },
    })
}
