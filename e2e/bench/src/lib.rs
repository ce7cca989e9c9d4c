//! What Cooperator costs beside others that do the same, measured in one run on one machine, the sides taking turns.
//!
//! [`operator`] is the operator beside a controller-runtime twin (`twin/`), on a real kube-apiserver; [`gateway`] the
//! gateway beside nginx and LiteLLM before one mock model; [`settle`] the settling of a period's usage; [`failover`] how
//! long nobody reconciles after the leader went; [`first_step`] how long a FineTune waits for its first step. Each makes
//! a [`figures::Section`], which [`results`] writes into `RESULTS.md`. Nothing here asserts a time: these are measured.

pub mod failover;
pub mod figures;
pub mod first_step;
pub mod gateway;
pub mod home;
pub mod load;
pub mod machine;
pub mod mock;
pub mod operator;
pub mod results;
pub mod rivals;
pub mod settle;
