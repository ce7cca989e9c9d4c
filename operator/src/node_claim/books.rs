//! Pure: what of a Collective's budget is spent by all but the claims that are there, whose cost is told by themselves.

use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_api::node_claim::NodeClaim;
use cooperator_core::money::Amount;
use cooperator_core::period::Period;
use cooperator_core::time::Timestamp;
use kube::ResourceExt as _;

use crate::domain::{amount, falls_in, sum};
use crate::settlement::periods::length;

/// The period of a Collective's budget that it is now.
pub fn present(home: &Collective, now: Timestamp) -> Option<Period> {
    let budget = home.spec.budget.as_ref()?;
    length(budget.period).containing(now).ok()
}

/// What FineTunes have cost in the present period, those that are gone included, without what the machines of `claims` add.
pub fn spent_elsewhere(
    home: &Collective,
    tunes: &[FineTune],
    claims: &[NodeClaim],
    now: Timestamp,
) -> Amount {
    let present = present(home, now);
    let counts = |time: &str| falls_in(present.as_ref(), time);
    let is_here = |uid: &str| claims.iter().any(|claim| claim.uid().as_deref() == Some(uid));
    let departed = home.status.as_ref().map(|status| status.departed.as_slice()).unwrap_or_default();
    let gone = departed.iter().filter(|gone| !is_here(&gone.uid) && counts(&gone.ended_at));
    let is_departed = |tune: &FineTune| departed.iter().any(|gone| Some(&gone.uid) == tune.uid().as_ref());
    let present = tunes.iter().filter(|tune| !is_departed(tune)).filter_map(|tune| tune.status.as_ref());
    let ours = present.filter(|status| status.collective.as_ref() == Some(&home.name_any()));
    let amounts = ours.filter(|status| newest(status).is_none_or(counts)).map(|status| {
        let cost = status.cost.as_ref().map_or(Amount::ZERO, |cost| amount(&cost.amount));
        let here = status.machines.iter().filter(|machine| is_here(&machine.uid));
        here.fold(cost, |left, machine| left.minus(amount(&machine.cost)).unwrap_or(left))
    });
    sum(amounts.chain(gone.map(|gone| amount(&gone.cost))))
}

/// When the newest attempt ended, or began.
fn newest(status: &FineTuneStatus) -> Option<&str> {
    let attempt = status.attempts.last()?;
    Some(attempt.ended_at.as_deref().unwrap_or(&attempt.started_at))
}
