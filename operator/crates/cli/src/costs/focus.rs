//! The columns of FOCUS 1.2 (<https://focus.finops.org/focus-specification/v1-2/>), a row a machine. Columns that rented
//! machines have nothing for are left out, as the specification allows of conditional ones.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use super::Cost;

const COLUMNS: [&str; 27] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ServiceCategory",
    "ServiceName",
    "Tags",
];

/// One line a machine that has ended, the header first. What still runs has no final cost and is left out.
pub fn csv(costs: &[Cost]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for cost in costs.iter().filter(|cost| cost.machine.is_final) {
        writer.write_record(row(cost)?)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn row(cost: &Cost) -> Result<[String; 27]> {
    let machine = &cost.machine;
    let ended = machine.ended_at.clone().unwrap_or_else(|| machine.started_at.clone());
    let (from, to) = month(&machine.started_at)?;
    // `hetzner://123`: the vendor, whatever its Provider is called here.
    let vendor = machine.instance.split("://").next().unwrap_or_default().to_owned();
    let tags =
        json!({ "finetune": cost.fine_tune, "nodeclaim": machine.claim, "nodepool": machine.node_pool });
    let seconds = machine.seconds.to_string();
    Ok([
        machine.cost.clone(),
        cost.collective.clone(),
        cost.collective.clone(),
        cost.currency.clone(),
        to,
        from,
        "Usage".into(),
        String::new(),
        format!("{} at {}", machine.offer, machine.provider),
        "Usage-Based".into(),
        ended,
        machine.started_at.clone(),
        seconds.clone(),
        "Seconds".into(),
        machine.cost.clone(),
        machine.cost.clone(),
        machine.provider.clone(),
        machine.cost.clone(),
        seconds,
        "Seconds".into(),
        vendor.clone(),
        vendor,
        machine.instance.clone(),
        machine.node.clone().unwrap_or_default(),
        "Compute".into(),
        "Rented machines".into(),
        tags.to_string(),
    ])
}

/// First instant of the month of a time, and the first after it.
fn month(time: &str) -> Result<(String, String)> {
    let at: Timestamp = time.parse().with_context(|| format!("`{time}` is no time"))?;
    let first = at.to_zoned(TimeZone::UTC).date().first_of_month();
    let after = first.last_of_month().tomorrow()?;
    let instant = |date: Date| Ok::<_, jiff::Error>(date.to_zoned(TimeZone::UTC)?.timestamp().to_string());
    Ok((instant(first)?, instant(after)?))
}
