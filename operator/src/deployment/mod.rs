//! `Deployment`: server pods for an adapter, and the route to them.

mod build;
mod dereference;
mod earned;
mod reconcile;
mod status;
mod validate;

#[cfg(test)]
mod tests;

pub use build::PORT as SERVER_PORT;
pub use reconcile::reconcile;
