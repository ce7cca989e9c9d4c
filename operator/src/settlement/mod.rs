//! `Settlement`: one closed period, made by the operator and never changed. `periods` closes the periods of a
//! Collective, one after the other; the reconciler here verifies what it made and says what is paid.

mod build;
pub mod periods;
mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
