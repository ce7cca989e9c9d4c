//! The cgroup that all pods live under: `/coop` in every hierarchy of version 1, or in the one of version 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::files;

/// Its name, below the root of each hierarchy.
pub const NAME: &str = "coop";

/// A cgroup that could not be made or removed.
pub type Error = files::Error;

/// The mount points of this machine's cgroup hierarchies.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchies {
    v1: Vec<PathBuf>,
    v2: Option<PathBuf>,
}

/// Makes the cgroup, so that the kubelet finds it.
///
/// # Errors
/// When the kernel refuses.
pub fn up() -> Result<(), Error> {
    let Hierarchies { v1, v2 } = hierarchies();
    for mount in &v1 {
        let group = mount.join(NAME);
        files::create_dir(&group)?;
        // A new cpuset has no cpu and no memory node, and takes no process before it has some.
        for limit in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read_to_string(mount.join(limit)) {
                files::write(&group.join(limit), all)?;
            }
        }
    }
    match v2 {
        // Beside version 1, version 2 has no controllers: the kubelet looks at version 1 alone.
        Some(mount) if v1.is_empty() => {
            let controllers = files::read(&mount.join("cgroup.controllers"))?;
            for controller in controllers.split_whitespace() {
                // Some cannot be passed on everywhere; the kubelet names those it needs and lacks.
                drop(fs::write(mount.join("cgroup.subtree_control"), format!("+{controller}")));
            }
            files::create_dir(&mount.join(NAME))
        }
        _ => Ok(()),
    }
}

/// Kills what lives in the cgroup and removes it, with all below. None there is no error.
///
/// # Errors
/// When a process does not die or the kernel keeps a cgroup.
pub fn down() -> Result<(), Error> {
    // A process that is being started while the list is read is found in the next round.
    for _ in 0..50 {
        let pids = inhabitants();
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(50));
    }
    for group in groups() {
        for folder in below(&group).into_iter().rev() {
            remove(&folder)?;
        }
    }
    Ok(())
}

/// The cgroups of ours that are there, one a hierarchy.
#[must_use]
pub fn groups() -> Vec<PathBuf> {
    let Hierarchies { v1, v2 } = hierarchies();
    v1.into_iter().chain(v2).map(|mount| mount.join(NAME)).filter(|group| group.is_dir()).collect()
}

/// The processes in it, by their ids.
#[must_use]
pub fn inhabitants() -> Vec<i32> {
    let mut pids: Vec<i32> = groups()
        .iter()
        .flat_map(|group| below(group))
        .filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
        // A process of another pid namespace shows as 0, which a signal would take for this group.
        .filter(|pid| *pid > 1)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// A folder and all below it, those above first.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    if let Ok(entries) = fs::read_dir(folder) {
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            all.extend(below(&entry.path()));
        }
    }
    all
}

/// The kernel lets go of a cgroup a moment after its last process: tried for a second.
fn remove(folder: &Path) -> Result<(), Error> {
    let mut result = fs::remove_dir(folder);
    for _ in 0..20 {
        if result.is_ok() || !folder.exists() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
        result = fs::remove_dir(folder);
    }
    result.map_err(files::at("remove cgroup", folder))
}

fn hierarchies() -> Hierarchies {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Reads proc(5) mountinfo: the mount point is the fifth field, the file system's type follows the dash.
fn parse(mountinfo: &str) -> Hierarchies {
    let mut found = Hierarchies { v1: Vec::new(), v2: None };
    for line in mountinfo.lines() {
        let Some((mount, system)) = line.split_once(" - ") else { continue };
        let Some(point) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
        match system.split(' ').next() {
            Some("cgroup") if !found.v1.contains(&point) => found.v1.push(point),
            Some("cgroup2") => found.v2 = Some(point),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
31 24 0:27 / /sys/fs/cgroup/memory rw,relatime shared:3 - cgroup cgroup rw,memory
32 24 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
33 24 0:29 / /dev/shm rw - tmpfs tmpfs rw
";

    #[test]
    fn version_1_hierarchies_are_found_beside_version_2() {
        let found = parse(HYBRID);
        assert_eq!(found.v1, [PathBuf::from("/sys/fs/cgroup/cpu"), PathBuf::from("/sys/fs/cgroup/memory")]);
        assert_eq!(found.v2, Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn a_machine_of_version_2_alone_has_no_version_1() {
        let found = parse("29 23 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate");
        assert_eq!(found, Hierarchies { v1: vec![], v2: Some(PathBuf::from("/sys/fs/cgroup")) });
    }
}
