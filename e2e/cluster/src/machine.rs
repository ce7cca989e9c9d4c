//! A machine beside the cluster, as a vendor rents one out: what it is given is a script for its first start.
//!
//! It is this host's kernel and programs in namespaces of its own: processes, mounts, network, host name, cgroups. It has a
//! disk (a folder), one cable that leads to the cluster's node, no systemd, and knows nothing of the cluster. The script
//! runs as it is. All calls block; any number of machines can be up, and they go with the cluster at the latest.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::cgroups::{self, Cgroup};
use crate::command::{self, command};
use crate::files;
use crate::images::Image;
use crate::processes::{self, Life, Processes};

mod cable;

pub use cable::networks;

/// What the machine's own process is called among the programs of its folder.
const PROGRAM: &str = "machine";
/// Longest name, in characters; it is part of names of cgroups and folders.
const NAME: usize = 63;
/// How long containerd has to take an image.
const PATIENCE: Duration = Duration::from_secs(120);
/// containerd's socket, where the operator's script puts it.
const SOCKET: &str = "run/cooperator/containerd.sock";
/// Folders of a disk. All else is the host's, and read-only.
const FOLDERS: [&str; 9] = [
    "opt",
    "root",
    "tmp",
    "var/cache",
    "var/lib/cloud/instance",
    "var/lib/kubelet",
    "var/log",
    "var/spool",
    "var/tmp",
];
/// Enters a namespace for processes, in which [`POWER`] runs as the first.
const POWER: &str = include_str!("machine/power.sh");
/// What the first process does.
const INIT: &str = include_str!("machine/init.sh");

/// A machine that could not be started, used or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be called that.
    #[error("a machine's name has to be 1 to {NAME} lowercase letters, digits and hyphens; got `{0}`")]
    Name(String),
    /// There is one of that name.
    #[error("the machine `{0}` is there already; stop it first")]
    Exists(String),
    /// There is nothing to connect it to.
    #[error("no cluster is up that a machine could be connected to")]
    NoCluster,
    /// It does not run.
    #[error("the machine `{0}` does not run; its console: {1}")]
    Off(String, PathBuf),
    /// containerd did not come up in it.
    #[error("the machine `{0}` had no containerd after {PATIENCE:?}; its console: {1}")]
    NoContainerd(String, PathBuf),
    /// Its cable could not be laid or removed.
    #[error(transparent)]
    Cable(#[from] cable::Error),
    /// A program could not be started or stopped.
    #[error(transparent)]
    Process(#[from] processes::Error),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file or cgroup could not be made or removed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// A machine that is there, whether it runs or not. It stays when this is dropped.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its address; the cluster's node reaches it, and it reaches the node and the host's end of the node's cable.
    pub address: Ipv4Addr,
    /// Of its cable.
    number: u16,
    /// Its folder: disk, console, process id.
    dir: PathBuf,
}

/// What is written down about a machine before anything of it is made.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    number: u16,
}

impl Machine {
    /// Starts a machine beside the cluster whose state folder is `cluster`, and returns at once: `user_data`, which begins
    /// with `#!`, runs meanwhile. What it prints is on the [console](Self::console).
    ///
    /// # Errors
    /// When the name is taken or none, no cluster is up, or the kernel refuses. What was made by then is removed.
    pub fn start(cluster: &Path, name: &str, user_data: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
            return Err(Error::Name(name.to_owned()));
        }
        if !crate::network::namespace_exists() {
            return Err(Error::NoCluster);
        }
        let machine = Self::note(cluster, name)?;
        machine.power_on(user_data).inspect_err(|_| drop(machine.stop()))?;
        Ok(machine)
    }

    /// Puts it behind a router that lets nobody in, as most are: it dials, nobody dials it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn close(&self) -> Result<(), Error> {
        Ok(cable::close(self.number)?)
    }

    /// The machine of that name beside a cluster, if it is there.
    #[must_use]
    pub fn find(cluster: &Path, name: &str) -> Option<Self> {
        let dir = folder(cluster).join(name);
        let note: Note = serde_json::from_str(&fs::read_to_string(dir.join("machine.json")).ok()?).ok()?;
        Some(Self { name: name.to_owned(), address: cable::address(note.number), number: note.number, dir })
    }

    /// All machines beside a cluster, by name.
    #[must_use]
    pub fn all(cluster: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder(cluster)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names.iter().filter_map(|name| Self::find(cluster, name)).collect()
    }

    /// Removes all machines beside a cluster, and what is left of others.
    ///
    /// # Errors
    /// When something of one stays.
    pub fn stop_all(cluster: &Path) -> Result<(), Error> {
        for machine in Self::all(cluster) {
            machine.stop()?;
        }
        for network in cable::networks() {
            cable::remove(&network)?;
        }
        Ok(files::remove(&folder(cluster))?)
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.processes().running(PROGRAM).is_some()
    }

    /// The file that what it prints goes to.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.processes().log(PROGRAM)
    }

    /// Its disk, as the host sees it: `var/log/cooperator` holds the logs of what the operator's script starts.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// Hands an image to its containerd, once that runs.
    ///
    /// # Errors
    /// When the machine does not run, has no containerd in time, or that refuses the image.
    pub fn load(&self, image: &Image) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let mut version = self.ctr()?;
            if command::output("ctr version", version.arg("version")).is_ok() {
                break;
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::NoContainerd(self.name.clone(), self.console()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let mut import = self.ctr()?;
        import.args(["images", "import"]).arg(&image.archive);
        command::output(&format!("ctr images import {}", image.archive.display()), &mut import)?;
        Ok(())
    }

    /// A `ctr` that speaks to its containerd, as the kubelet does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn ctr(&self) -> Result<Command, Error> {
        let socket = Path::new("/proc").join(self.first()?.to_string()).join("root").join(SOCKET);
        let mut ctr = command("ctr", ["--address"]);
        ctr.arg(socket).args(["--namespace", "k8s.io"]);
        Ok(ctr)
    }

    /// A command that runs on it, as someone who sits at it would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command, Error> {
        let mut nsenter = command("nsenter", ["--all", "--target"]);
        nsenter.arg(self.first()?.to_string()).arg("--").arg(program);
        Ok(nsenter)
    }

    /// Presses the power button, as a vendor does that takes the machine back: it runs what is to be done before it is off
    /// (`/etc/rc0.d/K*`, in order, with `stop`), then nothing of it runs any more. It is [`stop`](Self::stop) that removes it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn power_off(&self) -> Result<(), Error> {
        let first = Pid::from_raw(self.first()?);
        kill(first, Signal::SIGPWR).map_err(|_| Error::Off(self.name.clone(), self.console()))
    }

    /// Pulls the plug and removes it, with its disk, cable and cgroups. That part of it is gone already is no error.
    ///
    /// # Errors
    /// When something of it stays; it can be tried again.
    pub fn stop(&self) -> Result<(), Error> {
        // False: it did not run.
        let _ = self.processes().kill(PROGRAM);
        Cgroup::machine(&self.name).down()?;
        cable::remove(&cable::network(self.number))?;
        // Its note goes last: until then it is found again.
        files::remove(&self.disk())?;
        Ok(files::remove(&self.dir)?)
    }

    /// Writes down a new machine with a cable that no other has.
    fn note(cluster: &Path, name: &str) -> Result<Self, Error> {
        let all = folder(cluster);
        files::create_dir(&all)?;
        let path = all.with_extension("lock");
        let lock = fs::File::create(&path).map_err(files::at("create", &path))?;
        lock.lock().map_err(files::at("lock", &path))?;
        let dir = all.join(name);
        if dir.exists() {
            return Err(Error::Exists(name.to_owned()));
        }
        let taken: Vec<u16> = Self::all(cluster).iter().map(|machine| machine.number).collect();
        let networks = cable::networks();
        let number = (0..cable::MOST)
            .find(|number| !taken.contains(number) && !networks.contains(&cable::network(*number)))
            .ok_or(cable::Error::All)?;
        files::create_dir(&dir)?;
        files::write(&dir.join("machine.json"), serde_json::json!(Note { number }).to_string())?;
        Ok(Self { name: name.to_owned(), address: cable::address(number), number, dir })
    }

    fn power_on(&self, user_data: &str) -> Result<(), Error> {
        self.make_disk(user_data)?;
        cable::lay(self.number)?;
        Cgroup::machine(&self.name).up()?;
        let mut power = command("nsenter", [format!("--net=/run/netns/{}", cable::network(self.number))]);
        power.args(["--", "unshare", "--pid", "--fork", "--kill-child", "--", "bash", "-ec", POWER, "bash"]);
        power.arg(&self.name).arg(self.disk()).arg(INIT);
        for hierarchy in cgroups::hierarchies() {
            power.arg(&hierarchy.point).arg(&hierarchy.options);
        }
        self.processes().start(PROGRAM, &power)?;
        Ok(())
    }

    /// What a vendor's image of a machine holds, and where cloud-init keeps the script.
    fn make_disk(&self, user_data: &str) -> Result<(), Error> {
        let disk = self.disk();
        for folder in FOLDERS {
            files::create_dir(&disk.join(folder))?;
        }
        command::output(
            "copying /etc",
            &mut command("cp", [Path::new("-a"), Path::new("/etc"), &disk.join("etc")]),
        )?;
        fs::set_permissions(disk.join("tmp"), fs::Permissions::from_mode(0o1777))
            .map_err(files::at("open to all", &disk.join("tmp")))?;
        // What this host does before it is off is none of the machine's business.
        let stops = disk.join("etc/rc0.d");
        files::remove(&stops)?;
        files::create_dir(&stops)?;
        for (name, text) in [
            ("hostname", format!("{}\n", self.name)),
            ("hosts", "127.0.0.1 localhost\n".to_owned()),
            ("resolv.conf", format!("nameserver {}\n", crate::network::NODE_ADDRESS)),
        ] {
            let path = disk.join("etc").join(name);
            files::remove(&path)?;
            files::write(&path, text)?;
        }
        let run = disk.join("var/run");
        std::os::unix::fs::symlink("/run", &run).map_err(files::at("link", &run))?;
        let script = disk.join("var/lib/cloud/instance/user-data.txt");
        files::write_secret(&script, user_data)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))
            .map_err(files::at("protect", &script))?;
        Ok(())
    }

    /// The host's number of its first process.
    fn first(&self) -> Result<i32, Error> {
        let off = || Error::Off(self.name.clone(), self.console());
        let outer = self.processes().running(PROGRAM).ok_or_else(off)?;
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).ok_or_else(off)
    }

    fn processes(&self) -> Processes {
        Processes::new(&self.dir, Life::Detached)
    }
}

/// Where the machines beside a cluster lie.
fn folder(cluster: &Path) -> PathBuf {
    cluster.join("machines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "A", "a/b", "..", "a b", &"a".repeat(64)] {
            assert!(matches!(Machine::start(dir.path(), name, "#!/bin/sh\n"), Err(Error::Name(_))), "{name}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn machines_are_written_down_with_different_cables_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let one = Machine::note(dir.path(), "one").unwrap();
        let two = Machine::note(dir.path(), "two").unwrap();
        assert_ne!(one.address, two.address);
        assert!(matches!(Machine::note(dir.path(), "one"), Err(Error::Exists(_))));
        let names: Vec<String> = Machine::all(dir.path()).into_iter().map(|machine| machine.name).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(Machine::find(dir.path(), "two").unwrap().address, two.address);
        assert!(!two.is_running());
    }

    #[test]
    fn the_scripts_are_what_bash_can_read() {
        for script in [POWER, INIT] {
            command::output("bash -n", &mut command("bash", ["-n", "-c", script])).unwrap();
        }
    }
}
