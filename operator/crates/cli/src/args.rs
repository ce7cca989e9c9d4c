//! The command line.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::access::Options as AccessOptions;
use crate::{costs, key, progress, pull, statement, status, why};

/// Shows a collective, its work and its money
#[derive(Parser)]
#[command(name = "kubectl-coop", bin_name = "kubectl coop", version)]
pub struct Args {
    /// Which cluster and namespace.
    #[command(flatten)]
    pub access: AccessOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// The tree of what belongs to a Collective: conditions, progress, how long yet
    Status(status::Options),
    /// A FineTune's bar until it ends: step, loss, tokens a second, cost, how long yet
    Progress(progress::Options),
    /// Who is paid what for a period; --verify recomputes it from the usage log
    Statement(statement::Options),
    /// What machines were rented, and what each of them cost; --focus as FOCUS has it
    Costs(costs::Options),
    /// What an object waits for, and what to do
    Why(why::Options),
    /// Fetch a FineTune's adapter as files in PEFT layout, every byte checked
    Pull(pull::Options),
    /// Make a key, or end one
    #[command(subcommand)]
    Key(key::Action),
    /// Print a completion script for a shell
    Completion(Completion),
    /// What kubectl asks for when it completes `kubectl coop ...`
    #[command(name = "__complete", hide = true)]
    Complete(Complete),
}

/// Options of `completion`.
#[derive(clap::Args)]
pub struct Completion {
    /// The shell
    pub shell: Shell,
}

/// Options of `__complete`.
#[derive(clap::Args)]
pub struct Complete {
    /// The words so far, the last of them begun
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}
