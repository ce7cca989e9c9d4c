//! The life of a rented machine: never leak one, never rent two for one claim, account for every cent. No Kubernetes: the
//! caller keeps a [`Record`] a claim, anywhere that has compare-and-swap.
//!
//! # The contract with the caller
//! 1. [`Record::begin`] writes an intent into the record and gives a [`Permit`]. The caller persists the record, by
//!    compare-and-swap; where that fails it drops the permit. Only then it calls [`launch()`] with the permit, which makes
//!    the one call that rents. A permit lives in memory alone: whoever died with it did not rent, or left a doubt behind
//!    that [`step()`] settles. There is no other way to rent.
//! 2. [`step()`] looks, and makes at most one call that changes something at the vendor: a delete that stands in the
//!    record it was given, with its reason. It is called again whenever [`Advance::again`] says, with the newest record.
//! 3. After each call the caller persists [`Advance::record`] if [`Advance::changed`], before it calls again. If that fails
//!    it reads the record anew and goes on with that: each step may run any number of times on the same old record.
//! 4. [`collect()`] is called for each provider every few seconds. It ends what has no claim, and tells what a claim does not
//!    know it has; the caller gives that to [`Record::found`].
//!
//! A machine is closed only when its vendor said that it is gone *and* a complete list, asked for after the vendor's
//! answers have settled, lacks it.

pub mod blocks;
pub mod breaker;
pub mod collect;
pub mod decide;
mod ending;
pub mod ledger;
pub mod machine;
pub mod news;
pub mod orphans;
pub mod record;
pub mod step;
#[cfg(test)]
mod tests;
mod times;

pub use blocks::{Blocks, Target};
pub use breaker::{Breaker, Gate, Settings};
pub use collect::{NoPass, Pass, Stray, Strays, collect};
pub use decide::{Limits, Wish};
pub use ledger::{Line, Source};
pub use machine::Machine;
pub use news::{Advance, News};
pub use orphans::{Live, Verdict, Why, orphans};
pub use record::{Begin, Intent, Launch, Permit, Reason, Record};
pub use step::{launch, step};
pub use times::seconds;
