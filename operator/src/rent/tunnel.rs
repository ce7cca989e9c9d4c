//! The way to machines that nothing can dial: each opens a connection to the operator that leads, and the API server dials
//! that one's pod, at the port of the machine's kubelet.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use cooperator_core::time::Clock;
use cooperator_tunnel::{Limits, Server, tls};
use k8s_openapi::api::core::v1::NodeAddress;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::args::Args;

/// The operator's end, and what machines are told of it.
pub struct Tunnel {
    server: Server,
    config: Arc<ServerConfig>,
    listen: SocketAddr,
    /// Where machines dial: `host:port`.
    address: String,
    /// The authority of the certificate that is shown there, PEM.
    authority: String,
    /// Where the API server dials: this pod.
    pod_ip: IpAddr,
    ports: Ports,
    /// Ports of the nodes that are led to.
    nodes: tokio::sync::Mutex<BTreeMap<String, u16>>,
    /// Ports that machines were given which are no nodes yet.
    given: Mutex<BTreeSet<u16>>,
}

/// The ports of machines' kubelets: `20000-20999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

impl std::str::FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed =
            text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
        let range: RangeInclusive<u16> = parsed.ok_or_else(|| format!("`{text}` is not FIRST-LAST"))?;
        if *range.start() < 1024 || range.is_empty() {
            return Err(format!(
                "`{text}`: the first has to be 1024 at least, the last no less than the first"
            ));
        }
        Ok(Self(range))
    }
}

impl Ports {
    /// One that is not taken, from `random` on. None: all are.
    fn free(&self, random: u16, taken: impl Fn(u16) -> bool) -> Option<u16> {
        let (first, last) = (*self.0.start(), *self.0.end());
        let from = first + random % (last - first).saturating_add(1);
        (from..=last).chain(first..from).find(|port| !taken(*port))
    }
}

impl Tunnel {
    /// As the flags name it; none: the API server dials machines.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it must be.
    pub fn read(args: &Args, clock: Arc<dyn Clock>) -> Result<Option<Self>> {
        let Some(address) = args.rented_tunnel.clone() else { return Ok(None) };
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("--rented-tunnel: {}", path.display()));
        let folder = &args.rented_tunnel_certificate;
        let (certificate, key) = (read(&folder.join("tls.crt"))?, read(&folder.join("tls.key"))?);
        let config = tls::server(&certificate, &key, &read(&args.rented_tunnel_clients)?)?;
        let authority =
            String::from_utf8(read(&folder.join("ca.crt"))?).context("--rented-tunnel: ca.crt")?;
        Ok(Some(Self {
            server: Server::new(Limits::default(), clock),
            config,
            listen: args.rented_tunnel_listen,
            address,
            authority,
            pod_ip: args.pod_ip.context("--rented-tunnel needs --pod-ip")?,
            ports: args.rented_tunnel_ports.clone(),
            nodes: tokio::sync::Mutex::default(),
            given: Mutex::default(),
        }))
    }

    /// Takes machines' connections, for as long as this replica leads.
    ///
    /// # Errors
    /// When nothing can listen there.
    pub async fn run(&self) -> io::Result<Infallible> {
        let listener = TcpListener::bind(self.listen).await?;
        Ok(self.server.run(listener, self.config.clone()).await)
    }

    /// What every machine is told: where to dial, and by whose authority that is.
    pub fn told(&self) -> (&str, &str) {
        (&self.address, &self.authority)
    }

    /// What a new machine is told, with a port that no other has. None: every port is taken.
    pub async fn of_machine(&self) -> Option<cooperator_join::Tunnel> {
        let nodes = self.nodes.lock().await;
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |port: u16| nodes.values().any(|taken| *taken == port);
        let port = self.ports.free(rand::random(), |port| known(port) || given.contains(&port));
        // All were given since this began: those that became no nodes, or are none any more, are free again.
        let port = port.or_else(|| {
            given.clear();
            self.ports.free(rand::random(), known)
        })?;
        given.insert(port);
        Some(cooperator_join::Tunnel {
            server: self.address.clone(),
            authority_pem: self.authority.clone(),
            port,
        })
    }

    /// Leads to a node at the port that its kubelet tells; none: no more. A port that another has, or none of ours, is not
    /// led to: a machine can lie.
    pub async fn lead(&self, node: &str, port: Option<u16>) {
        let mut nodes = self.nodes.lock().await;
        let wanted = port.filter(|port| {
            self.ports.0.contains(port) && nodes.iter().all(|(other, taken)| other == node || taken != port)
        });
        if nodes.get(node) == wanted.as_ref() {
            return;
        }
        match wanted {
            Some(port) => drop(nodes.insert(node.to_owned(), port)),
            None => drop(nodes.remove(node)),
        }
        let at = |port: u16| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let doors = nodes.iter().map(|(node, port)| (node.clone(), at(*port))).collect();
        for (node, error) in self.server.allow(&doors).await {
            tracing::warn!(node, "logs and exec do not reach a rented machine: {error}");
            nodes.remove(&node);
        }
    }

    /// Where the API server finds every such node, whichever kind of address it prefers.
    pub fn addresses(&self) -> Vec<NodeAddress> {
        ["InternalIP", "Hostname"]
            .map(|type_| NodeAddress { type_: type_.to_owned(), address: self.pod_ip.to_string() })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_a_range_of_unprivileged_ones() {
        for wrong in ["", "20000", "20000-", "443-20000", "20001-20000", "1024-65536"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
        assert_eq!("20000-20999".parse(), Ok(Ports(20_000..=20_999)));
    }

    #[test]
    fn a_port_is_given_that_no_other_has_until_there_is_none() {
        let ports = Ports(20_000..=20_002);
        assert_eq!(ports.free(4, |_| false), Some(20_001));
        assert_eq!(ports.free(4, |port| port == 20_001), Some(20_002));
        assert_eq!(ports.free(5, |port| port > 20_000), Some(20_000));
        assert_eq!(ports.free(7, |_| true), None);
        assert_eq!(
            Ports(1024..=u16::MAX).free(u16::MAX, |_| false),
            Some(1024 + (u16::MAX % (u16::MAX - 1023)))
        );
    }
}
