//! Pure: between the ledger of a status and the record that the rental engine works on. Both have one JSON form.

use cooperator_api::node_claim::{Launch, NodeClaim};
use cooperator_core::market::ExchangeRate;
use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::Timestamp;
use cooperator_rental::Record;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::pipeline::Error;

/// The record that a claim's status holds.
///
/// # Errors
/// [`Error::Domain`] if somebody has written something else there: nothing is done before it is put right.
pub fn record(claim: &NodeClaim) -> Result<Record, Error> {
    let launches = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
    let json = serde_json::to_value(launches)
        .and_then(|launches| serde_json::from_value(json!({ "launches": launches })));
    json.map_err(|error| {
        let name = claim.name_any();
        Error::Domain(format!(
            "NodeClaim `{name}`: status.launches cannot be read ({error}): put back what was there"
        ))
    })
}

/// What status holds of a record. The exchange rates are those at which each launch began: `rate` is that of a new one.
///
/// # Errors
/// [`Error::Domain`] if a launch has no JSON form: a fault of ours.
pub fn launches(
    record: &Record,
    before: &[Launch],
    rate: Option<ExchangeRate>,
) -> Result<Vec<Launch>, Error> {
    let one = |launch: &cooperator_rental::Launch| {
        let mut value = serde_json::to_value(launch)?;
        let known = before.iter().find(|known| u32::try_from(known.number) == Ok(launch.number));
        let rate = known.and_then(|known| known.exchange_rate.clone()).or_else(|| Some(rate?.to_string()));
        if let Some(rate) = rate {
            value["exchangeRate"] = Value::from(rate);
        }
        serde_json::from_value(value)
    };
    let all: Result<_, serde_json::Error> = record.launches.iter().map(one).collect();
    all.map_err(|error| Error::Domain(format!("a launch cannot be written down: {error}")))
}

/// The rate at which a launch is paid for in the treasury's currency.
pub fn rate_of(launches: &[Launch], number: u32) -> ExchangeRate {
    let known = launches.iter().find(|known| u32::try_from(known.number) == Ok(number));
    known.and_then(|known| known.exchange_rate.as_ref()?.parse().ok()).unwrap_or(ExchangeRate::ONE)
}

/// What all launches have cost until `now`, in the treasury's currency.
///
/// # Errors
/// [`MoneyError::Overflow`]
pub fn cost(record: &Record, launches: &[Launch], now: Timestamp) -> Result<Amount, MoneyError> {
    let lines = record.lines(now)?;
    Amount::sum(
        lines
            .iter()
            .map(|line| rate_of(launches, line.launch).amount(line.amount))
            .collect::<Result<Vec<_>, _>>()?,
    )
}

#[cfg(test)]
mod tests {
    use cooperator_api::node_claim::NodeClaimSpec;
    use serde_json::json;

    use super::*;

    const AT: &str = "2026-11-24T12:00:00Z";

    /// A record with every field that there is.
    fn full() -> Record {
        let machine = json!({
            "instance": "7", "madeAt": AT, "knownAt": AT, "since": AT, "hourly": "0.5", "runningAt": AT, "stoppedAt": AT,
            "lostAt": AT, "deletes": 2, "deleteAskedAt": AT, "unsureAt": AT, "marks": 1, "acceptedAt": AT, "goneAt": AT, "endedAt": AT,
            "confirmedAt": AT, "charged": "0.25", "accountedAt": AT,
        });
        serde_json::from_value(json!({ "launches": [{
            "number": 3, "provider": "one",
            "offer": {
                "provider": "one", "id": "a", "host": "h", "region": "EU", "shape": "Machine", "capacityType": "Spot",
                "cpuMillis": 4000, "memoryMib": 8192, "diskGib": 100,
                "gpus": { "model": "rtx-4090", "count": 1, "memoryMib": 24576 }, "gigaflops": 82000, "reliability": 9900, "until": AT,
                "terms": { "hourly": "0.5", "diskMonthMicros": 100, "traffic": { "upMicros": 1, "downMicros": 2 }, "granularity": "Hour" },
            },
            "diskGib": 40, "bid": "0.6", "intendedAt": AT, "doubtfulSince": AT, "missedAt": AT, "machine": machine, "spares": [machine],
            "reason": "Preempted", "message": "taken", "confirmedAt": AT,
        }] }))
        .unwrap()
    }

    /// A field more in the engine's types does not compile here: it needs one in the API's, or it is lost.
    fn is_complete(launch: &cooperator_rental::Launch) -> bool {
        let cooperator_rental::Launch {
            number: _,
            provider: _,
            offer: _,
            disk_gib: _,
            bid,
            intended_at: _,
            doubtful_since,
            missed_at,
            machine,
            spares,
            reason,
            message,
            confirmed_at,
        } = launch;
        let all = [
            bid.is_some(),
            doubtful_since.is_some(),
            missed_at.is_some(),
            reason.is_some(),
            confirmed_at.is_some(),
        ];
        all.into_iter().all(|is_there| is_there)
            && !message.is_empty()
            && machine.iter().chain(spares).all(is_whole)
    }

    fn is_whole(machine: &cooperator_rental::Machine) -> bool {
        let cooperator_rental::Machine {
            instance: _,
            made_at: _,
            known_at: _,
            since,
            hourly,
            running_at,
            stopped_at,
            lost_at,
            deletes,
            delete_asked_at,
            unsure_at,
            marks,
            accepted_at,
            gone_at,
            ended_at,
            confirmed_at,
            charged,
            accounted_at,
        } = machine;
        let times = [
            since,
            running_at,
            stopped_at,
            lost_at,
            delete_asked_at,
            unsure_at,
            accepted_at,
            gone_at,
            ended_at,
        ];
        let more = [confirmed_at, accounted_at];
        times.into_iter().chain(more).all(Option::is_some)
            && *deletes > 0
            && *marks > 0
            && hourly.is_some()
            && charged.is_some()
    }

    #[test]
    fn a_record_is_written_to_status_and_read_back_as_it_was() {
        let mut claim = NodeClaim::new("m", NodeClaimSpec::default());
        let written = launches(&full(), &[], Some("1.08".parse().unwrap())).unwrap();
        claim.status.get_or_insert_default().launches = written.clone();
        assert_eq!(record(&claim).unwrap(), full());
        assert!(is_complete(&full().launches[0]) && !full().launches[0].spares.is_empty());
        assert_eq!(rate_of(&written, 3).to_string(), "1.08");
        let again = launches(&full(), &written, Some("2".parse().unwrap())).unwrap();
        assert_eq!(rate_of(&again, 3).to_string(), "1.08", "a rate is that of the day it was rented");
    }
}
