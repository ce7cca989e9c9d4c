//! Dependencies that another checkout has compiled, lent to this one.
//!
//! Each checkout has a build folder of its own below one parent (`.cargo/config.toml`). A fresh one would compile
//! hundreds of crates that lie ready next to it; crates of a registry are the same in every checkout, so their
//! artifacts are linked over. Those of the workspace are not: they are this checkout's own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use cooperator_cluster::command::output;
use cooperator_cluster::paths;
use serde_json::Value;

use crate::workspace::cargo;

/// File in a build folder that names its checkout.
const CHECKOUT: &str = "checkout";
/// Depth of a build folder below the parent: cargo splits the hash of the path in two.
const DEPTH: usize = 2;

/// Fills this checkout's build folder from the one used last, if it is new; removes those of checkouts that are gone.
///
/// # Errors
/// When cargo does not say where it builds, or files cannot be linked.
pub fn fill() -> Result<()> {
    let metadata = output("cargo metadata", &mut cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let own = metadata["build_directory"].as_str().context("cargo metadata names no build_directory")?;
    let own = Path::new(own);
    let parent = own.ancestors().nth(DEPTH).context("a build folder has a parent")?;
    let others: Vec<PathBuf> = folders(parent, DEPTH).into_iter().filter(|folder| folder != own).collect();
    let marker = own.join(CHECKOUT);
    if !marker.exists() {
        if let Some(newest) = others.iter().max_by_key(|folder| used(folder)) {
            lend(&newest.join("debug"), &own.join("debug"), &names(&metadata))
                .with_context(|| format!("cannot link {} to {}", newest.display(), own.display()))?;
        }
        fs::create_dir_all(own)?;
    }
    // Written each time: its age tells when the folder was used last.
    fs::write(&marker, paths::workspace().as_os_str().as_encoded_bytes())?;
    others.iter().filter(|folder| is_orphan(folder)).try_for_each(|folder| Ok(fs::remove_dir_all(folder)?))
}

/// What the files of workspace crates begin with: names of packages, libraries and programs, as cargo and as rustc
/// writes them. Not of tests: one may be called as a crate of a registry is.
fn names(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| {
        let targets = package["targets"].as_array().into_iter().flatten();
        let is_lasting = |target: &&Value| {
            target["kind"].as_array().into_iter().flatten().any(|kind| kind == "lib" || kind == "bin")
        };
        targets.filter(is_lasting).chain([package]).filter_map(|named| named["name"].as_str())
    });
    targets.flat_map(|name| [format!("{name}-"), format!("{}-", name.replace('-', "_"))]).collect()
}

fn folders(parent: &Path, depth: usize) -> Vec<PathBuf> {
    let below = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let below: Vec<PathBuf> = below.filter(|path| path.is_dir()).collect();
    match depth {
        0 | 1 => below,
        _ => below.iter().flat_map(|folder| folders(folder, depth - 1)).collect(),
    }
}

fn used(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join(CHECKOUT)).and_then(|file| file.modified()).ok()
}

/// Whether the checkout that a build folder names is gone.
fn is_orphan(folder: &Path) -> bool {
    fs::read_to_string(folder.join(CHECKOUT)).is_ok_and(|checkout| !Path::new(&checkout).exists())
}

/// Has `to` hold what is compiled in `from`, and that alone: compiling xtask itself has made some of the same crates, and the
/// compiler refuses a crate below which another build of a dependency lies, while cargo takes it for fresh.
fn lend(from: &Path, to: &Path, ours: &[String]) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    link(from, to, ours)
}

/// Brings every file of `from` that is not of a workspace crate to the same place below `to`.
fn link(from: &Path, to: &Path, ours: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bare = name.strip_prefix("lib").unwrap_or(&name);
        let is_ours = ours.iter().any(|own| name.starts_with(own) || bare.starts_with(own));
        // Without an extension, in `deps`: a program or a test of the workspace.
        let is_program = from.ends_with("deps") && entry.path().extension().is_none();
        if name == "incremental" || is_ours || is_program {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            link(&source, &target, ours)?;
        } else {
            fs::create_dir_all(to)?;
            bring(&source, &target)?;
        }
    }
    Ok(())
}

/// Links what the compiler made, which is replaced and never written to. Cargo's own notes it does write to: those are
/// copied, with their age, by which it tells what is fresh.
fn bring(source: &Path, target: &Path) -> io::Result<()> {
    let is_library = |extension: &OsStr| ["rlib", "rmeta", "so"].iter().any(|known| extension == *known);
    let is_build_script =
        source.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"build"));
    if source.extension().is_some_and(is_library) || (is_build_script && source.extension().is_none()) {
        return fs::hard_link(source, target);
    }
    fs::copy(source, target)?;
    let modified = fs::metadata(source)?.modified()?;
    fs::File::options().append(true).open(target)?.set_modified(modified)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dependency_is_linked_and_a_crate_of_the_workspace_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let files = [
            ("deps/libkube-1.rlib", true),
            ("deps/libhttp-1.rlib", true),
            (".fingerprint/kube-1/lib", true),
            ("deps/libcooperator_core-1.rlib", false),
            ("deps/http-2", false),
            ("incremental/x/y", false),
        ];
        for (file, _) in files {
            fs::create_dir_all(from.join(file).parent().unwrap()).unwrap();
            fs::write(from.join(file), file).unwrap();
        }
        let targets =
            json!([{"name": "cooperator_core", "kind": ["lib"]}, {"name": "http", "kind": ["test"]}]);
        let metadata = json!({"packages": [{"name": "cooperator-core", "targets": targets}]});
        lend(&from, &to, &names(&metadata)).unwrap();
        for (file, brought) in files {
            assert_eq!(to.join(file).exists(), brought, "{file}");
        }
        let age = |root: &Path| fs::metadata(root.join(files[2].0)).unwrap().modified().unwrap();
        assert_eq!(age(&from), age(&to), "cargo tells by its age what is fresh");
    }

    #[test]
    fn what_was_compiled_here_before_is_not_mixed_with_what_is_lent() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from/deps"), folder.path().join("to/deps"));
        for (place, file) in
            [(&from, "libserde-1.rlib"), (&to, "libserde-1.rlib"), (&to, "libserde_json-2.rlib")]
        {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join(file), place.as_os_str().as_encoded_bytes()).unwrap();
        }
        lend(from.parent().unwrap(), to.parent().unwrap(), &[]).unwrap();
        assert_eq!(fs::read(to.join("libserde-1.rlib")).unwrap(), from.as_os_str().as_encoded_bytes());
        assert!(!to.join("libserde_json-2.rlib").exists(), "it stands on a serde that is gone");
    }

    #[test]
    fn a_folder_whose_checkout_is_gone_is_an_orphan() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CHECKOUT), folder.path().as_os_str().as_encoded_bytes()).unwrap();
        assert!(!is_orphan(folder.path()));
        fs::write(folder.path().join(CHECKOUT), "/no/such/checkout").unwrap();
        assert!(is_orphan(folder.path()));
        assert!(!is_orphan(Path::new("/no/such/folder")), "an unmarked folder may be in use");
    }
}
