//! `kubectl coop` where a shell finds it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use cooperator_cluster::paths;

use crate::workspace::Programs;

/// What `kubectl` calls to complete `kubectl coop ...`.
const COMPLETE: &str = "#!/bin/sh\nexec kubectl-coop __complete \"$@\"\n";

/// The folder for the PATH.
#[must_use]
pub fn folder() -> PathBuf {
    paths::cache().join("bin/cooperator")
}

/// Puts the plugin as it was compiled last, and what completes it, into [`folder`].
///
/// # Errors
/// When the folder cannot be written.
pub fn install(programs: &Programs) -> Result<()> {
    let folder = folder();
    put(&folder, programs.path("kubectl-coop")?).with_context(|| format!("cannot write {}", folder.display()))
}

fn put(folder: &Path, program: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(folder)?;
    let (link, new) = (folder.join("kubectl-coop"), folder.join(".kubectl-coop.new"));
    if new.exists() {
        fs::remove_file(&new)?;
    }
    symlink(program, &new)?;
    fs::rename(&new, link)?;
    let complete = folder.join("kubectl_complete-coop");
    fs::write(&complete, COMPLETE)?;
    fs::set_permissions(&complete, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_of_the_last_build_is_the_one_that_is_found() {
        let folder = std::env::temp_dir().join(format!("cooperator-plugin-{}", std::process::id()));
        put(&folder, Path::new("/old")).unwrap();
        put(&folder, Path::new("/new")).unwrap();
        assert_eq!(fs::read_link(folder.join("kubectl-coop")).unwrap(), Path::new("/new"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
