//! What machines cost that had no claim: it is put into the books of the Collective whose account it was, as what deleted
//! FineTunes cost is.

use cooperator_api::collective::{Collective, Departed};
use cooperator_api::provider::Provider;
use cooperator_core::digest::Digest;
use cooperator_core::money::Amount;
use cooperator_core::time::{Timestamp, whole_second};
use cooperator_rental::{Stray, Strays};
use kube::ResourceExt as _;

use crate::pipeline::{Error, Pipeline};
use crate::rent;

/// What the uid of such a line begins with.
pub const STRAY: &str = "stray/";

/// Pure: the lines that are to be in the books besides, and the strays with what was booked for each. A line is known by
/// its uid, so that whoever died between the two does it again.
fn lines(
    provider: &Provider,
    home: &Collective,
    mut strays: Strays,
    now: Timestamp,
) -> (Vec<Departed>, Strays) {
    let Ok(rate) = rent::exchange(provider, home) else { return (Vec::new(), strays) };
    let granularity = strays.granularity;
    let mut lines = Vec::new();
    for stray in strays.machines.iter_mut().filter(|stray| stray.machine.accounted_at.is_some()) {
        let Ok(cost) = stray.cost(granularity, now).and_then(|cost| rate.amount(cost)) else { continue };
        // One that was said to be gone and lived on costs more in the end.
        let booked = stray.booked.unwrap_or(Amount::ZERO);
        match cost.minus(booked) {
            Ok(due) if due > Amount::ZERO => lines.push(line(provider, stray, booked, due, now)),
            _ if stray.booked.is_some() => continue,
            _ => {}
        }
        stray.booked = Some(cost);
    }
    (lines, strays)
}

/// A line for what is due besides what is booked, under a name that a settlement takes.
fn line(provider: &Provider, stray: &Stray, booked: Amount, due: Amount, now: Timestamp) -> Departed {
    let machine = &stray.machine;
    let ended = machine.ended_at.or(machine.confirmed_at).unwrap_or(now);
    let uid = format!("{STRAY}{}/{}/{booked}", provider.uid().unwrap_or_default(), machine.instance);
    // A settlement tells its lines apart by their names, and two machines of one lost claim have one name at the vendor.
    let own = Digest::of(uid.as_bytes()).hex().chars().take(8).collect::<String>();
    Departed {
        fine_tune: format!("{}-{own}", stray.name),
        uid,
        cost: due.to_string(),
        ended_at: whole_second(ended).to_string(),
    }
}

/// Client: puts what strays cost in the end into the books, before their Provider says that it is there.
///
/// # Errors
/// [`Error::Write`], also where the Collective has changed since it was read: calling again is safe.
pub async fn book(
    pipeline: &Pipeline,
    provider: &Provider,
    home: &Collective,
    strays: Strays,
    now: Timestamp,
) -> Result<Strays, Error> {
    let (lines, strays) = lines(provider, home, strays, now);
    let mut all = home.status.clone().unwrap_or_default().departed;
    let known = all.len();
    for line in lines {
        if !all.iter().any(|there| there.uid == line.uid) {
            all.push(line);
        }
    }
    if all.len() > known {
        pipeline.set_departed(home, &all).await?;
    }
    Ok(strays)
}
