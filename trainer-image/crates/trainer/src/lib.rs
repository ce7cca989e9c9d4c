//! The three runs of the trainer image that end by themselves: [`import`] a base model, ingest a dataset
//! (`cooperator-data`), [`train`] an adapter.
//!
//! [`run`] is the frame around each of them: it reads the run file, continues the trace, reports progress, turns
//! SIGTERM into a chance to finish, and writes the outcome. What a run does knows nothing of that frame but
//! [`run::Context`].

pub mod failure;
pub mod import;
pub mod run;
pub mod train;
