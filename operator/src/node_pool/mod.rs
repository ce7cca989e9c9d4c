//! `NodePool`: what may be rented, and what was learnt of machines. It rents nothing by itself.

mod bills;
mod learn;
mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use bills::period;
pub use reconcile::reconcile;
