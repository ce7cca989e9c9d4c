//! `GET /billing/pods`: what was charged, a record a pod and bucket of time.

use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::{SignedDuration, Timestamp, later};
use serde_json::json;

use super::{RunPod, invalid};
use crate::call::{Answer, Call, Dialect as _};
use crate::wire::Object;
use crate::world::{Instance, World};

/// A stretch of time over which amounts are summed.
type Bucket = (Timestamp, Timestamp);

pub(super) fn pods(world: &World, call: &Call) -> Answer {
    let buckets = match window(world, call) {
        Ok(buckets) => buckets,
        Err(message) => return invalid(message),
    };
    let wanted = call.query("podId");
    let lag = SignedDuration::from_secs(i64::try_from(world.billing_lag).unwrap_or(i64::MAX));
    let known = later(world.now(), -lag);
    let (mut rows, mut sum, mut pods) = (Vec::new(), [Amount::ZERO; 2], 0_usize);
    let own = world.instances().iter().filter(|one| one.order.account == call.account);
    for one in own.filter(|one| wanted.is_none_or(|id| id == one.id)) {
        let before = rows.len();
        if records(one, &buckets, known, &mut rows, &mut sum).is_err() {
            return RunPod.broken();
        }
        pods += usize::from(rows.len() > before);
    }
    let Ok(totals) = amounts(Object::new(), sum) else { return RunPod.broken() };
    let query = json!({
        "startTime": buckets.first().map(|bucket| bucket.0),
        "endTime": buckets.last().map(|bucket| bucket.1),
    });
    let metadata = Object::new()
        .with("query", query)
        .with("recordCount", rows.len())
        .with("uniquePodCount", pods)
        .with("totals", totals);
    Answer::ok(&Object::new().with("records", rows).with("metadata", metadata))
}

fn records(
    one: &Instance,
    buckets: &[Bucket],
    known: Timestamp,
    rows: &mut Vec<Object>,
    sum: &mut [Amount; 2],
) -> Result<(), MoneyError> {
    let overlap = |(from, to): &&Bucket| one.created < *to && one.ended.is_none_or(|ended| ended >= *from);
    for (from, to) in buckets.iter().filter(overlap) {
        let (before, by) = (one.meter.bill((*from).min(known))?, one.meter.bill((*to).min(known))?);
        let own = [by.compute.minus(before.compute)?, by.disk.minus(before.disk)?];
        if own == [Amount::ZERO; 2] {
            continue;
        }
        *sum = [sum[0].plus(own[0])?, sum[1].plus(own[1])?];
        let row = Object::new().with("podId", &one.id).with("startTime", from).with("endTime", to);
        rows.push(amounts(row, own)?);
    }
    Ok(())
}

fn amounts(object: Object, [gpu, disk]: [Amount; 2]) -> Result<Object, MoneyError> {
    let object = object.decimal("totalAmount", gpu.plus(disk)?).decimal("gpuAmount", gpu);
    Ok(object.decimal("cpuAmount", Amount::ZERO).decimal("diskAmount", disk))
}

/// The buckets that were asked for: whole ones, thirty days by default.
fn window(world: &World, call: &Call) -> Result<Vec<Bucket>, &'static str> {
    let seconds: i64 = match call.query("bucketSize").unwrap_or("day") {
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        "month" => 30 * 86_400,
        "year" => 365 * 86_400,
        _ => return Err("bucketSize is one of hour, day, week, month, year"),
    };
    let time = |name| match call.query(name).map(str::parse::<Timestamp>) {
        None => Ok(None),
        Some(Ok(time)) => Ok(Some(time)),
        Some(Err(_)) => Err("startTime and endTime are times of RFC 3339"),
    };
    let now = world.now();
    let down = |time: Timestamp| time.as_second().div_euclid(seconds) * seconds;
    let up = |time: Timestamp| {
        let whole = down(time);
        if Timestamp::from_second(whole).is_ok_and(|whole| whole == time) { whole } else { whole + seconds }
    };
    let (from, to) = match (time("startTime")?, time("endTime")?, call.query("lastN").map(str::parse::<i64>))
    {
        (Some(from), Some(to), None) if from < to => (down(from), up(to)),
        (Some(_), Some(_), None) => return Err("startTime must be before endTime"),
        (None, None, None) => {
            (down(later(now, SignedDuration::from_hours(-720))), up(now).max(down(now) + seconds))
        }
        (None, None, Some(Ok(count))) if (1..=1_000).contains(&count) => {
            let end = down(now) + seconds;
            (end - count * seconds, end)
        }
        (None, None, Some(_)) => return Err("lastN must be a whole number from 1 to 1000"),
        (_, _, Some(_)) => return Err("lastN excludes startTime and endTime"),
        _ => return Err("startTime and endTime must be provided together"),
    };
    if (to - from) / seconds > 10_000 {
        return Err("the window has more than 10000 buckets");
    }
    let at = |second| Timestamp::from_second(second).map_err(|_| "the window is out of range");
    let mut buckets = Vec::new();
    let mut start = from;
    while start < to {
        buckets.push((at(start)?, at(start + seconds)?));
        start += seconds;
    }
    Ok(buckets)
}
