//! The steps, in order.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::Timestamp;
use cooperator_rental::{Record, Wish};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::dereference::World;
use super::machine::Moved;
use super::status::Choosing;
use super::wish::Intention;
use super::{cleanup, container, dereference, follow, join, machine, node, reach, record, status, wish};
use crate::pipeline::{Error, again};
use crate::rent::{PULSE_INTERVAL, Rent};
use crate::report::{Fields, Reporter};

/// Field manager of this controller.
const MANAGER: &str = "cooperator-nodeclaim";
/// How soon a node that is not ready is looked at again, should its watch be late.
const SOON: Duration = Duration::from_secs(5);

/// How soon a virtual node is said to live again.
const PULSE: Duration = PULSE_INTERVAL.unsigned_abs();

/// A writer of a claim's status.
pub fn reporter(rent: &Rent) -> Reporter {
    rent.pipeline.reporter(MANAGER, Fields::AllBut(&[]))
}

/// Brings one claim nearer to a machine that works, or to the end of all that it costs.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(claim: Arc<NodeClaim>, rent: Arc<Rent>) -> Result<Action, Error> {
    let pipeline = &rent.pipeline;
    if !cleanup::finalizer_is_set(pipeline, &claim).await? {
        return Ok(Action::await_change());
    }
    let world = dereference::world(pipeline, &claim).await?; // client
    let now = pipeline.clock.now();
    let record = record::record(&claim)?; // pure
    let verdict = node::verdict(&claim, world.node.as_ref()); // pure
    let intention = wish::intention(&claim, &world, &record, &verdict, now); // pure
    // That a machine is to end is in status before it is ended, so that its pods have the time they are promised.
    if intention.is_over && !wish::is_told(&claim) && !record.is_closed() {
        let told = Moved {
            claim: (*claim).clone(),
            record,
            choosing: None,
            hold: None,
            again: None,
            forgot_token: false,
        };
        report(&rent, &world, &told, &intention, &verdict, now).await?; // client
        return Ok(again(Some(Duration::ZERO)));
    }
    let mut moved = machine::advance(&rent, &claim, &world, record, &intention, now).await?; // client
    let followed = if container::has_node(&moved.claim) {
        let Moved { claim, record, hold, .. } = &moved;
        container::follow(&rent, claim, &world, (record, &intention, hold.as_ref()), now).await? // client
    } else {
        let tunnel = rent.tunnel.as_ref().filter(|_| !world.is_lent(&claim));
        let reached = reach::reach(pipeline, tunnel, &claim, &world, &moved.record).await?; // client
        // What was just changed is looked at again first.
        reached || follow::follow(pipeline, &claim, &world, &moved.record, &verdict).await? // client
    };
    if (verdict == node::Verdict::Verified || moved.record.is_closed()) && join::has_token(&claim, now) {
        join::forget_token(pipeline, &claim).await?; // client
        moved.forgot_token = true;
    }
    let written = report(&rent, &world, &moved, &intention, &verdict, now).await?; // client
    let has_node = container::has_node(&claim) && world.node.is_some();
    let is_leaving = claim.metadata.deletion_timestamp.is_some() && !written && !has_node;
    if is_leaving && cleanup::let_go(pipeline, &claim, &world, &moved.record, now).await? {
        return Ok(Action::await_change());
    }
    Ok(again(next(&moved, &intention, &verdict, followed || written)))
}

/// When to look again.
fn next(moved: &Moved, intention: &Intention, verdict: &node::Verdict, is_changed: bool) -> Option<Duration> {
    let unready = moved.record.kept().is_some() && *verdict != node::Verdict::Verified;
    let soon = (is_changed || unready || (intention.wish != Wish::Keep && !moved.record.is_accounted()))
        .then_some(SOON);
    let pulse = container::has_node(&moved.claim).then_some(PULSE);
    [moved.again, soon, pulse].into_iter().flatten().min()
}

async fn report(
    rent: &Rent,
    world: &World,
    moved: &Moved,
    intention: &Intention,
    verdict: &node::Verdict,
    now: Timestamp,
) -> Result<bool, Error> {
    let Moved { claim, record, choosing, hold, again: _, forgot_token } = moved;
    let mut status = status::status(claim, world, record, choosing.as_ref(), now)?; // pure
    if let Some(bootstrap) = status.bootstrap.as_mut().filter(|_| *forgot_token) {
        bootstrap.token_id.clear();
    }
    let findings = status::findings(claim, world, record, intention, verdict, hold.as_ref()); // pure
    Ok(reporter(rent).report(claim, &status, &findings, now).await?)
}

/// Writes an intent down, and returns the claim as it is then. A claim that has changed since it was read is left alone.
pub async fn persist(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    choosing: &Choosing,
    now: Timestamp,
) -> Result<NodeClaim, Error> {
    let keep = Intention { wish: Wish::Keep, is_over: false };
    let status = status::status(claim, world, record, Some(choosing), now)?;
    let findings = status::findings(claim, world, record, &keep, &node::Verdict::Absent, None);
    reporter(rent).report(claim, &status, &findings, now).await?;
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let gone = || Error::Domain(format!("NodeClaim `{name}` was deleted while its machine was chosen"));
    rent.pipeline.get(&namespace, &name).await?.ok_or_else(gone)
}
