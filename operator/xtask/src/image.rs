//! `cargo xtask image`: the two images, for the local cluster or for a registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use cooperator_cluster::command::{command, run};
use cooperator_cluster::images::{self, Image, Recipe};
use cooperator_cluster::tools::{self, SYFT};
use cooperator_cluster::{Cluster, Progress, debian, paths};

use crate::sbom;
use crate::workspace::Programs;

/// The tag of this version's images.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Options of `cargo xtask image`.
#[derive(Args)]
pub struct Options {
    /// Build with --release and push to this registry, as HOST/cooperator/{operator,trainer}:TAG, and write what each
    /// consists of (SPDX) to target/sbom/. Without it, the local cluster gets them
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,
    /// The tag in the registry
    #[arg(long, default_value = VERSION, requires = "registry")]
    tag: String,
    /// The image to start from, instead of the one the Containerfiles name
    #[arg(long, value_name = "IMAGE", requires = "registry")]
    base: Option<String>,
}

/// One of our images: what is in it and where its Containerfile lies.
struct Source {
    name: &'static str,
    containerfile: &'static str,
    /// Packages; each yields the program of its own name.
    programs: &'static [&'static str],
}

const OPERATOR: Source = Source {
    name: "operator",
    containerfile: "operator/Containerfile",
    programs: &["cooperator-operator", "cooperator-gateway", "cooperator-settle", "cooperator-tunnel"],
};

const TRAINER: Source = Source {
    name: "trainer",
    containerfile: "trainer-image/Containerfile",
    programs: &["cooperator-trainer", "cooperator-server"],
};

/// The images a whole installation needs, built for the local cluster.
pub struct Images {
    /// operator, gateway and settle, and the tunnel.
    pub operator: Image,
    /// trainer and server.
    pub trainer: Image,
    /// Garage.
    pub garage: Image,
}

impl Images {
    /// The arguments that make `helm` install the chart with these images.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        let mut values = values_of(&[self.operator.reference.clone(), self.trainer.reference.clone()]);
        values.extend(value("objectStorage.embedded.image", &self.garage.reference));
        values
    }
}

/// The arguments that make `helm` install the chart with these references of operator and trainer.
#[must_use]
pub fn values_of([operator, trainer]: &[String; 2]) -> Vec<String> {
    [value("image", operator), value("trainerImage", trainer)].into_iter().flatten().collect()
}

fn value(key: &str, reference: &str) -> [String; 4] {
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, ""));
    // --set-string: a tag of digits alone is still a string.
    let set = || "--set-string".to_owned();
    [set(), format!("{key}.repository={repository}"), set(), format!("{key}.tag={tag}")]
}

/// Builds the images and hands them to the local cluster, or pushes them to a registry.
///
/// # Errors
/// When a build fails, the registry refuses, or no local cluster is up.
pub fn image(options: &Options, progress: &Progress) -> Result<()> {
    debian::ensure(progress)?;
    match &options.registry {
        None => {
            let cluster = Cluster::open(&paths::cluster_state())?;
            let images = build(&Programs::build(progress)?, progress)?;
            load(&cluster, &images)?;
            progress.say(&format!("The node has them; helm takes them by:\n  {}", images.values().join(" ")));
            Ok(())
        }
        Some(registry) => {
            let (programs, base) = (released(progress)?, options.base.as_deref());
            tools::ensure(&[SYFT], progress)?;
            for source in [&OPERATOR, &TRAINER] {
                let archive = paths::cache().join("images").join(format!("{}.oci", source.name));
                let tag = Some(options.tag.as_str());
                let reference = push(source, &programs, registry, tag, base, Some(&archive), progress)?;
                let listed = sbom::write(source.name, &options.tag, &archive, progress)?;
                std::fs::remove_file(&archive)?;
                progress.say(&format!("{reference}\n  consists of: {}", listed.display()));
            }
            Ok(())
        }
    }
}

/// Builds every image for the local cluster from programs of the dev profile, which tests share: nothing is compiled
/// twice.
///
/// # Errors
/// When a build fails.
pub fn build(programs: &Programs, progress: &Progress) -> Result<Images> {
    let local = |source: &Source| {
        let files = stripped(source, programs)?;
        with_recipe(source, &files, Some(images::RUNTIME), |recipe| Ok(images::build(recipe, progress)?))
    };
    Ok(Images { operator: local(&OPERATOR)?, trainer: local(&TRAINER)?, garage: images::garage(progress)? })
}

/// Hands the images to the node.
///
/// # Errors
/// When containerd refuses one.
pub fn load(cluster: &Cluster, images: &Images) -> Result<()> {
    for image in [&images.operator, &images.trainer, &images.garage] {
        cluster.load(image)?;
    }
    Ok(())
}

/// Builds our images from these programs and pushes them; returns the references of operator and trainer.
///
/// # Errors
/// When a build fails or the registry refuses.
pub fn publish(
    programs: &Programs,
    registry: &str,
    tag: Option<&str>,
    base: Option<&str>,
    progress: &Progress,
) -> Result<[String; 2]> {
    let push = |source| push(source, programs, registry, tag, base, None, progress);
    Ok([push(&OPERATOR)?, push(&TRAINER)?])
}

fn push(
    source: &Source,
    programs: &Programs,
    registry: &str,
    tag: Option<&str>,
    base: Option<&str>,
    archive: Option<&Path>,
    progress: &Progress,
) -> Result<String> {
    let files = stripped(source, programs)?;
    with_recipe(source, &files, None, |recipe| {
        Ok(images::publish(recipe, registry, tag, base, archive, progress)?)
    })
}

/// Our programs with the release profile, for images that people run.
fn released(progress: &Progress) -> Result<Programs> {
    let packages: Vec<&str> =
        [&OPERATOR, &TRAINER].iter().flat_map(|source| source.programs).copied().collect();
    Programs::release(&packages, progress)
}

/// Copies of an image's programs without symbols: name and where each lies.
fn stripped(source: &Source, programs: &Programs) -> Result<Vec<(&'static str, PathBuf)>> {
    let folder = paths::cache().join("programs");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let copy = |name: &&'static str| {
        let copy = folder.join(name);
        strip(programs.path(name)?, &copy)?;
        Ok((*name, copy))
    };
    source.programs.iter().map(copy).collect()
}

/// Symbols and line tables are for the checkout; an image is smaller and loads faster without them.
fn strip(program: &Path, copy: &Path) -> Result<()> {
    let mut strip: Command = command("strip", ["--strip-all", "-o"]);
    strip.arg(copy).arg(program);
    Ok(run("strip", &mut strip, &paths::cache().join("logs/strip.log"))?)
}

fn with_recipe<T>(
    source: &Source,
    files: &[(&'static str, PathBuf)],
    base: Option<images::Base>,
    then: impl FnOnce(&Recipe<'_>) -> Result<T>,
) -> Result<T> {
    let containerfile = paths::workspace().join(source.containerfile);
    let files: Vec<(&str, &Path)> = files.iter().map(|(name, path)| (*name, path.as_path())).collect();
    then(&Recipe { name: source.name, containerfile: &containerfile, base, files: &files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_told_repository_and_tag_of_each_image() {
        let image = |name: &str| Image {
            reference: format!("localhost/cooperator/{name}:12"),
            archive: PathBuf::new(),
        };
        let images =
            Images { operator: image("operator"), trainer: image("trainer"), garage: image("garage") };
        let values = images.values();
        assert!(
            values.contains(&"trainerImage.repository=localhost/cooperator/trainer".to_owned()),
            "{values:?}"
        );
        assert!(values.contains(&"objectStorage.embedded.image.tag=12".to_owned()), "{values:?}");
    }
}
