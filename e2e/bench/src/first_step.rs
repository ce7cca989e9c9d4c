//! How long a FineTune waits for its first step on a cluster where Cooperator is installed and the story of
//! `examples/presidents` was told: model and dataset are ready, the image is on the node.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names;
use cooperator_cluster::Progress;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};

use crate::figures::{Goal, Sample, Section, Table};
use crate::home::until;
use crate::machine::load;

const NAMESPACE: &str = "presidents";
/// Whose model and dataset are trained with.
const LIKE: &str = "addresses-v1";
/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(180);

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The cluster
    #[arg(long)]
    kubeconfig: PathBuf,
    /// FineTunes
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// Applies one FineTune after the other and waits for its first step.
///
/// # Errors
/// When the story was not told on this cluster, or no step comes.
pub async fn first_step(options: &Options) -> Result<Section> {
    let progress = Progress::new();
    let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let tunes: Api<FineTune> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let like = tunes.get_opt(LIKE).await?;
    let like =
        like.with_context(|| format!("no FineTune {NAMESPACE}/{LIKE}: run `cargo xtask demo` first"))?;
    let before = load();
    let (mut step, mut job) = (Sample::default(), Sample::default());
    for run in 1..=options.runs {
        let name = format!("bench-{run}");
        gone(&tunes, &pods, &name).await?;
        let times = trained(&tunes, &like, &name).await?;
        progress.say(&format!("{run}/{}: {:.1} s", options.runs, times.step.as_secs_f64()));
        step.push(times.step.as_secs_f64());
        job.push(times.attempt.as_secs_f64());
        gone(&tunes, &pods, &name).await?;
    }
    let mut table = Table::new(&["runs", "attempt written down, s", "first step seen in status, s"]);
    table.row([step.runs().to_string(), job.to_string(), step.to_string()]);
    let text = format!(
        "From applying a FineTune (SmolLM2-135M, the presidents' dataset, the trainer's image on the node) until its status \
         tells of its first step; a new phase and its first step are written at once, else progress at most every 5 s. Load average at the beginning {before}.\n\n{table}"
    );
    let goals = vec![Goal::at_most("first step after apply", 15.0, " s", step.median())];
    Ok(Section { name: "first-step", text, goals })
}

struct Times {
    attempt: Duration,
    step: Duration,
}

/// Applies a FineTune like another one, and waits for its first step.
async fn trained(tunes: &Api<FineTune>, like: &FineTune, name: &str) -> Result<Times> {
    let mut tune = FineTune::new(name, like.spec.clone());
    tune.spec.training.max_steps = 20;
    tune.spec.evaluation.prompts.clear();
    tune.spec.evaluation.gates.clear();
    tune.spec.evaluation.max_tokens = 256;
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = std::pin::pin!(watcher(tunes.clone(), only).default_backoff().applied_objects());
    let began = Instant::now();
    tunes.patch(name, &PatchParams::apply("cooperator-bench"), &Patch::Apply(&tune)).await?;
    let mut attempt = None;
    while let Some(tune) =
        tokio::time::timeout(PATIENCE, changes.try_next()).await.context("no step came")??
    {
        let Some(status) = tune.status else { continue };
        if !status.attempts.is_empty() {
            attempt.get_or_insert_with(|| began.elapsed());
        }
        let failed = status.conditions.iter().find(|found| found.type_ == "Failed" && found.status == "True");
        ensure!(failed.is_none(), "FineTune {name} failed: {failed:?}");
        if status.progress.and_then(|progress| progress.step).is_some_and(|step| step > 0) {
            return Ok(Times { attempt: attempt.unwrap_or_default(), step: began.elapsed() });
        }
    }
    bail!("the watch on FineTune {name} ended")
}

/// Deletes it and waits until it is gone, and its pod, which writes a checkpoint first: the node has no room for two.
async fn gone(tunes: &Api<FineTune>, pods: &Api<Pod>, name: &str) -> Result<()> {
    match tunes.delete(name, &DeleteParams::foreground()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error.into()),
    }
    let labels = format!("{}=finetune,{}={name}", names::LABEL_KIND, names::LABEL_NAME);
    let of_it = ListParams::default().labels(&labels);
    until("the FineTune and its pod are gone", async || {
        Ok(tunes.get_opt(name).await?.is_none() && pods.list(&of_it).await?.items.is_empty())
    })
    .await
}
