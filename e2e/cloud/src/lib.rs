//! A local server that speaks the APIs of Vast.ai, RunPod (REST v2), Lambda Cloud and Hetzner Cloud, as their documentation
//! and their clients have them. It knows what really runs, keeps the true bill to the pico-unit, does harm by switch, and
//! lives by a clock that can be moved. Machines are simulated, or made of whatever a [`backend::Backend`] starts.
//!
//! It shares no code with the operator's drivers: each side reads the vendors' documentation for itself, so that one's
//! mistake is not the other's.

pub mod backend;
pub mod bill;
mod call;
mod cloud;
mod control;
pub mod fault;
mod hetzner;
mod lambda;
mod limit;
pub mod market;
mod runpod;
mod server;
#[cfg(test)]
mod testing;
mod vast;
mod vendor;
mod wire;
pub mod world;

pub use cloud::{Cloud, Options};
pub use server::Time;
pub use vendor::{NoVendor, Vendor, Verb};
