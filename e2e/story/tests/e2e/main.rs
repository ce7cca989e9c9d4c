//! Cooperator as a user has it, on a cluster with the chart installed. `cargo xtask test` sets the cluster up and says
//! where it is in `COOPERATOR_E2E_KUBECONFIG`. Every test here needs it and so is ignored by plain `cargo test`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bad_input;
mod cluster;
mod deletion;
mod failures;
mod hosted;
mod isolation;
mod members;
mod network;
mod openai;
mod plugin;
mod presidents;
mod probes;
mod rented;
mod rights;
mod security;
mod senators;
mod tiny;
mod training;
mod uninstall;
