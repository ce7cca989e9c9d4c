//! `Provider`: an account with a vendor. What it offers is asked now and then; every machine of ours there must have a
//! claim, and one that has none is ended.

mod books;
mod note;
mod orphans;
mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use note::note;
pub use reconcile::reconcile;
