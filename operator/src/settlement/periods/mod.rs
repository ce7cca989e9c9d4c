//! Closes the periods of a Collective, one after the other: what is due is a pure decision; a settle Job computes; its
//! statement becomes a Settlement.

mod due;
mod expense;
mod reconcile;
mod task;

#[cfg(test)]
mod tests;

pub use due::length;
pub use expense::Costs;
pub use reconcile::reconcile;
