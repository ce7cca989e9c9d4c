//! The story of `examples/presidents`, told on a cluster where Cooperator is installed: members pool their works, an
//! adapter is trained, people ask it, and what they paid is split. The demo tells it to people, the end-to-end tests
//! check it. It uses only what a user has: manifests, `kubectl`'s API, S3, HTTP.

pub mod ask;
pub mod cluster;
pub mod inputs;
pub mod rented;
pub mod settle;
pub mod upload;
pub mod wait;

use std::path::{Path, PathBuf};

use anyhow::Result;
use cooperator_api::{
    base_model::BaseModel, collective::Collective, dataset::Dataset, deployment::Deployment,
    fine_tune::FineTune,
};
use cooperator_cluster::progress::Progress;
use cooperator_contract::settle::Statement;

use crate::cluster::Cluster;

/// Namespace and name of the story's Collective.
pub const PRESIDENTS: &str = "presidents";

/// What happened, for whoever checks it.
#[derive(Debug)]
pub struct Told {
    /// The Dataset as it was built.
    pub dataset: Dataset,
    /// The FineTune as it ended.
    pub fine_tune: FineTune,
    /// Every answer of the model.
    pub answers: Vec<ask::Answer>,
    /// The closed period.
    pub statement: Statement,
}

/// Tells the story. `examples` is the folder of that name, `cache` keeps downloaded inputs. What is there already is
/// used as it is, so that a second telling goes on where the first stopped.
///
/// # Errors
/// The first step that fails, with what the cluster says about it and how to go on.
pub async fn tell(cluster: &Cluster, examples: &Path, cache: &Path, progress: &Progress) -> Result<Told> {
    let folder = examples.join(PRESIDENTS);
    let manifest = |name: &str| -> PathBuf { folder.join(format!("{name}.yaml")) };
    let inputs = inputs::fetch(cache, progress)?;

    cluster.apply(&manifest("namespace")).await?;
    cluster.apply(&manifest("collective")).await?;
    let collective: Collective = wait::ready(cluster, PRESIDENTS, progress).await?;
    upload::upload(cluster, &collective, &inputs, progress).await?;

    for name in ["basemodel", "contributions", "dataset", "finetune", "deployment", "apikey"] {
        cluster.apply(&manifest(name)).await?;
    }
    let _: BaseModel = wait::ready(cluster, "smollm2-135m", progress).await?;
    let dataset: Dataset = wait::ready(cluster, "addresses", progress).await?;
    say_contributions(&dataset, progress);
    let fine_tune: FineTune = wait::ready(cluster, "addresses-v1", progress).await?;
    say_evaluation(&fine_tune, progress);
    let _: Deployment = wait::ready(cluster, PRESIDENTS, progress).await?;

    let answers = ask::ask(cluster, progress).await?;
    let statement = settle::close(cluster, progress).await?;
    Ok(Told { dataset, fine_tune, answers, statement })
}

fn say_contributions(dataset: &Dataset, progress: &Progress) {
    let Some(status) = &dataset.status else { return };
    for row in &status.contributions {
        let what = match (&row.reason, &row.message) {
            (Some(reason), message) => {
                format!("refused, {reason}: {}", message.as_deref().unwrap_or_default())
            }
            _ => format!("{} records, {} tokens", row.records.unwrap_or(0), row.tokens.unwrap_or(0)),
        };
        progress.say(&format!("    {:<24} {what}", row.name));
    }
}

fn say_evaluation(fine_tune: &FineTune, progress: &Progress) {
    let Some(evaluation) = fine_tune.status.as_ref().and_then(|status| status.evaluation.as_ref()) else {
        return;
    };
    progress.say(&format!(
        "    held-out loss {} -> {} nats a token, perplexity {} -> {}",
        evaluation.base.loss,
        evaluation.adapted.loss,
        evaluation.base.perplexity,
        evaluation.adapted.perplexity
    ));
}
