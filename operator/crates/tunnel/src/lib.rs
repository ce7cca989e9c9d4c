//! The way to a rented machine that nothing can dial. The machine opens one TLS connection to the operator; through it come
//! the connections that others want to its kubelet: logs, exec, port-forward, metrics. No port of the machine is open.
//!
//! # How
//! The connection carries HTTP/2 with the roles turned round: the machine dials and is the HTTP/2 *server*, the operator is
//! dialled and is the *client*, for it is the one that opens streams (as Cloudflare's `cloudflared` does). Each stream is one
//! `CONNECT`, then bytes both ways: HTTP/2 gives what a tunnel needs: a window for each stream, so that a slow reader holds
//! up itself alone; halves that end by themselves; pings; a greatest number of streams.
//!
//! The bytes are the kubelet's own TLS, from end to end: the operator carries them and reads none. At the machine they go to
//! one address, fixed when [`Client`] was made: whoever holds the operator's end reaches the kubelet and nothing else there.
//!
//! # Who may
//! The machine shows its kubelet's client certificate, signed by the cluster for `system:node:<name>`; the operator takes it
//! only if a live claim has a node of that name ([`Server::allow`]), and no longer than the certificate is good for. The
//! machine takes the operator only by the authority that its user-data gave it. A machine that connects again replaces its
//! connection before: what is left of that one is dead, or soon will be.
//!
//! # How the API server comes to dial the operator
//! It dials `Node.status.addresses` at `Node.status.daemonEndpoints.kubeletEndpoint.Port`. The port is the kubelet's own word
//! (`port` in its configuration): each machine's kubelet listens on a port that no other has, and the operator on the same one for
//! it. The addresses are the operator's to set, and stay as it sets them if the kubelet runs with
//! `--cloud-provider=external`: then `NodeAddress` (pkg/kubelet/nodestatus/setters.go, 1.34) leaves addresses alone that are
//! there, and with `--node-ip=0.0.0.0` puts the machine's own only while there are none. Such a kubelet registers with the
//! taint `node.cloudprovider.kubernetes.io/uninitialized`, which goes once the addresses are set.
//!
//! # Limits
//! [`Limits`]: streams of a machine at a time, bytes in flight of each, how long one may be silent. What is beyond is
//! refused, and nothing waits in line.

mod client;
mod limits;
mod pulse;
mod relay;
mod server;
mod socket;
pub mod tls;

pub use client::{BACKOFF, Client, Error as ClientError, Identity};
pub use limits::Limits;
pub use server::{Error as ServerError, Server};
