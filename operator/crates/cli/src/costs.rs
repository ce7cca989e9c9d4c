//! `kubectl coop costs`: what machines were rented, for what, and what each of them cost.

mod focus;

use std::io::{self, Write as _};

use anyhow::Result;
use cooperator_api::collective::{Collective, Departed};
use cooperator_api::fine_tune::{FineTune, RentedMachine};
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

/// All that is known of costs.
#[derive(Clone, Debug, Default, Serialize)]
struct Costs {
    machines: Vec<Cost>,
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
    let homes: Vec<Collective> = if options.name.is_none() { access.list().await? } else { Vec::new() };
    let costs = of(&tunes, &homes);
    if options.focus {
        write!(io::stdout(), "{}", focus::csv(&costs.machines)?)?;
        return Ok(());
    }
    output::print(options.output, &costs, || table(&costs))
}

fn of(tunes: &[FineTune], homes: &[Collective]) -> Costs {
    let mut machines: Vec<Cost> = tunes.iter().flat_map(of_tune).collect();
    machines.sort_by(|one, other| {
        (&one.machine.started_at, &one.machine.uid).cmp(&(&other.machine.started_at, &other.machine.uid))
    });
    let departed =
        homes.iter().filter_map(|home| home.status.as_ref()).flat_map(|status| status.departed.clone());
    Costs { machines, departed: departed.collect() }
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
    output::table(header, rows.chain(departed))
}

#[cfg(test)]
mod tests;
