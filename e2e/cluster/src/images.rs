//! Container images without a registry: a base from Debian packages, ours on top, handed to containerd.
//!
//! An image is named by the digest of what goes into it. So one that is there need not be built again, and
//! a pod that names it runs exactly that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::command::{self, command};
use crate::files;
use crate::paths;
use crate::progress::Progress;
use crate::tools;

/// An image that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A tool that goes into an image could not be built.
    #[error(transparent)]
    Tools(#[from] tools::Error),
}

/// What an image starts from: a few Debian packages, unpacked and not configured.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    name: &'static str,
    packages: &'static str,
    /// Shell, run on the unpacked tree at `$1`: for what a package makes when it is configured.
    hook: &'static str,
}

/// What a program linked against glibc needs, and no shell: the local stand-in for distroless `cc`.
pub const RUNTIME: Base = Base {
    name: "runtime",
    packages: "libc6,libgcc-s1,ca-certificates,base-files,netbase,tzdata",
    hook: r#"cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1"/etc/ssl/certs/ca-certificates.crt"#,
};

/// Busybox alone, for pods of tests.
const BUSYBOX: Base = Base { name: "busybox", packages: "busybox,libc6,base-files,netbase", hook: "true" };

/// Shell, run as a base's own: a note of each package, where distroless images keep theirs and scanners look.
const NOTES: &str = r#"mkdir "$1"/var/lib/dpkg/status.d
for package in "$1"/var/cache/apt/archives/*.deb; do
    dpkg-deb --field "$package" > "$1/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done"#;

/// An image to build.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Its name, below `localhost/cooperator/`.
    pub name: &'a str,
    /// The Containerfile; its `BASE` argument is set to the image of `base`.
    pub containerfile: &'a Path,
    /// What it starts from; none for one that starts from nothing.
    pub base: Option<Base>,
    /// The files of the build context: name there, and where each lies.
    pub files: &'a [(&'a str, &'a Path)],
}

/// A built image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What pods name it: `localhost/cooperator/<name>:<digest>`.
    pub reference: String,
    /// The archive that holds it (docker-archive).
    pub archive: PathBuf,
}

/// Builds an image, unless the cache has the very same.
///
/// # Errors
/// When a file is missing or a build fails: with the end of its log.
pub fn build(recipe: &Recipe<'_>, progress: &Progress) -> Result<Image, Error> {
    let tag = digest(recipe)?;
    let reference = format!("localhost/cooperator/{}:{tag}", recipe.name);
    let archive = folder().join(format!("{}-{tag}.tar", recipe.name));
    let image = Image { reference, archive };
    if image.archive.is_file() {
        return Ok(image);
    }
    let base = recipe.base.map(|base| base_image(base, progress)).transpose()?;
    progress.during(&format!("Building image {}", recipe.name), Some(Duration::from_secs(10)), || {
        let arguments = base.map(|base| format!("BASE={base}"));
        bud(recipe, &image.reference, arguments.as_deref())?;
        let partial = image.archive.with_extension("partial");
        files::remove(&partial)?;
        let mut push = buildah(&["push", "--quiet", &image.reference]);
        push.arg(format!("docker-archive:{}:{}", partial.display(), image.reference));
        command::run("buildah push", &mut push, &log(recipe.name))?;
        // The archive is all that is needed; the copy in the builder's store only takes place.
        command::run("buildah rmi", &mut buildah(&["rmi", &image.reference]), &log(recipe.name))?;
        forget_older(recipe.name)?;
        fs::rename(&partial, &image.archive).map_err(files::at("move an image to", &image.archive))?;
        Ok(image.clone())
    })
}

/// Builds an image and pushes it as `<registry>/cooperator/<name>:<tag>`, by default tagged with the digest of what goes
/// into it; `base` is any image that can be pulled, or none for the one the Containerfile names. With `archive`, a copy of
/// it (oci-archive) is left there. Returns the reference.
///
/// # Errors
/// When the build fails or the registry refuses.
pub fn publish(
    recipe: &Recipe<'_>,
    registry: &str,
    tag: Option<&str>,
    base: Option<&str>,
    archive: Option<&Path>,
    progress: &Progress,
) -> Result<String, Error> {
    let tag = tag.map_or_else(|| digest(recipe), |tag| Ok(tag.to_owned()))?;
    let reference = format!("{registry}/cooperator/{}:{tag}", recipe.name);
    files::create_dir(&folder())?;
    progress.during(&format!("Publishing {reference}"), Some(Duration::from_secs(60)), || {
        bud(recipe, &reference, base.map(|base| format!("BASE={base}")).as_deref())?;
        let tls = format!("--tls-verify={}", !is_loopback(registry));
        command::run("buildah push", &mut buildah(&["push", &tls, &reference]), &log(recipe.name))?;
        if let Some(archive) = archive {
            files::remove(archive)?;
            let mut copy = buildah(&["push", "--quiet", &reference]);
            copy.arg(format!("oci-archive:{}", archive.display()));
            command::run("buildah push", &mut copy, &log(recipe.name))?;
        }
        command::run("buildah rmi", &mut buildah(&["rmi", &reference]), &log(recipe.name))?;
        Ok::<(), Error>(())
    })?;
    Ok(reference)
}

/// Whether a registry is on this machine: such a one is asked without TLS, as Docker does.
fn is_loopback(registry: &str) -> bool {
    let host = registry.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

/// The base image, made once a list of packages and kept in the builder's store; returns its reference.
///
/// # Errors
/// When Debian's packages cannot be fetched or the image not be built.
pub fn base_image(base: Base, progress: &Progress) -> Result<String, Error> {
    let suite = suite();
    let containerfile = containerfile("base");
    let mut hash = Sha256::new();
    hash.update([&suite, base.packages, base.hook, NOTES].join(" "));
    hash.update(files::read(&containerfile)?);
    let reference = format!("localhost/cooperator/base-{}:{}", base.name, short(hash));
    if command::output("buildah inspect", &mut buildah(&["inspect", "--type=image", &reference])).is_ok() {
        return Ok(reference);
    }
    let what = format!("Making the base image {} from Debian {suite}", base.name);
    progress.during(&what, Some(Duration::from_secs(15)), || -> Result<(), Error> {
        let tar = folder().join(format!("base-{}.tar", base.name));
        files::create_dir(&folder())?;
        files::remove(&tar)?;
        let mut mmdebstrap = command("mmdebstrap", ["--variant=extract", "--quiet"]);
        mmdebstrap.arg(format!("--include={}", base.packages)).arg(format!("--extract-hook={}", base.hook));
        mmdebstrap.arg(format!("--extract-hook={NOTES}"));
        mmdebstrap.arg(&suite).arg(&tar);
        command::run("mmdebstrap", &mut mmdebstrap, &log(base.name))?;
        let recipe = Recipe {
            name: base.name,
            containerfile: &containerfile,
            base: None,
            files: &[("base.tar", &tar)],
        };
        bud(&recipe, &reference, None)?;
        Ok(files::remove(&tar)?)
    })?;
    Ok(reference)
}

/// The image that holds a pod's namespaces: one static C file.
///
/// # Errors
/// When it cannot be compiled or built.
pub fn pause(progress: &Progress) -> Result<Image, Error> {
    let program = folder().join("pause");
    files::create_dir(&folder())?;
    let mut cc = command("gcc", ["-static", "-Os", "-s", "-Wall", "-Werror", "-o"]);
    cc.arg(&program).arg(here().join("pause.c"));
    command::run("compiling pause.c", &mut cc, &log("pause"))?;
    let recipe = Recipe {
        name: "pause",
        containerfile: &containerfile("pause"),
        base: None,
        files: &[("pause", &program)],
    };
    build(&recipe, progress)
}

/// Garage, the object storage that the chart embeds.
///
/// # Errors
/// When it cannot be built.
pub fn garage(progress: &Progress) -> Result<Image, Error> {
    tools::ensure(&[tools::GARAGE], progress)?;
    let program = tools::GARAGE.program("garage");
    let recipe = Recipe {
        name: "garage",
        containerfile: &containerfile("garage"),
        base: Some(RUNTIME),
        files: &[("garage", &program)],
    };
    build(&recipe, progress)
}

/// A shell and wget, for pods of tests: `/bin/busybox` with its applets as arguments.
///
/// # Errors
/// When it cannot be built.
pub fn toolbox(progress: &Progress) -> Result<Image, Error> {
    let recipe =
        Recipe { name: "toolbox", containerfile: &containerfile("toolbox"), base: Some(BUSYBOX), files: &[] };
    build(&recipe, progress)
}

/// Gathers the build context and builds; the context holds nothing but the files named.
fn bud(recipe: &Recipe<'_>, reference: &str, argument: Option<&str>) -> Result<(), Error> {
    let context = folder().join("context").join(recipe.name);
    files::remove(&context)?;
    files::create_dir(&context)?;
    for (name, source) in recipe.files {
        let place = context.join(name);
        fs::copy(source, &place).map_err(files::at("copy", source))?;
    }
    let mut build = buildah(&["bud", "--isolation", "chroot", "--layers=false", "--timestamp=0", "--quiet"]);
    if let Some(argument) = argument {
        build.args(["--build-arg", argument]);
    }
    build.args(["--tag", reference, "--file"]).arg(recipe.containerfile).arg(&context);
    command::run(&format!("building image {}", recipe.name), &mut build, &log(recipe.name))?;
    Ok(files::remove(&context)?)
}

/// The builder with a store of its own in the cache. Its driver copies and so leaves no mounts behind.
fn buildah(arguments: &[&str]) -> Command {
    let store = paths::cache().join("buildah");
    let mut buildah = command("buildah", ["--storage-driver", "vfs", "--root"]);
    buildah.arg(store.join("store")).arg("--runroot").arg(store.join("run")).args(arguments);
    buildah
}

/// Removes the archives of an image's earlier versions.
fn forget_older(name: &str) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(folder()) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let ours = stem.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let is_tag = |tag: &str| tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        if ours.is_some_and(is_tag) && path.extension().is_some_and(|extension| extension == "tar") {
            files::remove(&path)?;
        }
    }
    Ok(())
}

/// All that goes into an image, as 16 hex digits.
fn digest(recipe: &Recipe<'_>) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(files::read(recipe.containerfile)?);
    if let Some(base) = recipe.base {
        hash.update(base.packages);
        hash.update(base.hook);
        hash.update(files::read(&containerfile("base"))?);
    }
    for (name, source) in recipe.files {
        let mut file = fs::File::open(source).map_err(files::at("open", source))?;
        let length = file.metadata().map_err(files::at("look at", source))?.len();
        hash.update(format!("\n{name} {length}\n"));
        std::io::copy(&mut file, &mut hash).map_err(files::at("read", source))?;
    }
    Ok(short(hash))
}

fn short(hash: Sha256) -> String {
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(16);
    digits
}

/// The release of this Debian: a base of the same has the libc that programs built here want.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    codename.map_or("bookworm", |name| name.trim_matches('"')).to_owned()
}

fn folder() -> PathBuf {
    paths::cache().join("images")
}

fn log(name: &str) -> PathBuf {
    paths::cache().join("logs").join(format!("image-{name}.log"))
}

fn here() -> PathBuf {
    paths::workspace().join("e2e/cluster/images")
}

fn containerfile(name: &str) -> PathBuf {
    here().join(format!("{name}.Containerfile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_on_this_machine_is_asked_without_tls() {
        for (registry, loopback) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000/team", true),
            ("ghcr.io/team", false),
            ("localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(registry), loopback, "{registry}");
        }
    }

    #[test]
    fn another_content_is_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        let containerfile = containerfile("garage");
        let tag = |content: &str| {
            fs::write(&program, content).unwrap();
            let files = [("program", program.as_path())];
            digest(&Recipe { name: "x", containerfile: &containerfile, base: Some(RUNTIME), files: &files })
                .unwrap()
        };
        assert_eq!(tag("one"), tag("one"));
        assert_ne!(tag("one"), tag("two"));
        assert_eq!(tag("one").len(), 16);
    }
}
