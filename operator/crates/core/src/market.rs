//! The market for machines: what is for rent, on which terms, and which of it a job should take.

pub mod offer;
pub mod terms;

pub use offer::{CapacityType, Gpus, HostId, Offer, OfferId, Shape};
pub use terms::{Granularity, Terms, Traffic};
