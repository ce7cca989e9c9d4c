//! The network of a machine: a namespace, and a cable from it to the cluster's node, which routes.

use std::fs;
use std::net::Ipv4Addr;

use crate::command;
use crate::network::{self, HOST_INTERFACE, NODE_ADDRESS, ip};

/// Machines that can be connected at a time.
pub const MOST: u16 = 4096;
/// The addresses of the cables, four each.
const SUBNET: &str = "10.245.0.0/16";
/// What the namespaces are called, before their number.
const PREFIX: &str = "coop-machine-";

/// A cable that could not be laid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No number is left.
    #[error("{MOST} machines are there; stop one first")]
    All,
    /// `ip` refused.
    #[error(transparent)]
    Command(#[from] command::Error),
}

/// The name of a machine's network namespace.
pub fn network(number: u16) -> String {
    format!("{PREFIX}{number}")
}

/// The network namespaces of machines that are there.
#[must_use]
pub fn networks() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_ours =
        |name: &String| name.strip_prefix(PREFIX).is_some_and(|number| number.parse::<u16>().is_ok());
    let mut ours: Vec<String> = names.filter(is_ours).collect();
    ours.sort_unstable();
    ours
}

/// The machine's end of its cable.
pub fn address(number: u16) -> Ipv4Addr {
    end(number, 2)
}

/// The second address of a cable's four is the machine's, the first the node's.
fn end(number: u16, which: u16) -> Ipv4Addr {
    let [high, low] = (number % MOST * 4 + which).to_be_bytes();
    Ipv4Addr::new(10, 245, high, low)
}

/// Makes the namespace and lays the cable.
pub fn lay(number: u16) -> Result<(), Error> {
    let (name, node_end) = (network(number), node_end(number));
    ip(&["netns", "add", &name])?;
    let (node, machine) = (end(number, 1).to_string(), end(number, 2).to_string());
    let on_node = |arguments: &[&str]| ip(&[&["-n", network::NAMESPACE], arguments].concat());
    let on_machine = |arguments: &[&str]| ip(&[&["-n", &name], arguments].concat());
    on_node(&["link", "add", &node_end, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
    on_node(&["addr", "add", &format!("{node}/30"), "dev", &node_end])?;
    on_node(&["link", "set", &node_end, "up"])?;
    on_machine(&["link", "set", "lo", "up"])?;
    on_machine(&["addr", "add", &format!("{machine}/30"), "dev", "eth0"])?;
    on_machine(&["link", "set", "eth0", "up"])?;
    on_machine(&["route", "add", "default", "via", &node])?;
    // So that the host answers what machines fetch from it; goes with the interface.
    ip(&["route", "replace", SUBNET, "via", NODE_ADDRESS, "dev", HOST_INTERFACE])?;
    Ok(())
}

/// From now on nobody opens a connection to the machine; its own are answered.
pub fn close(number: u16) -> Result<(), Error> {
    let mut iptables = command::command("nsenter", [format!("--net=/run/netns/{}", network(number))]);
    iptables.args(["--", "iptables", "--wait", "--append", "INPUT", "--in-interface", "eth0"]);
    iptables.args(["--match", "conntrack", "--ctstate", "NEW", "--jump", "DROP"]);
    command::output("iptables", &mut iptables)?;
    Ok(())
}

/// Removes a namespace and its cable. None there is no error.
pub fn remove(network: &str) -> Result<(), Error> {
    // The kernel removes the cable of a namespace that goes, but later: the next machine's would have its name.
    let cable = node_end(network.trim_start_matches(PREFIX));
    let links =
        ip(&["-n", network::NAMESPACE, "-oneline", "link", "show", "type", "veth"]).unwrap_or_default();
    if links.contains(&format!(" {cable}@")) {
        ip(&["-n", network::NAMESPACE, "link", "delete", &cable])?;
    }
    if networks().iter().any(|name| name == network) {
        ip(&["netns", "delete", network])?;
    }
    Ok(())
}

/// The name of the node's end of a cable.
fn node_end(number: impl std::fmt::Display) -> String {
    format!("coop-m{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cables_have_four_addresses_each() {
        assert_eq!(address(0), Ipv4Addr::new(10, 245, 0, 2));
        assert_eq!(end(64, 1), Ipv4Addr::new(10, 245, 1, 1));
        assert_eq!(address(MOST - 1), Ipv4Addr::new(10, 245, 63, 254));
    }
}
