//! `ApiKey`: a key that is minted once, put into a Secret, and known by its hash.

mod build;
mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
