//! What is left of the story when harm is done in the middle of it: nothing that the operator does not finish.
//!
//! A [`stage`] is a real kube-apiserver and a real Garage ([`garage`]), without nodes; [`hands`] does what nodes and their
//! controllers do, running the real trainer and settle programs as processes. [`story`] is a collective's whole life on
//! it, small enough for a few seconds. The operator is the real program, started again when it dies, as a kubelet would.
//! Every [`call`] it makes passes a [`gate`], which kills it before or after the one that was chosen. Before the gates a
//! [`network`] may lie, a real Toxiproxy, that begins a [`fault`] at a chosen call. [`end`] is how the story ended, but
//! for what must differ; a [`telling`] compares that with a story in which nothing happened; [`sweep`] tells many, on
//! several stages side by side, and makes a [`table`] of them. [`kills`] does harm to a [`gateway`] that is
//! being used.

pub mod call;
pub mod end;
pub mod fault;
pub mod garage;
pub mod gate;
pub mod gateway;
pub mod hands;
pub mod kills;
pub mod network;
pub mod operator;
pub mod stage;
pub mod story;
pub mod sweep;
pub mod table;
pub mod telling;

use std::path::PathBuf;

/// The programs under test.
#[derive(Clone, Debug, clap::Args)]
pub struct Programs {
    /// `cooperator-operator`
    #[arg(long)]
    pub operator: PathBuf,
    /// `cooperator-trainer`
    #[arg(long)]
    pub trainer: PathBuf,
    /// `cooperator-settle`
    #[arg(long)]
    pub settle: PathBuf,
}
