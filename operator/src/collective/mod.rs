//! `Collective`: its object storage, its gateway, and the network around its pods.

mod apply;
mod build;
mod network;
mod reconcile;
mod status;
mod storage;
#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
