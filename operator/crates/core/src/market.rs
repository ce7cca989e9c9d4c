//! The market for machines: what is for rent, on which terms, and which of it a job should take.

pub mod exchange;
pub mod job;
pub mod offer;
pub mod placement;
pub mod requirement;
pub mod terms;
pub mod throughput;

pub use exchange::ExchangeRate;
pub use job::{Bounds, Job, Needs, Seller, Spot, Work};
pub use offer::{CapacityType, Gpus, HostId, Offer, OfferId, Shape};
pub use placement::{Choice, NoOffer, choose};
pub use requirement::{Requirement, Requirements};
pub use terms::{Granularity, Terms, Traffic};
pub use throughput::{MachineClass, Throughput};
