//! The settlement of a period as a run of its own: reads the usage log from object storage, computes the split and
//! writes the statement. The operator never touches the log.
//!
//! [`usage`] streams the log and counts it, [`statement`] is the pure step from counts to a statement, [`sheet`]
//! writes it as CSV, [`run`] puts them together. [`objects`] is what of object storage they need.

pub mod objects;
pub mod run;
pub mod sheet;
pub mod statement;
pub mod tally;
pub mod usage;

#[cfg(any(test, feature = "testing"))]
pub mod fixture;
