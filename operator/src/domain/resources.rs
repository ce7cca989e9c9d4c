//! Default resources of the pods of runs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Requests of CPU and memory, and a limit of memory. No limit of CPU: an idle core helps, a throttled run does not.
pub fn resources(cpu: &str, memory: &str, most_memory: &str) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", cpu), ("memory", memory)])),
        limits: Some(quantities(&[("memory", most_memory)])),
        ..ResourceRequirements::default()
    }
}
