//! `Dataset`: the Contributions a selector finds, each asked for consent, built into immutable versions.
//!
//! A build is keyed by the digest of its inputs. The newest good version stays until a newer one is good: a build that
//! fails takes nothing away.

mod build;
mod dereference;
mod reconcile;
mod status;
mod validate;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
