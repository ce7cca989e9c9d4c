//! The network namespace the cluster lives in, and the one cable to it.
//!
//! Everything that Kubernetes does to a network (cables, rules, addresses) happens inside the
//! namespace and ends with it. The host has one interface of ours and the routes through it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::command::{self, command};

/// The namespace's name.
pub const NAMESPACE: &str = "coop-cluster";
/// The host's end of the cable.
pub const HOST_INTERFACE: &str = "coop-host";
/// The node's address; the API server listens on it too.
pub const NODE_ADDRESS: &str = "192.168.77.1";
/// The host's address on the cable; machines beside the cluster reach it too.
pub const HOST_ADDRESS: &str = "192.168.77.254";
/// The subnet of the cable.
const CABLE_SUBNET: &str = "192.168.77.0/24";
/// The pods' addresses.
pub const POD_SUBNET: &str = "10.244.0.0/16";
/// The Services' addresses.
pub const SERVICE_SUBNET: &str = "10.96.0.0/16";

/// A network that could not be laid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another network of this machine has the addresses.
    #[error("this machine already routes {subnet} ({route}); the local cluster needs it: remove that route")]
    Taken {
        /// The subnet we need.
        subnet: &'static str,
        /// The route that is there.
        route: String,
    },
    /// `ip` refused.
    #[error(transparent)]
    Command(#[from] command::Error),
}

/// Lays the namespace, the cable, and the host's routes to pods and Services through it.
///
/// # Errors
/// When the addresses are taken or `ip` refuses.
pub fn up() -> Result<(), Error> {
    for subnet in [CABLE_SUBNET, POD_SUBNET, SERVICE_SUBNET] {
        let route =
            command::output("ip route", &mut command("ip", ["-4", "route", "show", "exact", subnet]))?;
        if !route.trim().is_empty() {
            return Err(Error::Taken { subnet, route: route.trim().to_owned() });
        }
    }
    ip(&["netns", "add", NAMESPACE])?;
    ip(&["link", "add", HOST_INTERFACE, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE])?;
    ip(&["addr", "add", &format!("{HOST_ADDRESS}/24"), "dev", HOST_INTERFACE])?;
    ip(&["link", "set", HOST_INTERFACE, "up"])?;
    for arguments in [
        vec!["link", "set", "lo", "up"],
        vec!["addr", "add", "192.168.77.1/24", "dev", "eth0"],
        vec!["link", "set", "eth0", "up"],
        vec!["route", "add", "default", "via", HOST_ADDRESS],
        // Each pod has a route of its own; what is nobody's does not go out and come back.
        vec!["route", "add", "unreachable", POD_SUBNET],
    ] {
        ip(&[&["-n", NAMESPACE], arguments.as_slice()].concat())?;
    }
    for subnet in [POD_SUBNET, SERVICE_SUBNET] {
        ip(&["route", "add", subnet, "via", NODE_ADDRESS, "dev", HOST_INTERFACE])?;
    }
    // A pod is told of each connection that its policies refuse, not of one a second.
    for setting in ["net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0"] {
        command::output(setting, inside("sysctl").args(["-qw", setting]))?;
    }
    // What is sent to a Service before kube-proxy knows it is refused at once. Else it would leave by the
    // default route, and conntrack would send every retry of that connection the same way.
    let mut refuse = inside("iptables");
    command::output("iptables", refuse.args(["-A", "FORWARD", "-d", SERVICE_SUBNET, "-j", "REJECT"]))?;
    Ok(())
}

/// A command that runs in the namespace. (`ip netns exec` would hide `/sys/fs/cgroup`.)
#[must_use]
pub fn inside(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut nsenter = command("nsenter", [format!("--net=/run/netns/{NAMESPACE}")]);
    nsenter.arg("--").arg(program);
    nsenter
}

/// Removes cable and namespace, with the routes, rules and cables in it. None there is no error.
///
/// # Errors
/// When `ip` refuses to remove what is there.
pub fn down() -> Result<(), Error> {
    if interface_exists() {
        ip(&["link", "delete", HOST_INTERFACE])?;
    }
    if namespace_exists() {
        ip(&["netns", "delete", NAMESPACE])?;
    }
    // `ip netns add` makes this folder a mount of its own; with the last namespace it has served.
    let folder = Path::new("/run/netns");
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
        drop(command::output("umount", &mut command("umount", [folder])));
        drop(fs::remove_dir(folder));
    }
    Ok(())
}

/// Whether the host's end of the cable is there.
#[must_use]
pub fn interface_exists() -> bool {
    Path::new("/sys/class/net").join(HOST_INTERFACE).exists()
}

/// Whether the namespace is there.
#[must_use]
pub fn namespace_exists() -> bool {
    Path::new("/run/netns").join(NAMESPACE).exists()
}

/// The processes that live in the namespace, by their ids.
#[must_use]
pub fn inhabitants() -> Vec<i32> {
    let Ok(ours) = fs::metadata(Path::new("/run/netns").join(NAMESPACE)).map(|meta| meta.ino()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|meta| meta.ino() == ours))
        .collect()
}

pub(crate) fn ip(arguments: &[&str]) -> Result<String, command::Error> {
    command::output(&format!("ip {}", arguments.join(" ")), &mut command("ip", arguments))
}
