//! `BaseModel`: a licence check against the Collective's policy, then one import into content-addressed storage.

mod build;
mod dereference;
mod reconcile;
mod status;
mod validate;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
