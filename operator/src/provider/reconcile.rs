//! The steps, in order.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::collective::Collective;
use cooperator_api::provider::Provider;
use cooperator_providers::Query;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::books;
use super::orphans::{self, Collected};
use super::status::{self, Seen};
use crate::pipeline::{Error, again};
use crate::rent::Rent;
use crate::report::Fields;

/// Field manager of this controller.
pub const MANAGER: &str = "cooperator-provider";
/// What of status is written down when a machine fails, by whoever sees it fail.
pub const FIELDS: Fields = Fields::AllBut(&["failures", "pausedUntil", "blockedHosts"]);
/// How often machines without a claim are looked for: one dies within 90 s of losing its claim.
const PASS: Duration = Duration::from_secs(20);

/// Looks at one Provider: whether it can be rented from, what it offers, and what of ours is there.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(provider: Arc<Provider>, rent: Arc<Rent>) -> Result<Action, Error> {
    let pipeline = &rent.pipeline;
    let namespace = provider.namespace().unwrap_or_default();
    let collective: Option<Collective> = pipeline.get(&namespace, &provider.spec.collective_ref.name).await?; // client
    let now = pipeline.clock.now();
    let seen = match rent.drivers.of(pipeline, &provider).await? {
        Err(hold) => Seen { hold: Some(hold), ..Seen::default() },
        Ok(driver) => {
            let offers = rent.market.offers(&provider, &*driver, &Query::default(), now).await; // client
            let mut collected = orphans::collect(&rent, &provider, &*driver).await?; // client
            if let (Ok(collected), Some(home)) = (&mut collected, &collective) {
                let strays = std::mem::take(&mut collected.strays);
                collected.strays = books::book(pipeline, &provider, home, strays, now).await?; // client
            }
            Seen { hold: None, offers: Some(offers), collected: Some(collected) }
        }
    };
    let status = status::status(&provider, collective.as_ref(), &seen, now)?; // pure
    let findings = status::findings(&provider, collective.as_ref(), &seen, now); // pure
    let reporter = pipeline.reporter(MANAGER, FIELDS);
    reporter.report(&*provider, &status, &findings, now).await?; // client
    let sooner = match &seen.collected {
        Some(Ok(Collected { again, .. })) => *again,
        _ => None,
    };
    Ok(again(Some(sooner.unwrap_or(PASS).min(PASS))))
}
