//! `cargo xtask image`: the two images, for the local cluster or for a registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use cooperator_cluster::command::{command, output, run};
use cooperator_cluster::images::{self, Image, Recipe};
use cooperator_cluster::{Cluster, Progress, debian, paths};

/// Options of `cargo xtask image`.
#[derive(Args)]
pub struct Options {
    /// Build with --release and push to this registry, as HOST/cooperator/{operator,trainer}:TAG.
    /// Without it, the local cluster gets them
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,
    /// The tag in the registry
    #[arg(long, default_value = concat!("v", env!("CARGO_PKG_VERSION")), requires = "registry")]
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
    programs: &["cooperator-operator", "cooperator-gateway", "cooperator-settle"],
};

const TRAINER: Source = Source {
    name: "trainer",
    containerfile: "trainer-image/Containerfile",
    programs: &["cooperator-trainer", "cooperator-server"],
};

/// The images a whole installation needs, built for the local cluster.
pub struct Images {
    /// operator, gateway and settle.
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
        [
            ("image", &self.operator),
            ("trainerImage", &self.trainer),
            ("objectStorage.embedded.image", &self.garage),
        ]
        .into_iter()
        .flat_map(|(key, image)| {
            let repository = format!("{key}.repository={}", image.repository());
            // --set-string: a tag of digits alone is still a string.
            let tag = format!("{key}.tag={}", image.tag());
            ["--set-string".to_owned(), repository, "--set-string".to_owned(), tag]
        })
        .collect()
    }
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
            let images = build(progress)?;
            load(&cluster, &images)?;
            progress.say(&format!("The node has them; helm takes them by:\n  {}", images.values().join(" ")));
            Ok(())
        }
        Some(registry) => {
            for reference in publish(registry, &options.tag, options.base.as_deref(), progress)? {
                progress.say(&reference);
            }
            Ok(())
        }
    }
}

/// Builds every image with the dev profile, which tests share: nothing is compiled twice.
///
/// # Errors
/// When a build fails.
pub fn build(progress: &Progress) -> Result<Images> {
    let programs = programs(&[&OPERATOR, &TRAINER], false, progress)?;
    let local = |source: &Source| {
        with_recipe(source, &programs, Some(images::RUNTIME), |recipe| Ok(images::build(recipe, progress)?))
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

/// Builds our images with --release and pushes them; returns their references.
///
/// # Errors
/// When a build fails or the registry refuses.
pub fn publish(registry: &str, tag: &str, base: Option<&str>, progress: &Progress) -> Result<Vec<String>> {
    let sources = [&OPERATOR, &TRAINER];
    let programs = programs(&sources, true, progress)?;
    let push = |source: &&Source| {
        with_recipe(source, &programs, None, |recipe| {
            Ok(images::publish(recipe, registry, tag, base, progress)?)
        })
    };
    sources.iter().map(push).collect()
}

/// Compiles the programs of images and strips copies of them; returns where each lies.
fn programs(
    sources: &[&Source],
    release: bool,
    progress: &Progress,
) -> Result<BTreeMap<&'static str, PathBuf>> {
    let names: Vec<&'static str> = sources.iter().flat_map(|source| source.programs).copied().collect();
    let mut cargo = command("cargo", ["build", "--bins", "--message-format=json-render-diagnostics"]);
    cargo.current_dir(paths::workspace()).args(names.iter().flat_map(|name| ["--package", *name]));
    if release {
        cargo.arg("--release");
    }
    let messages = progress.during("Compiling our programs", None, || output("cargo build", &mut cargo))?;
    let built = executables(&messages);
    let stripped = paths::cache().join("programs").join(if release { "release" } else { "dev" });
    std::fs::create_dir_all(&stripped).with_context(|| format!("cannot create {}", stripped.display()))?;
    let mut programs = BTreeMap::new();
    for name in names {
        let program =
            built.get(name).with_context(|| format!("package {name} has no program of its own name"))?;
        let copy = stripped.join(name);
        strip(program, &copy)?;
        programs.insert(name, copy);
    }
    Ok(programs)
}

/// What cargo says it built: program and where it lies.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| {
            let executable = message["executable"].as_str()?.into();
            Some((message["target"]["name"].as_str()?.to_owned(), executable))
        })
        .collect()
}

/// Symbols and line tables are for the checkout; an image is smaller and loads faster without them.
fn strip(program: &Path, copy: &Path) -> Result<()> {
    let mut strip: Command = command("strip", ["--strip-all", "-o"]);
    strip.arg(copy).arg(program);
    Ok(run("strip", &mut strip, &paths::cache().join("logs/strip.log"))?)
}

fn with_recipe<T>(
    source: &Source,
    programs: &BTreeMap<&'static str, PathBuf>,
    base: Option<images::Base>,
    then: impl FnOnce(&Recipe<'_>) -> Result<T>,
) -> Result<T> {
    let containerfile = paths::workspace().join(source.containerfile);
    let files: Vec<(&str, &Path)> = source
        .programs
        .iter()
        .filter_map(|name| programs.get(name).map(|path| (*name, path.as_path())))
        .collect();
    then(&Recipe { name: source.name, containerfile: &containerfile, base, files: &files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_read_from_what_cargo_says() {
        let said = r#"{"reason":"compiler-artifact","target":{"name":"a-lib"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"cooperator-server"},"executable":"/t/debug/cooperator-server"}
{"reason":"build-finished","success":true}"#;
        let expected =
            BTreeMap::from([("cooperator-server".to_owned(), PathBuf::from("/t/debug/cooperator-server"))]);
        assert_eq!(executables(said), expected);
    }

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
