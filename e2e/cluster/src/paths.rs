//! Where things lie: the cache that outlives clusters, the state of a cluster, the checkout.

use std::env;
use std::path::{Path, PathBuf};

/// What can be built again but should not have to be: tools, base images. `$XDG_CACHE_HOME/cooperator`.
#[must_use]
pub fn cache() -> PathBuf {
    base("XDG_CACHE_HOME", ".cache").join("cooperator")
}

/// The state of the local cluster, removed by `down`: `$XDG_STATE_HOME/cooperator/cluster`.
#[must_use]
pub fn cluster_state() -> PathBuf {
    base("XDG_STATE_HOME", ".local/state").join("cooperator/cluster")
}

/// The root of the checkout that this crate was compiled in.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn base(variable: &str, below_home: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(set) if Path::new(&set).is_absolute() => PathBuf::from(set),
        _ => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(below_home),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_folder_of_the_lock_file() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
