//! `kubectl coop`: what people ask about a Collective, answered from the objects in its namespace.
//!
//! [`access`] reaches the cluster as `kubectl` does; [`items`] reads all kinds of a namespace into one form; then each
//! command is a pure function of those, and a way to print it:
//!
//! - [`status`]: the tree of what belongs to a Collective;
//! - [`why`]: what an object waits for and what to do;
//! - [`progress`]: a FineTune's bar;
//! - [`statement`]: who is paid what, recomputed from the usage log on demand;
//! - [`costs`]: what machines were rented, also as FOCUS has it;
//! - [`pull`]: an adapter as files;
//! - [`key`]: makes and ends keys;
//! - [`complete`]: what a shell offers.
//!
//! [`storage`], [`secret`] and [`forward`] lead to a Collective's bucket from outside the cluster.

pub mod access;
pub mod args;
pub mod complete;
pub mod costs;
pub mod forward;
pub mod items;
pub mod key;
pub mod kind;
pub mod output;
pub mod progress;
pub mod pull;
pub mod secret;
pub mod statement;
pub mod status;
pub mod storage;
pub mod why;
