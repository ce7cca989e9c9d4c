//! What a cluster leaves on a machine: looked for after it is taken down.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::cgroups::Cgroup;
use crate::machine;
use crate::network;

/// Everything of a cluster that is still there; empty when nothing is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    found: Vec<String>,
}

impl Leftovers {
    /// Looks for processes, mounts, interfaces, namespaces, routes and cgroups of the cluster whose state
    /// folder is `dir`, and for the folder itself.
    #[must_use]
    pub fn find(dir: &Path) -> Self {
        let mut found = Vec::new();
        let mut add = |what: &str, which: &dyn fmt::Display| found.push(format!("{what} {which}"));
        for pid in processes(dir) {
            add("process", &format_args!("{pid} ({})", name_of(pid)));
        }
        for point in mounts(dir, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()) {
            add("mount", &point);
        }
        if network::namespace_exists() {
            add("network namespace", &network::NAMESPACE);
        }
        for network in machine::networks() {
            add("network namespace", &network);
        }
        if network::interface_exists() {
            add("interface", &network::HOST_INTERFACE);
        }
        // The routes go with the interface, and iptables rules are made in the namespace alone.
        for group in Cgroup::cluster().folders() {
            add("cgroup", &group.display());
        }
        if dir.exists() {
            add("folder", &dir.display());
        }
        Self { found }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.found.join(", "))
    }
}

/// The processes of the cluster: those of its programs in its namespace, those in its cgroup, and those
/// whose arguments name a file of its folder. Not a shell that someone opened in there.
#[must_use]
pub fn processes(dir: &Path) -> Vec<i32> {
    let mut pids = Cgroup::cluster().inhabitants();
    pids.extend(network::inhabitants().into_iter().filter(|&pid| is_of_the_cluster(pid, dir)));
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn is_of_the_cluster(pid: i32, dir: &Path) -> bool {
    let bin = crate::paths::cache().join("bin");
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mentions = || arguments.split(|byte| *byte == 0).any(|argument| mentions(argument, dir));
    program.starts_with(bin) || name.starts_with("containerd") || name.starts_with("runc") || mentions()
}

fn mentions(argument: &[u8], dir: &Path) -> bool {
    let argument = String::from_utf8_lossy(argument);
    let path = argument.split_once('=').map_or(argument.as_ref(), |(_, value)| value);
    Path::new(path).starts_with(dir)
}

fn name_of(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Mount points below `dir`, the deepest first.
fn mounts(dir: &Path, mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let mut ours: Vec<String> =
        points.filter(|point| Path::new(point).starts_with(dir)).map(str::to_owned).collect();
    ours.sort_unstable();
    ours.reverse();
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_still_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Leftovers::find(dir.path()).to_string().contains(&dir.path().display().to_string()));
    }

    #[test]
    fn only_mounts_below_the_folder_count() {
        let table = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /s/x rw - tmpfs b rw\n3 2 0:3 / /s/x/y rw - tmpfs c rw\n4 1 0:4 / /sx rw - tmpfs d rw";
        assert_eq!(mounts(Path::new("/s"), table), ["/s/x/y", "/s/x"]);
    }

    #[test]
    fn an_argument_names_the_folder_as_a_path_or_as_a_flag() {
        let dir = Path::new("/state/cluster");
        assert!(mentions(b"--config=/state/cluster/node/kubelet.json", dir));
        assert!(mentions(b"/state/cluster/Corefile", dir));
        assert!(!mentions(b"/state/cluster2/Corefile", dir));
    }
}
