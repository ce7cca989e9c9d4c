//! Pure: which period is next, and when it is closed.

use cooperator_api::collective::{Collective, SettlementPeriod, Settling};
use cooperator_api::names::ANNOTATION_SETTLE_THROUGH;
use cooperator_api::settlement::Settlement;
use cooperator_core::period::{Period, PeriodError, PeriodLength};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::domain::{duration, parse_time};

/// What is to be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// This period, now.
    Now(Period),
    /// Nothing before this instant.
    At(Timestamp),
}

/// Decides. A period that was begun is ended, whatever the annotation says by then; else the annotation closes the open
/// period early; else it closes at its end and the time to wait for late usage.
///
/// # Errors
/// [`PeriodError`] far outside of present times.
pub fn due(collective: &Collective, settlements: &[Settlement], now: Timestamp) -> Result<Due, PeriodError> {
    let length = length(collective.spec.treasury.settlement_period);
    let open = match settled_through(&collective.name_any(), settlements) {
        Some(end) => length.starting_at(end)?,
        None => {
            let created = collective.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
            length.containing(created)?
        }
    };
    let begun = collective.status.as_ref().and_then(|status| status.settling.as_ref());
    if let Some(period) = begun.and_then(|begun| continued(begun, &open)) {
        return Ok(Due::Now(period));
    }
    let wait = duration(&collective.spec.treasury.close_after);
    match through(collective, now).filter(|through| *through > open.start()) {
        Some(through) if through < open.end() => Ok(Due::Now(open.close_early(through)?)),
        Some(_) => Ok(Due::Now(open)),
        None if open.closes_at(wait) <= now => Ok(Due::Now(open)),
        None => Ok(Due::At(open.closes_at(wait))),
    }
}

/// The period that was written down, if it still is the next one.
fn continued(begun: &Settling, open: &Period) -> Option<Period> {
    let (start, end) = (parse_time(&begun.start)?, parse_time(&begun.end)?);
    (start == open.start()).then(|| open.close_early(end).ok()).flatten()
}

fn settled_through(collective: &str, settlements: &[Settlement]) -> Option<Timestamp> {
    let ours = settlements.iter().filter(|settlement| settlement.spec.collective_ref.name == collective);
    ours.filter_map(|settlement| parse_time(&settlement.spec.period.end)).max()
}

/// The annotation's instant, once it is past.
fn through(collective: &Collective, now: Timestamp) -> Option<Timestamp> {
    let text = collective.annotations().get(ANNOTATION_SETTLE_THROUGH)?;
    parse_time(text).filter(|through| *through <= now)
}

/// What is wrong with the annotation, for an event.
pub fn refused(collective: &Collective, now: Timestamp) -> Option<String> {
    let text = collective.annotations().get(ANNOTATION_SETTLE_THROUGH)?;
    match parse_time(text) {
        Some(through) if through <= now => None,
        Some(_) => Some(format!(
            "annotation {ANNOTATION_SETTLE_THROUGH}: {text} is not past yet; it is looked at again"
        )),
        None => Some(format!(
            "annotation {ANNOTATION_SETTLE_THROUGH} must be an RFC 3339 time such as 2026-11-24T12:00:00Z"
        )),
    }
}

/// The domain's name for it.
pub fn length(length: SettlementPeriod) -> PeriodLength {
    match length {
        SettlementPeriod::Hourly => PeriodLength::Hourly,
        SettlementPeriod::Daily => PeriodLength::Daily,
        SettlementPeriod::Weekly => PeriodLength::Weekly,
        SettlementPeriod::Monthly => PeriodLength::Monthly,
        SettlementPeriod::Quarterly => PeriodLength::Quarterly,
    }
}
