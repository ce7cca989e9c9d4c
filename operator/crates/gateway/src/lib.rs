//! The gateway of a Collective: the OpenAI API in front of its Deployments, with keys, limits, prepaid budgets, and
//! metering into a write-ahead log.
//!
//! A request is checked ([`request`]), promised money ([`budget`]) and tokens a minute ([`limits`]), sent on
//! ([`upstream`]), counted ([`meter`]) and written down ([`wal`]) before the caller gets the last byte ([`call`]).
//! What it decides by is one [`snapshot`], made from the cluster by [`config`] alone.
//!
//! What a caller pays:
//! - an answer in full: its prompt and generated tokens, as the server counts them, never more than was reserved;
//! - a stream that the caller leaves: the prompt and the tokens it was sent;
//! - an answer in one piece that the caller leaves before it comes: nothing, as nothing was sent; the work is stopped;
//! - a call that the server or the gateway fails, even in the middle: nothing.

pub mod admin;
pub mod args;
pub mod budget;
pub mod call;
pub mod config;
pub mod error;
mod headers;
pub mod limits;
pub mod live;
pub mod meter;
pub mod metrics;
pub mod request;
pub mod run;
pub mod server;
pub mod snapshot;
mod stream;
#[cfg(test)]
mod tests;
mod ticket;
pub mod upstream;
pub mod wal;
