//! `kubectl-coop`: found by `kubectl` on the PATH as `kubectl coop`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use cooperator_cli::args::{Args, Command};
use cooperator_cli::{access::Access, complete, costs, key, progress, pull, statement, status, why};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    let access = || Access::connect(&args.access);
    match args.command {
        Command::Status(options) => status::status(&access().await?, &options).await?,
        Command::Progress(options) => return progress::progress(&access().await?, &options).await,
        Command::Statement(options) => return statement::statement(&access().await?, &options).await,
        Command::Costs(options) => costs::costs(&access().await?, &options).await?,
        Command::Why(options) => why::why(&access().await?, &options).await?,
        Command::Pull(options) => pull::pull(&access().await?, &options).await?,
        Command::Key(options) => key::key(&access().await?, &options).await?,
        Command::Completion(options) => complete::script(options.shell)?,
        Command::Complete(options) => complete::offer(&args.access, &options.words).await?,
    }
    Ok(ExitCode::SUCCESS)
}
