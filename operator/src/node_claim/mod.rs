//! `NodeClaim`: one rented machine.
//!
//! What is rented is written into status before it is asked for, looked up when an answer is lost, and ended before the
//! finalizer goes: `cooperator_rental` decides that and this folder persists it. What is known of the machine inside the
//! cluster, its node, is decided here.

mod books;
mod bounds;
mod cleanup;
mod container;
mod dereference;
mod follow;
mod join;
mod limits;
mod machine;
mod needs;
mod node;
mod offers;
mod place;
mod purse;
mod reach;
mod reconcile;
mod record;
mod requests;
mod status;
mod unfit;
mod wish;

#[cfg(test)]
mod tests;

pub use container::{JOB, ended, has_node as has_virtual_node, write_status};
pub use reconcile::reconcile;
pub use record::{launches, record};
pub use requests::answer;
