//! `Contribution`: a member's consent. The operator makes nothing of it; it only says whether the Collective's policy
//! accepts it.

mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
