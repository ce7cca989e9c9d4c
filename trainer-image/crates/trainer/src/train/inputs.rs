//! What a training starts from, every byte checked against its digest.

use cooperator_contract::layout;
use cooperator_contract::manifest::{DatasetManifest, ModelManifest, Record, Shard};
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::run::TrainTask;
use cooperator_data::tokens::Tokens;
use cooperator_models::config::LlamaConfig;
use cooperator_models::tokenizer::Tokenizer;
use cooperator_models::weights::Weights;

use super::unsupported;
use crate::failure::Failure;
use crate::run::Context;

/// Inputs in memory: weights as stored, records as text.
pub(super) struct Inputs {
    pub config: LlamaConfig,
    pub weights: Weights,
    /// For samples.
    pub tokenizer: Tokenizer,
    /// For training texts.
    pub tokens: Tokens,
    pub dataset: DatasetManifest,
    pub train: Vec<Record>,
    pub held_out: Vec<Record>,
}

/// What the base model consists of.
pub(super) async fn base_model(context: &Context, task: &TrainTask) -> Result<ModelManifest, Failure> {
    Ok(context.store.get_manifest(&layout::model(&task.base_model), &task.base_model).await?)
}

/// Fetches the base model and the dataset version that the task names.
#[tracing::instrument(name = "download", skip_all)]
pub(super) async fn load(
    context: &Context,
    task: &TrainTask,
    model: &ModelManifest,
) -> Result<Inputs, Failure> {
    let store = &context.store;
    let key = layout::dataset(&task.dataset, &task.dataset_digest);
    let dataset: DatasetManifest = store.get_manifest(&key, &task.dataset_digest).await?;
    let folder = context.work.join("base");
    tokio::fs::create_dir_all(&folder).await.map_err(Failure::internal)?;
    for file in &model.files {
        if file.name.contains('/') {
            return Err(Failure::new(
                FailureReason::SourceUnreadable,
                format!("base model file `{}` is no plain name; import it again", file.name),
            ));
        }
        store.get_blob_file(&file.digest, &folder.join(&file.name)).await?;
    }
    let train = records(context, &dataset.shards).await?;
    let held_out = records(context, &dataset.held_out).await?;
    let read = move || {
        let file = |name: &str| {
            std::fs::read(folder.join(name)).map_err(|error| Failure::internal(format!("{name}: {error}")))
        };
        let config = LlamaConfig::from_json(&file("config.json")?).map_err(unsupported)?;
        let weights = Weights::read(&config, &folder).map_err(unsupported)?;
        let json = file("tokenizer.json")?;
        let tokenizer = Tokenizer::for_vocabulary(&json, config.vocab_size).map_err(unsupported)?;
        let tokens = Tokens::from_json(&json).map_err(unsupported)?;
        // The weights are in memory now: the disk is not needed again.
        std::fs::remove_dir_all(&folder).map_err(Failure::internal)?;
        Ok::<_, Failure>((config, weights, tokenizer, tokens))
    };
    let (config, weights, tokenizer, tokens) =
        tokio::task::spawn_blocking(read).await.map_err(Failure::internal)??;
    Ok(Inputs { config, weights, tokenizer, tokens, dataset, train, held_out })
}

async fn records(context: &Context, shards: &[Shard]) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for shard in shards {
        let bytes = context.store.get_blob(&shard.digest).await?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            records.push(serde_json::from_slice(line).map_err(|error| {
                let message = format!(
                    "dataset shard {}: not a record ({error}); build the dataset again",
                    shard.digest
                );
                Failure::new(FailureReason::SourceUnreadable, message)
            })?);
        }
    }
    Ok(records)
}
