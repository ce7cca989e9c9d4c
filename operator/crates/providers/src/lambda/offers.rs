//! What Lambda Cloud rents out.

use cooperator_core::market::{CapacityType, Gpus, Granularity, Offer, OfferId, Shape, Terms, Traffic};

use super::wire::{Listed, Types};
use crate::gpu;

/// The offers that types are: one a region that has it now. None: there are types, and none of them can be read.
pub(super) fn offers(types: &Types) -> Option<Vec<Offer>> {
    let listed =
        types.values().filter_map(|row| serde_json::from_str::<Listed>(row.get()).ok()).collect::<Vec<_>>();
    if listed.is_empty() && !types.is_empty() {
        return None;
    }
    let each = |listed: &Listed| {
        let regions = listed.regions_with_capacity_available.iter();
        regions.filter_map(|region| offer(listed, &region.name)).collect::<Vec<_>>()
    };
    Some(listed.iter().flat_map(each).collect())
}

/// None: something that has to be known is not told, or is absurd.
fn offer(listed: &Listed, region: &str) -> Option<Offer> {
    let kind = &listed.instance_type;
    let gpus = match kind.specs.gpus {
        0 => None,
        count => {
            let text = kind.gpu_description.as_deref()?;
            let (model, memory_gb) = described(text)?;
            Some(Gpus { model, count, memory_mib: memory_gb.checked_mul(1024)? })
        }
    };
    Some(Offer {
        provider: String::new(),
        id: OfferId(format!("{}@{region}", kind.name)),
        host: None,
        region: region.to_owned(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: kind.specs.vcpus.checked_mul(1000)?,
        memory_mib: kind.specs.memory_gib.checked_mul(1024)?,
        disk_gib: kind.specs.storage_gib,
        gpus,
        gigaflops: None,
        reliability: None,
        until: None,
        terms: Terms {
            hourly: kind.hourly()?,
            // The disk comes with the machine, and it asks nothing for traffic.
            disk_month_micros: 0,
            traffic: Traffic::default(),
            // "In one-minute increments": docs.lambda.ai, "Billing".
            granularity: Granularity::Minute,
        },
    })
}

/// Model and memory, in GB, of `H100 (80 GB SXM5)`.
fn described(text: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = text.split(|character: char| !character.is_ascii_alphanumeric()).collect();
    let gigabytes =
        |pair: &[&str]| pair[1].eq_ignore_ascii_case("gb").then(|| pair[0].parse().ok()).flatten();
    let memory = words.windows(2).find_map(gigabytes)?;
    Some((gpu::model(text), memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_model_and_memory() {
        assert_eq!(described("H100 (80 GB SXM5)"), Some(("h100-sxm".to_owned(), 80)));
        assert_eq!(described("A10 (24 GB PCIe)"), Some(("a10-pcie".to_owned(), 24)));
        assert_eq!(described("N/A"), None);
    }
}
