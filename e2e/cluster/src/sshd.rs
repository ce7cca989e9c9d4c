//! OpenSSH's server, for machines of tests. It is not installed: on a machine whose file systems are its own, its programs are
//! laid over the host's, which stays as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::command::{self, command};
use crate::debian;
use crate::files;
use crate::progress::Progress;

/// `libwrap0` is the one of its libraries that a small Debian lacks.
const PACKAGES: [&str; 3] = ["openssh-server", "openssh-client", "libwrap0"];
/// Where its programs lie on the disk.
const PROGRAMS: &str = "opt/openssh";
/// Its settings: as Debian ships them, in what matters here.
const CONFIG: &str = include_str!("sshd/sshd_config");
/// Bash: lays its programs over the machine's.
pub const INSTALL: &str = include_str!("sshd/install.sh");
/// What runs it, in the foreground, until it is killed; it says on stderr who comes and goes.
pub const RUN: &str = "/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config";

/// A server that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its packages cannot be fetched.
    #[error(transparent)]
    Debian(#[from] debian::Error),
    /// They cannot be copied to a disk.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file on a disk cannot be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// What a server is told.
#[derive(Debug)]
pub struct Settings<'a> {
    /// Where it listens, as its `ListenAddress` has it.
    pub listen: &'a str,
    /// Its private host key, in OpenSSH's form.
    pub host_key: &'a str,
    /// The public keys that root's account lets in, a line each.
    pub authorized_keys: &'a str,
    /// More lines of its configuration.
    pub more: &'a str,
}

/// Its programs, fetched.
#[derive(Clone, Debug)]
pub struct Sshd {
    package: PathBuf,
}

impl Sshd {
    /// Fetches them, if they are not there yet.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn fetch(progress: &Progress) -> Result<Self, Error> {
        Ok(Self { package: debian::unpacked("openssh", &PACKAGES, progress)? })
    }

    /// Puts it on a disk that has an `/etc` and a `/root`, for [`INSTALL`] and [`RUN`].
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn put(&self, disk: &Path, settings: &Settings<'_>) -> Result<(), Error> {
        let Settings { listen, host_key, authorized_keys, more } = settings;
        let (etc, home) = (disk.join("etc/ssh"), disk.join("root/.ssh"));
        for folder in [&etc, &home] {
            files::create_dir(folder)?;
        }
        files::write(&etc.join("sshd_config"), format!("ListenAddress {listen}\n{CONFIG}{more}"))?;
        files::write(&etc.join("banner"), "Members only.\n")?;
        files::write_secret(&etc.join("host_key"), host_key)?;
        files::write_secret(&home.join("authorized_keys"), authorized_keys)?;
        protect(&home)?;
        protect(&disk.join("root"))?;
        // Whom it becomes while nobody has been let in yet.
        let passwd = disk.join("etc/passwd");
        let users = files::read(&passwd)?;
        if !users.lines().any(|line| line.starts_with("sshd:")) {
            files::write(&passwd, format!("{users}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"))?;
        }
        // It is whole at once: a machine that runs already waits for it.
        let (programs, fresh) = (disk.join(PROGRAMS), disk.join("opt/.openssh"));
        command::output("copying OpenSSH", command("cp", ["-a"]).arg(&self.package).arg(&fresh))?;
        fs::rename(&fresh, &programs).map_err(files::at("place", &programs))?;
        Ok(())
    }
}

/// Nobody else may write there: it looks.
fn protect(folder: &Path) -> Result<(), files::Error> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(files::at("protect", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_holds_its_settings_its_key_and_whom_it_lets_in() {
        let (disk, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |name: &str| disk.path().join(name);
        files::create_dir(&package.path().join("usr/sbin")).unwrap();
        files::create_dir(&path("etc")).unwrap();
        files::create_dir(&path("opt")).unwrap();
        files::write(&path("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
        let sshd = Sshd { package: package.path().to_owned() };
        let settings = Settings {
            listen: "127.0.0.1:2222",
            host_key: "a key\n",
            authorized_keys: "ssh-ed25519 AAAA\n",
            more: "DenyUsers root\n",
        };
        sshd.put(disk.path(), &settings).unwrap();
        let config = files::read(&path("etc/ssh/sshd_config")).unwrap();
        assert!(config.starts_with("ListenAddress 127.0.0.1:2222\n") && config.ends_with("DenyUsers root\n"));
        assert!(files::read(&path("etc/passwd")).unwrap().contains("\nsshd:x:"));
        assert!(path("opt/openssh/usr/sbin").is_dir() && path("root/.ssh/authorized_keys").is_file());
        command::output("bash -n", &mut command("bash", ["-n", "-c", INSTALL])).unwrap();
    }
}
