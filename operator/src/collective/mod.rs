//! `Collective`: its object storage, its gateway, and the network around its pods.

mod apply;
mod build;
mod network;
mod reconcile;
mod status;
mod storage;

pub use reconcile::reconcile;
