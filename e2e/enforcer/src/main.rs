//! `cooperator-enforcer`: enforces NetworkPolicies; called by containerd, the plugin that tells it of a new pod.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use cooperator_enforcer::{cni, follow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Enforces the NetworkPolicies of a cluster of one node, in the network namespace it is started in.
#[derive(Parser)]
struct Args {
    /// Kubeconfig of a user who may watch Pods, Namespaces and NetworkPolicies
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Socket at which the plugin tells of new pods; it is there once the first rules are
    #[arg(long)]
    socket: PathBuf,
}

fn main() -> ExitCode {
    if let Some(command) = std::env::var_os("CNI_COMMAND") {
        return cni::plugin(&command.to_string_lossy());
    }
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: &Args) -> Result<()> {
    // A second install is an error that says it is installed: that is what we want.
    drop(rustls::crypto::ring::default_provider().install_default());
    let kubeconfig = Kubeconfig::read_from(&args.kubeconfig)
        .with_context(|| format!("cannot read kubeconfig {}", args.kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    match follow::follow(&Client::try_from(config)?, &args.socket).await? {}
}
