//! `FineTune`: gates, then attempts, then an evaluated adapter.
//!
//! Nothing is spent before every gate has passed, and the dataset version and base model that passed are pinned in
//! status with the first attempt, before its Job is made. An attempt goes on from the newest checkpoint.

mod books;
mod build;
mod claim;
mod cleanup;
mod cost;
mod delete;
mod dereference;
mod gates;
mod machine;
mod machines;
mod reconcile;
mod status;

#[cfg(test)]
mod tests;

pub use reconcile::reconcile;
