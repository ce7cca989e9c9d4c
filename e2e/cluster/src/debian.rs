//! The Debian packages that the cluster stands on.

use std::path::Path;

use crate::command::{self, command};
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
    /// apt-get failed.
    #[error(transparent)]
    Command(#[from] command::Error),
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
    // The lists of a fresh image are empty or stale: fetch them only when installing does not work without.
    if attempt().is_ok() {
        return Ok(());
    }
    command::run("apt-get update", &mut command("apt-get", ["update"]), &logs.join("apt-update.log"))?;
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
