//! `kubectl coop costs`: what machines were rented, for what, and what each of them cost.

mod focus;

use std::io::{self, Write as _};

use anyhow::Result;
use cooperator_api::collective::{Collective, Departed};
use cooperator_api::fine_tune::{FineTune, RentedMachine};
use cooperator_api::provider::{Provider, Stray};
use kube::ResourceExt as _;
use serde::Serialize;

use crate::access::Access;
use crate::output;

/// Options of `costs`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Only what was rented for this FineTune
    pub name: Option<String>,
    /// Print CSV in the columns of FOCUS, the FinOps Open Cost and Usage Specification, 1.2
    #[arg(long, conflicts_with = "output")]
    pub focus: bool,
    /// How to print.
    #[command(flatten)]
    pub output: output::Options,
}

/// A machine, and what it was rented for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    fine_tune: String,
    currency: String,
    collective: String,
    #[serde(flatten)]
    machine: RentedMachine,
}

/// A machine that had no claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Lost {
    provider: String,
    #[serde(flatten)]
    stray: Stray,
}

/// All that is known of costs.
#[derive(Clone, Debug, Default, Serialize)]
struct Costs {
    machines: Vec<Cost>,
    /// Machines that had no claim and were ended.
    strays: Vec<Lost>,
    /// Of FineTunes that are no more, and not settled yet.
    departed: Vec<Departed>,
}

/// Prints it.
///
/// # Errors
/// When the cluster does not answer.
pub async fn costs(access: &Access, options: &Options) -> Result<()> {
    let tunes: Vec<FineTune> = match &options.name {
        Some(name) => vec![access.get(name).await?],
        None => access.list().await?,
    };
    let (homes, providers): (Vec<Collective>, Vec<Provider>) = match options.name {
        Some(_) => (Vec::new(), Vec::new()),
        None => (access.list().await?, access.list().await?),
    };
    let costs = of(&tunes, &providers, &homes);
    if options.focus {
        write!(io::stdout(), "{}", focus::csv(&costs.machines)?)?;
        return Ok(());
    }
    output::print(options.output, &costs, || table(&costs))
}

fn of(tunes: &[FineTune], providers: &[Provider], homes: &[Collective]) -> Costs {
    let mut machines: Vec<Cost> = tunes.iter().flat_map(of_tune).collect();
    machines.sort_by(|one, other| {
        (&one.machine.started_at, &one.machine.uid).cmp(&(&other.machine.started_at, &other.machine.uid))
    });
    let departed =
        homes.iter().filter_map(|home| home.status.as_ref()).flat_map(|status| status.departed.clone());
    // Those are told by their Providers.
    let departed = departed.filter(|departed| !departed.uid.starts_with("stray/"));
    Costs { machines, strays: providers.iter().flat_map(of_provider).collect(), departed: departed.collect() }
}

fn of_provider(provider: &Provider) -> Vec<Lost> {
    let strays = provider.status.clone().unwrap_or_default().strays;
    strays.into_iter().map(|stray| Lost { provider: provider.name_any(), stray }).collect()
}

fn of_tune(tune: &FineTune) -> Vec<Cost> {
    let status = tune.status.clone().unwrap_or_default();
    let currency = status.cost.map(|cost| cost.currency).unwrap_or_default();
    let collective = status.collective.unwrap_or_default();
    let cost = |machine| Cost {
        fine_tune: tune.name_any(),
        currency: currency.clone(),
        collective: collective.clone(),
        machine,
    };
    status.machines.into_iter().map(cost).collect()
}

fn table(costs: &Costs) -> String {
    let rows = costs.machines.iter().map(|Cost { fine_tune, currency, machine, .. }| {
        [
            fine_tune.clone(),
            machine.provider.clone(),
            machine.offer.clone(),
            machine.started_at.clone(),
            machine.ended_at.clone().unwrap_or_else(|| "runs".into()),
            machine.price_per_hour.clone(),
            format!("{} {currency}{}", machine.cost, if machine.is_final { "" } else { " so far" }),
        ]
    });
    let strays = costs.strays.iter().map(|Lost { provider, stray }| {
        let machine = &stray.machine;
        [
            "none".into(),
            provider.clone(),
            format!("{}, without a claim", machine.instance),
            machine.since.clone().unwrap_or_else(|| machine.made_at.clone()),
            machine.ended_at.clone().unwrap_or_else(|| "is being ended".into()),
            machine.hourly.clone().unwrap_or_default(),
            stray.booked.clone().unwrap_or_else(|| "not final".into()),
        ]
    });
    let departed = costs.departed.iter().map(|departed| {
        let none = String::new;
        let ended = departed.ended_at.clone();
        [
            departed.fine_tune.clone(),
            none(),
            "deleted since".into(),
            none(),
            ended,
            none(),
            departed.cost.clone(),
        ]
    });
    let header = ["FINETUNE", "PROVIDER", "MACHINE", "FROM", "TO", "AN HOUR", "COST"];
    output::table(header, rows.chain(strays).chain(departed))
}

#[cfg(test)]
mod tests;
