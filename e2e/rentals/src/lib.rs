//! Thousands of rentals at the local cloud, in worlds that a seed decides: what the vendors do wrong, when the operator dies,
//! and what becomes of each claim. At the end of each world it is held against the truth: no machine is left, none was
//! doubled unnoticed, a machine that lost its claim died soon, and what was written down is what was billed.
//!
//! The drivers are the real ones and speak HTTP; the clock is virtual; an object in memory with compare-and-swap stands for
//! Kubernetes. Nothing else is simulated: `cooperator-rental` does the work.

pub mod audit;
pub mod operator;
pub mod plan;
pub mod store;
pub mod world;

pub use audit::{Audit, Fault};
pub use world::{Told, tell};
