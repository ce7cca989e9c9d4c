//! What was charged: `GET /api/v0/charges/`, and the account.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::{SignedDuration, Timestamp, later};
use serde_json::{Map, Number, Value, json};

use super::filter::{Field, Test};
use super::{Vast, invalid};
use crate::bill::Bill;
use crate::call::{Answer, Call, Dialect as _};
use crate::wire::{Object, epoch, millionths};
use crate::world::{Instance, World};

/// Rows of an answer whose request says no limit, and most of one that does.
const LIMITS: (usize, usize) = (20, 500);

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let limit = match call.query("limit").map(str::parse::<usize>) {
        None => LIMITS.0,
        Some(Ok(limit)) if (1..=LIMITS.1).contains(&limit) => limit,
        Some(_) => return invalid("limit must be a whole number from 1 to 500"),
    };
    let filters = call.query("select_filters").unwrap_or("{}");
    let Ok(filters) = serde_json::from_str::<Map<String, Value>>(filters) else {
        return invalid("select_filters is no JSON object");
    };
    let day = |bound: &str| match filters.get("day").and_then(|day| day.get(bound)) {
        Some(Value::Number(number)) => instant(number),
        _ => None,
    };
    let (Some(from), Some(to)) = (day("gte"), day("lte")) else {
        return invalid("select_filters.day needs gte and lte, in seconds since 1970");
    };
    let sources = filters.get("source").map(|conditions| Test::parse("source", conditions));
    let sources = match sources.transpose() {
        Ok(sources) => sources.unwrap_or_default(),
        Err(message) => return invalid(&message),
    };
    let after = call.query("after_token").filter(|token| !token.is_empty()).map(|token| {
        let text = STANDARD.decode(token).ok().and_then(|text| String::from_utf8(text).ok());
        text.and_then(|text| text.parse::<usize>().ok())
    });
    let start = match after {
        None => 0,
        Some(Some(index)) => index,
        Some(None) => return invalid("after_token is not one that was given out"),
    };
    let lag = SignedDuration::from_secs(i64::try_from(world.billing_lag).unwrap_or(i64::MAX));
    let to = to.min(later(world.now(), -lag));
    let wanted = world.instances().iter().skip(start).filter(|one| {
        one.order.account == call.account
            && sources.iter().all(|test| test.holds(Field::Text(&source(one))))
            && one.created < to
            && one.ended.is_none_or(|ended| ended >= from)
    });
    let found: Vec<&Instance> = wanted.take(limit + 1).collect();
    let token = found.get(limit).map(|next| STANDARD.encode(next.key.to_string()));
    let rows = found.iter().take(limit).map(|one| row(one, from, to)).collect::<Result<Vec<_>, _>>();
    match rows {
        Ok(rows) => Answer::ok(
            &Object::new()
                .with("success", true)
                .with("count", rows.len())
                .with("next_token", token)
                .with("results", rows),
        ),
        Err(_) => Vast.broken(),
    }
}

fn source(one: &Instance) -> String {
    format!("instance-{}", one.id)
}

fn instant(number: &Number) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(millionths(number)? / 1_000_000).ok()?).ok()
}

/// What the vendor calls a part of a bill, and the part.
type Kind = (&'static str, fn(&Bill) -> Amount);

fn row(one: &Instance, from: Timestamp, to: Timestamp) -> Result<Object, MoneyError> {
    let (before, by) = (one.meter.bill(from)?, one.meter.bill(to)?);
    // What went over the network has no time here: it is in the window in which the machine began.
    let is_first = from <= one.created;
    let kinds: [Kind; 4] = [
        ("gpu", |bill| bill.compute),
        ("disk", |bill| bill.disk),
        ("bwu", |bill| bill.upload),
        ("bwd", |bill| bill.download),
    ];
    let (mut items, mut sum) = (Vec::new(), Amount::ZERO);
    for (kind, of) in kinds {
        let amount = match kind {
            "bwu" | "bwd" if is_first => of(&by),
            _ => of(&by).minus(of(&before))?,
        };
        sum = sum.plus(amount)?;
        let item = Object::new().with("type", kind).with("source", None::<u8>);
        items.push(item.with("items", [0_u8; 0]).decimal("amount", amount));
    }
    let end = one.ended.map_or(to, |ended| ended.min(to));
    Ok(Object::new()
        .decimal("start", epoch(one.created))
        .decimal("end", epoch(end))
        .with("type", "instance")
        .with("source", source(one))
        .with("description", format!("Instance {} charges", one.id))
        .decimal("amount", sum)
        .with("metadata", json!({ "label": one.order.name }))
        .with("items", items))
}

/// `GET /api/v0/users/current/`
pub(super) fn account(world: &World, call: &Call) -> Answer {
    let paid_in = world.accounts.get(call.account).and_then(|account| account.balance);
    let Ok(spent) = world.spent(call.account) else { return Vast.broken() };
    // Without a balance the account has as much as it takes; it shows ten thousand.
    let paid_in =
        paid_in.unwrap_or_else(|| spent.plus(Amount::from_pico(10_000_000_000_000_000)).unwrap_or(spent));
    let left = paid_in.minus(spent).unwrap_or_default();
    let body = Object::new().with("id", call.account + 1).with("email", "tenant@example.org");
    Answer::ok(&body.decimal("balance", left).decimal("credit", left))
}
