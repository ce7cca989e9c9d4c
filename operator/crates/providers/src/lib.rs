//! Vendors of rented machines, behind one trait. No Kubernetes: what a machine is rented for is its tenant's business.

mod decimal;
pub mod driver;
pub mod error;
mod gpu;
pub mod hetzner;
mod http;
pub mod lambda;
pub mod metered;
pub mod name;
pub mod own;
pub mod runpod;
pub mod ssh;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vast;
pub mod vendor;
pub mod verb;

pub use driver::{
    Charge, Container, Deleted, Driver, Instance, InstanceId, Order, PATIENCE, Payload, Query, State,
};
pub use error::Error;
pub use http::Key;
pub use metered::{Metered, Metrics};
pub use name::{InstanceName, Tenant};
pub use own::OwnMachine;
pub use ssh::{Ssh, SshMachine};
pub use vendor::{UnknownVendor, Vendor, connect};
pub use verb::Verb;
