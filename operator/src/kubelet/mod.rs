//! Where kube-apiserver asks for the logs of pods on virtual nodes: `GET /containerLogs/<namespace>/<pod>/<container>`, as
//! `kubectl logs` has it of every kubelet. Whoever does not show kube-apiserver's certificate does not get as far as HTTP.

mod logs;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::rent::Rent;

use tls::{Client, Door};

/// Answers until told to stop.
///
/// # Errors
/// When the certificate authority cannot be read, or the port is taken.
pub async fn serve(
    args: &Args,
    rent: Arc<Rent>,
    stop: CancellationToken,
) -> Result<JoinHandle<std::io::Result<()>>> {
    let path = &args.kubelet_client_authority;
    let what = || format!("--kubelet-client-authority {}", path.display());
    let authority = std::fs::read(path).with_context(what)?;
    let client = Client { authority, name: args.kubelet_client_name.clone() };
    let address = args.kubelet_listen;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let door = Door::open(listener, &client).with_context(what)?;
    let router = logs::router(rent);
    Ok(tokio::spawn(async move {
        axum::serve(door, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
    }))
}
