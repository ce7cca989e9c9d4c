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

/// A mounted hierarchy of cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub point: PathBuf,
    /// What mounts it again: `none` and its name, or its controllers; empty for version 2.
    pub options: String,
}

impl Hierarchy {
    /// Whether it is the one of version 2.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.options.is_empty()
    }
}

/// A cgroup of ours: the same folder in every hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Below the root of each hierarchy.
    folder: PathBuf,
}

impl Cgroup {
    /// That of the cluster: all pods of its node, and all machines.
    #[must_use]
    pub fn cluster() -> Self {
        Self { folder: NAME.into() }
    }

    /// That of one machine, below the cluster's.
    #[must_use]
    pub fn machine(name: &str) -> Self {
        Self { folder: Path::new(NAME).join(format!("machine-{name}")) }
    }

    /// Makes it, so that the kubelet finds it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn up(&self) -> Result<(), Error> {
        let hierarchies = hierarchies();
        let alone = hierarchies.iter().all(Hierarchy::is_v2);
        for Hierarchy { point, .. } in hierarchies.iter().filter(|hierarchy| alone || !hierarchy.is_v2()) {
            let group = point.join(&self.folder);
            let above = group.parent().unwrap_or(point);
            if alone {
                // Beside version 1, version 2 has no controllers: the kubelet looks at version 1 alone.
                for controller in files::read(&above.join("cgroup.controllers"))?.split_whitespace() {
                    // Some cannot be passed on everywhere; the kubelet names those it needs and lacks.
                    drop(fs::write(above.join("cgroup.subtree_control"), format!("+{controller}")));
                }
            }
            files::create_dir(&group)?;
            // A new cpuset has no cpu and no memory node, and takes no process before it has some.
            for limit in ["cpuset.cpus", "cpuset.mems"] {
                if let (false, Ok(all)) = (alone, fs::read_to_string(above.join(limit))) {
                    files::write(&group.join(limit), all)?;
                }
            }
        }
        Ok(())
    }

    /// Kills what lives in it and removes it, with all below. None there is no error.
    ///
    /// # Errors
    /// When a process does not die or the kernel keeps a cgroup.
    pub fn down(&self) -> Result<(), Error> {
        // A process that is being started while the list is read is found in the next round.
        for _ in 0..50 {
            let pids = self.inhabitants();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(50));
        }
        for group in self.folders() {
            for folder in below(&group).into_iter().rev() {
                remove(&folder)?;
            }
        }
        Ok(())
    }

    /// Its folders that are there, one a hierarchy.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let all = hierarchies().into_iter().map(|hierarchy| hierarchy.point.join(&self.folder));
        all.filter(|group| group.is_dir()).collect()
    }

    /// The processes in it, by their ids.
    #[must_use]
    pub fn inhabitants(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self
            .folders()
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

/// Those of this machine.
#[must_use]
pub fn hierarchies() -> Vec<Hierarchy> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Reads proc(5) mountinfo: the mount point is the fifth field; the file system's type follows the dash, and its options
/// are the last field.
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, system)) = line.split_once(" - ") else { continue };
        let Some(point) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
        let options = match system.split(' ').next() {
            Some("cgroup") => controllers(system.rsplit(' ').next().unwrap_or_default()),
            Some("cgroup2") => String::new(),
            _ => continue,
        };
        if found.iter().all(|hierarchy| hierarchy.point != point) {
            found.push(Hierarchy { point, options });
        }
    }
    found
}

/// Of a hierarchy's options, those that say which it is.
fn controllers(options: &str) -> String {
    const OTHERS: [&str; 6] = ["rw", "ro", "xattr", "clone_children", "cpuset_v2_mode", "noprefix"];
    let which =
        options.split(',').filter(|option| !OTHERS.contains(option) && !option.starts_with("release_agent="));
    // One that has only a name says so.
    let named = options.contains("name=").then_some("none");
    named.into_iter().chain(which).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
31 24 0:27 / /sys/fs/cgroup/memory rw,relatime shared:3 - cgroup cgroup rw,xattr,memory
34 24 0:30 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
32 24 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
33 24 0:29 / /dev/shm rw - tmpfs tmpfs rw
";

    fn of(point: &str, options: &str) -> Hierarchy {
        Hierarchy { point: point.into(), options: options.into() }
    }

    #[test]
    fn version_1_hierarchies_are_found_beside_version_2() {
        let expected = [
            of("/sys/fs/cgroup/cpu", "cpu"),
            of("/sys/fs/cgroup/memory", "memory"),
            of("/sys/fs/cgroup/systemd", "none,name=systemd"),
            of("/sys/fs/cgroup/unified", ""),
        ];
        assert_eq!(parse(HYBRID), expected);
    }

    #[test]
    fn a_machine_of_version_2_alone_has_no_version_1() {
        let found = parse("29 23 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate");
        assert_eq!(found, [of("/sys/fs/cgroup", "")]);
        assert!(found[0].is_v2());
    }

    #[test]
    fn a_machines_cgroup_goes_with_the_clusters() {
        assert!(Cgroup::machine("x").folder.starts_with(Cgroup::cluster().folder));
    }
}
