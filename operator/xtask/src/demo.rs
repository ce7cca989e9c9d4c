//! `cargo xtask demo`: from nothing to the presidents' statement, on a real Kubernetes.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use cooperator_cluster::command::{command, shown};
use cooperator_cluster::tools::{self, Tool};
use cooperator_cluster::{Cluster, Progress, debian, paths};
use serde_json::json;

use crate::workspace::Programs;
use crate::{cluster, image, install, plugin, rented};

/// The program that enforces NetworkPolicies in the local cluster.
pub const ENFORCER: &str = "cooperator-enforcer";

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub struct Options {
    /// The story to tell after that of examples/presidents
    #[arg(long, value_enum, conflicts_with = "kubeconfig")]
    story: Option<Story>,
    /// Tell the story on this cluster instead of a local one; it must be able to pull from --registry
    #[arg(long, value_name = "FILE", requires = "registry")]
    kubeconfig: Option<PathBuf>,
    /// Where our images are pushed for that cluster
    #[arg(long, value_name = "HOST", requires = "kubeconfig")]
    registry: Option<String>,
    /// The image to start ours from there, instead of the one the Containerfiles name
    #[arg(long, value_name = "IMAGE", requires = "registry")]
    base: Option<String>,
}

/// A story beside that of examples/presidents.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Story {
    /// examples/rented: trains on machines that are rented for it, one of which is taken back
    Rented,
}

/// Builds, installs, tells the story, and leaves all of it up.
///
/// # Errors
/// The first step that fails, with its cause and the way to go on. A second run uses what is there.
pub fn demo(options: &Options, progress: &Progress) -> Result<()> {
    match (&options.kubeconfig, &options.registry) {
        (Some(kubeconfig), Some(registry)) => {
            debian::ensure(progress)?;
            tools::ensure(&[tools::HELM, tools::KUBERNETES], progress)?;
            let programs = Programs::build(progress)?;
            // No tag: a cluster that has an image of this name has this one, since its digest is in the name.
            let references = image::publish(&programs, registry, None, options.base.as_deref(), progress)?;
            install::install(kubeconfig, &image::values_of(&references), &json!({}), progress)?;
            story(&programs, kubeconfig, None)
        }
        _ => {
            let programs = made(&[], progress)?;
            let local = installed(&programs, progress)?;
            story(&programs, &local.kubeconfig, options.story)?;
            progress.say(&cluster::way_on(&local));
            Ok(())
        }
    }
}

/// What the cluster is made of, other tools, and our programs, made beside each other: each alone leaves a core idle for
/// minutes. Debian's packages come before both, since compilers are among them.
///
/// # Errors
/// When a package, a tool or our programs cannot be had.
pub fn made(others: &[Tool], progress: &Progress) -> Result<Programs> {
    debian::ensure(progress)?;
    let tools = || tools::ensure(&[&tools::ALL, others].concat(), progress);
    thread::scope(|scope| {
        let tools = scope.spawn(tools);
        let programs = Programs::build(progress);
        tools.join().map_err(|_| anyhow!("building the tools panicked"))??;
        programs
    })
}

/// A local cluster with the chart installed, with images of these programs.
///
/// # Errors
/// When something does not come up.
pub fn installed(programs: &Programs, progress: &Progress) -> Result<Cluster> {
    plugin::install(programs)?;
    let images = image::build(programs, progress)?;
    let cluster = Cluster::up(&paths::cluster_state(), programs.path(ENFORCER)?, progress)?;
    progress.during("Handing the images to the node", None, || image::load(&cluster, &images))?;
    let machines = progress.during("Putting machines up for rent", None, || {
        rented::start(programs, &images.trainer, progress)
    })?;
    install::install(&cluster.kubeconfig, &images.values(), &machines, progress)?;
    Ok(cluster)
}

/// Tells a story; what `examples/presidents` makes is the ground of all others.
fn story(programs: &Programs, kubeconfig: &Path, which: Option<Story>) -> Result<()> {
    let mut story = command(programs.path("cooperator-story")?, ["--kubeconfig"]);
    story.arg(kubeconfig).arg("--examples").arg(paths::workspace().join("examples"));
    story.arg("--cache").arg(paths::cache());
    if which == Some(Story::Rented) {
        story.arg("--cloud").arg(rented::cloud());
    }
    Ok(shown("the story", &mut story)?)
}
