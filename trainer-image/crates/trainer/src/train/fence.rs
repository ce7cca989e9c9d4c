//! A later attempt fences out an earlier one: who has been overtaken writes nothing more.

use cooperator_contract::layout;
use cooperator_contract::outcome::FailureReason;

use crate::failure::Failure;
use crate::run::Context;

/// A checkpoint's place, read from its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub step: u64,
    pub attempt: u32,
    pub key: String,
}

/// Every checkpoint of this FineTune by step, then attempt; foreign keys are left out.
pub(super) async fn places(context: &Context) -> Result<Vec<Place>, Failure> {
    let uid = &context.run.uid;
    let objects = context.store.list(&layout::checkpoints(uid)).await?;
    let mut places: Vec<Place> = objects.into_iter().filter_map(|object| place(uid, object.key)).collect();
    places.sort();
    Ok(places)
}

fn place(uid: &str, key: String) -> Option<Place> {
    let (attempt, step) = layout::checkpoint_place(uid, &key)?;
    Some(Place { step, attempt, key })
}

/// As [`places`], but refuses to go on when a later attempt has written: this one is to write and remove no more.
pub(super) async fn check(context: &Context) -> Result<Vec<Place>, Failure> {
    let own = context.run.attempt;
    let places = places(context).await?;
    let newest = places.iter().map(|place| place.attempt).max().unwrap_or(0);
    if newest <= own {
        return Ok(places);
    }
    let message = format!(
        "attempt {own} was overtaken: attempt {newest} has written checkpoints, so this one publishes nothing"
    );
    Err(Failure::new(FailureReason::Fenced, message))
}
