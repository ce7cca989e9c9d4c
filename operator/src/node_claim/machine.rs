//! Client: moves a claim's rental on. Every intent is in status before a vendor hears of it.

use std::time::Duration;

use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::Timestamp;
use cooperator_providers::InstanceName;
use cooperator_rental::{Advance, News, Record, Wish, step};
use kube::ResourceExt as _;

use super::dereference::World;
use super::place::{self, Sought};
use super::status::Choosing;
use super::wish::Intention;
use super::{container, needs, reconcile};
use crate::domain::Hold;
use crate::pipeline::Error;
use crate::provider;
use crate::rent::{self, Rent};

/// How soon a drain is looked at again.
const DRAIN: Duration = Duration::from_secs(2);

/// Where a claim stands after [`advance`].
#[derive(Debug)]
pub struct Moved {
    /// The claim, as it was read last.
    pub claim: NodeClaim,
    /// Its record.
    pub record: Record,
    /// What was chosen, where something was.
    pub choosing: Option<Choosing>,
    /// Why nothing is rented, or cannot be asked about.
    pub hold: Option<Hold>,
    /// When to look again at the latest.
    pub again: Option<Duration>,
    /// Whether its bootstrap token was taken away.
    pub forgot_token: bool,
}

/// Moves a claim's rental on by one step.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn advance(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    record: Record,
    intention: &Intention,
    now: Timestamp,
) -> Result<Moved, Error> {
    let name = instance_name(rent, claim).await?;
    let mut still =
        Moved { claim: claim.clone(), record, choosing: None, hold: None, again: None, forgot_token: false };
    let may_rent = still.record.is_closed() && !intention.is_over;
    if container::has_node(claim) {
        if may_rent {
            still = container::place(rent, world, still, &name, now).await?;
            if !still.record.is_closed() {
                return Ok(still);
            }
        }
    } else if may_rent && world.node.is_none() {
        // The node of a machine before goes first: one claim has one node.
        let sought = if may_be_container(rent, claim) { Sought::Any } else { Sought::Machine };
        return place::place(rent, world, still, &name, sought, now).await;
    }
    if super::wish::drains_until(claim, world, &still.record, now).is_some() {
        return Ok(Moved { again: Some(DRAIN), ..still });
    }
    go_on(rent, claim, world, still, &name, &intention.wish).await
}

/// Whether a container does for a claim: somebody looks after it, and it has what is asked for.
fn may_be_container(rent: &Rent, claim: &NodeClaim) -> bool {
    rent.site.kubelet.is_some() && claim.spec.fine_tune_ref.is_some() && needs::fit_a_container(claim)
}

/// What the machine of a claim is called.
async fn instance_name(rent: &Rent, claim: &NodeClaim) -> Result<InstanceName, Error> {
    let uid = claim.uid().unwrap_or_default();
    let none = || Error::Domain(format!("NodeClaim `{}` has no UUID for a uid: {uid}", claim.name_any()));
    rent.tenant().await?.name(&uid).ok_or_else(none)
}

/// One step at each Provider where something is to be done, until one changes the record.
async fn go_on(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    mut moved: Moved,
    name: &InstanceName,
    wish: &Wish,
) -> Result<Moved, Error> {
    let providers: Vec<String> = moved.record.providers().into_iter().map(str::to_owned).collect();
    for at in providers {
        let Some(provider) = world.providers.get(&at) else {
            let message = format!(
                "Provider `{at}`, where its machine is, does not exist any more: create it again, so that the machine can be ended"
            );
            moved.hold = Some(Hold::new("ProviderNotFound", message));
            continue;
        };
        let driver = match rent.drivers.of(&rent.pipeline, provider).await? {
            Ok(driver) => driver,
            Err(hold) => {
                moved.hold = Some(hold);
                continue;
            }
        };
        let limits = rent::limits(provider);
        let clock = &*rent.pipeline.clock;
        let Advance { record, changed, again, news } =
            step(&moved.record, &at, name, wish, &limits, &*driver, clock).await;
        tell(rent, claim, world, &at, &record, &news).await?;
        moved.record = record;
        moved.again = [moved.again, again].into_iter().flatten().min();
        if changed {
            break;
        }
    }
    Ok(moved)
}

/// Tells what happened: as events, and to the Provider that it happened at.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn tell(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    at: &str,
    record: &Record,
    news: &[News],
) -> Result<(), Error> {
    let reporter = reconcile::reporter(rent);
    let launched = record.launches.last().map_or(Timestamp::MIN, |launch| launch.intended_at);
    for one in news {
        if let Some((warning, reason, note)) = super::status::event(at, one) {
            reporter.event(claim, warning, reason, note).await;
        }
    }
    match world.providers.get(at) {
        Some(provider) => {
            let costs = news.iter().filter_map(|one| match one {
                News::Accounted { amount, .. } => Some(*amount),
                _ => None,
            });
            costs.for_each(|amount| rent.gauges.cost(provider.spec.type_, amount));
            provider::note(rent, provider, launched, news).await
        }
        None => Ok(()),
    }
}
