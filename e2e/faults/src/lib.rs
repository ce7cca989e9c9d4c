//! What is left of the story when the operator dies in the middle of it: nothing that another operator does not finish.
//!
//! A [`stage`] is a real kube-apiserver and a real Garage, without nodes; [`hands`] does what nodes and their
//! controllers do, running the real trainer and settle programs as processes. [`story`] is a collective's whole life on
//! it, small enough for a few seconds. The operator is the real program. Every call it makes passes a [`gate`], which
//! kills it before or after the one that was chosen; it is then started again, as a kubelet would. [`end`] is how the
//! story ended, but for what must differ; [`sweep`] compares that with a story in which nobody died. [`kills`] does the same to a gateway that is being used.

pub mod call;
pub mod end;
pub mod gate;
pub mod hands;
pub mod kills;
pub mod operator;
pub mod stage;
pub mod story;
pub mod sweep;

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
