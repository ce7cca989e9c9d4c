//! `NodePool`: what may be rented, and what was learnt of machines. It rents nothing by itself.

mod learn;
mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
