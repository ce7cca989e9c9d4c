//! What every controller of ours needs besides its own steps.
//!
//! - [`apply()`]: server-side apply of what a `build` step wants, silent when it is so already.
//! - [`answer`]: what a refusal of the API server means.
//! - [`run`]: a controller with bounded concurrency, a backoff for each object, metrics, a span for each reconcile,
//!   and a heartbeat.
//! - [`leader`]: a Lease by which one replica works at a time, and its work stops when it is lost.
//! - [`watch`]: how watches are made, and how long they pause when they break off.
//! - [`health`]: `/healthz` that notices a controller that no longer polls its watches, `/readyz`, `/metrics`.
//!
//! A reconcile returns `Ok(Action)` for all that it understood, an invalid object included (a condition says so, and it
//! waits for a change), and `Err` for what may pass by itself: then it is called again after a tenth of a
//! second, twice that and so on to 5 min, until it succeeds.

pub mod answer;
pub mod apply;
pub mod health;
pub mod leader;
pub mod run;
#[cfg(test)]
mod testing;
pub mod watch;

pub use apply::{ApplyError, apply, delete};
pub use health::Health;
pub use run::Runner;
pub use watch::{PAGE, Pauses, watch_config};
