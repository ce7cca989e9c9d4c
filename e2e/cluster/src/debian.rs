//! The Debian packages that the cluster stands on.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{self, command};
use crate::files;
use crate::paths;
use crate::progress::Progress;

/// A package and a file it brings: the file tells whether it is installed, whoever installed it.
const PACKAGES: [(&str, &str); 17] = [
    ("binutils", "/usr/bin/strip"),
    ("buildah", "/usr/bin/buildah"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("containerd", "/usr/bin/containerd"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("gcc", "/usr/bin/gcc"),
    ("iproute2", "/usr/sbin/ip"),
    ("ipset", "/usr/sbin/ipset"),
    ("iptables", "/usr/sbin/iptables"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("make", "/usr/bin/make"),
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    ("nftables", "/usr/sbin/nft"),
    ("procps", "/usr/sbin/sysctl"),
    ("runc", "/usr/sbin/runc"),
    ("socat", "/usr/bin/socat"),
    ("util-linux", "/usr/bin/nsenter"),
];

/// Why the packages are not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are missing, and only root can install them.
    #[error("missing Debian packages; run: sudo apt-get install --yes --no-install-recommends {}", .0.join(" "))]
    NotRoot(Vec<&'static str>),
    /// This is no Debian, or it has no apt-get.
    #[error("missing {}, and there is no apt-get here; install them in the way of this system", .0.join(", "))]
    NotDebian(Vec<&'static str>),
    /// apt-get or dpkg-deb failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// What was unpacked could not be kept.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// Installs what is missing, when this is root on a Debian; else says what to install.
///
/// # Errors
/// When something is missing and cannot be installed.
pub fn ensure(progress: &Progress) -> Result<(), Error> {
    ensure_packages(&PACKAGES, progress)
}

/// The same for other packages, each with a file by which it is known to be there.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_packages(packages: &[(&'static str, &'static str)], progress: &Progress) -> Result<(), Error> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Error::NotDebian(missing));
    }
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Error::NotRoot(missing));
    }
    progress.during(&format!("Installing {}", missing.join(" ")), None, || install(&missing))
}

/// The files of packages that are not to be installed, because they would start something here: fetched and unpacked, once,
/// into the folder of this name in the cache. Needs no root, unless the lists of packages are stale.
///
/// # Errors
/// When they cannot be fetched or unpacked.
pub fn unpacked(name: &str, packages: &[&'static str], progress: &Progress) -> Result<PathBuf, Error> {
    let folder = paths::cache().join("unpacked").join(name);
    if folder.exists() {
        return Ok(folder);
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Error::NotDebian(packages.to_vec()));
    }
    // One at a time: the others find it done.
    let all = paths::cache().join("unpacked");
    files::create_dir(&all)?;
    let path = all.with_extension("lock");
    let lock = fs::File::create(&path).map_err(files::at("create", &path))?;
    lock.lock().map_err(files::at("lock", &path))?;
    if !folder.exists() {
        progress.during(&format!("Fetching {}", packages.join(" ")), None, || unpack(packages, &folder))?;
    }
    Ok(folder)
}

fn unpack(packages: &[&str], folder: &Path) -> Result<(), Error> {
    let fresh = folder.with_extension("fresh");
    files::remove(&fresh)?;
    files::create_dir(&fresh)?;
    let log = paths::cache().join("logs/apt-download.log");
    with_lists(|| {
        let mut apt = command("apt-get", ["download"]);
        command::run("apt-get download", apt.args(packages).current_dir(&fresh), &log)
    })?;
    let entries = fs::read_dir(&fresh).map_err(files::at("read", &fresh))?;
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    for archive in entries.flatten().map(|entry| entry.path()).filter(is_archive) {
        let mut dpkg = command("dpkg-deb", ["--extract"]);
        command::output("dpkg-deb", dpkg.arg(&archive).arg(&fresh))?;
        files::remove(&archive)?;
    }
    Ok(fs::rename(&fresh, folder).map_err(files::at("keep", folder))?)
}

/// The packages whose files are not here.
fn missing(packages: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    packages.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect()
}

fn install(missing: &[&'static str]) -> Result<(), Error> {
    let logs = paths::cache().join("logs");
    let attempt = || {
        let mut apt = command("apt-get", ["install", "--yes", "--no-install-recommends"]);
        apt.args(missing).env("DEBIAN_FRONTEND", "noninteractive");
        command::run("apt-get install", &mut apt, &logs.join("apt-install.log"))
    };
    with_lists(attempt)
}

/// The lists of a fresh image are empty or stale: they are fetched only when it does not work without.
fn with_lists(attempt: impl Fn() -> Result<(), command::Error>) -> Result<(), Error> {
    if attempt().is_ok() {
        return Ok(());
    }
    let log = paths::cache().join("logs/apt-update.log");
    command::run("apt-get update", &mut command("apt-get", ["update"]), &log)?;
    Ok(attempt()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_the_exact_command() {
        let error = Error::NotRoot(vec!["runc", "socat"]).to_string();
        assert!(error.ends_with("sudo apt-get install --yes --no-install-recommends runc socat"), "{error}");
    }
}
