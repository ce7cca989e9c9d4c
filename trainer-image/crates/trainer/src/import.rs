//! Importing a base model: fetched, checked, in Hugging Face layout, as blobs with a manifest.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use cooperator_contract::layout;
use cooperator_contract::manifest::{File, ModelManifest};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::ImportTask;
use cooperator_data::source::Fetched;
use cooperator_models::chat::{ChatError, ChatTemplate};
use cooperator_models::config::LlamaConfig;
use cooperator_models::gguf::{self, GgufError};
use cooperator_models::tokenizer::{self, Tokenizer};
use cooperator_models::weights::{self, Weights, WeightsError};

use crate::failure::Failure;
use crate::run::Context;

/// Files of a Hugging Face folder that are kept, beside `model*.safetensors`.
const KEPT: [&str; 4] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"];

/// Brings the model into storage. The manifest comes last, so a model that is listed is whole.
///
/// # Errors
/// [`Failure`] with the reason of the source, of the digest, or [`FailureReason::UnsupportedModel`].
pub async fn import(context: &Context, task: &ImportTask) -> Result<Outcome, Failure> {
    context.reporter.phase("downloading", 0);
    let fetched = context.reader.fetch(&task.source, &context.work.join("source"), is_kept).await?;
    context.reporter.phase("converting", 50);
    let folder = context.work.join("model");
    let made = folder.clone();
    let source_digest = fetched.digest;
    // Reading and converting keeps a thread busy for seconds.
    let prepared = tokio::task::spawn_blocking(move || prepare(&fetched, &made));
    let (config, names) = prepared.await.map_err(Failure::internal)??;
    context.reporter.phase("uploading", 70);
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = folder.join(&name);
        let digest = context.store.put_blob_file(&path).await?;
        let bytes = tokio::fs::metadata(&path).await.map_err(Failure::internal)?.len();
        files.push(File { name, digest, bytes });
    }
    let manifest = ModelManifest {
        architecture: config.model_type.clone(),
        parameters: config.parameters(),
        license: task.license.clone(),
        source_digest,
        files,
    };
    let digest = context.store.put_manifest(layout::model, &manifest).await?;
    Ok(Outcome::Succeeded { digest, key: layout::model(&digest) })
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name)
        || (name.starts_with("model") && name.ends_with(".safetensors") && !name.contains('/'))
}

/// Puts the model into `folder` and loads it as those do who train and serve it. Returns its shape and the names of
/// its files, sorted.
fn prepare(fetched: &Fetched, folder: &Path) -> Result<(LlamaConfig, Vec<String>), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::internal)?;
    let config = match fetched.files.as_slice() {
        [one] if is_gguf(&one.path) => {
            gguf::convert(&one.path, folder).map_err(|error| Failure::new(gguf_reason(&error), error))?
        }
        files => {
            for file in files {
                // Files of a claim lie elsewhere: one folder for all, without a copy.
                std::os::unix::fs::symlink(absolute(&file.path)?, folder.join(&file.name))
                    .map_err(Failure::internal)?;
            }
            check(folder)?
        }
    };
    check_chat(folder)?;
    // Of weights only what was read: a shard that no index names would be published without a look into it.
    let used = weights::files(folder).map_err(|error| Failure::new(weights_reason(&error), error))?;
    let is_used = |name: &String| !name.ends_with(".safetensors") || used.contains(name);
    Ok((config, names(folder)?.into_iter().filter(is_used).collect()))
}

/// Loads a model in Hugging Face layout.
fn check(folder: &Path) -> Result<LlamaConfig, Failure> {
    let config = LlamaConfig::from_json(&read(folder, "config.json")?)
        .map_err(|error| Failure::new(FailureReason::UnsupportedModel, error))?;
    Weights::read(&config, folder).map_err(|error| Failure::new(weights_reason(&error), error))?;
    Tokenizer::for_vocabulary(&read(folder, "tokenizer.json")?, config.vocab_size)
        .map_err(|error| Failure::new(FailureReason::UnsupportedModel, error))?;
    Ok(config)
}

/// A chat template that is no template would be noticed when the model is to be served, after all the training.
fn check_chat(folder: &Path) -> Result<(), Failure> {
    const FILE: &str = "tokenizer_config.json";
    if !folder.join(FILE).is_file() {
        return Ok(());
    }
    match ChatTemplate::from_tokenizer_config(&read(folder, FILE)?, |_| String::new()) {
        Ok(_) | Err(ChatError::NoTemplate) => Ok(()),
        Err(error) => Err(Failure::new(FailureReason::UnsupportedModel, error)),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::internal)
}

fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Failure::internal)? {
        names.push(entry.map_err(Failure::internal)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A file of the folder, and no more of it than any may have: whoever reads it refuses what is longer.
fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(folder.join(name))
        .and_then(|file| file.take(tokenizer::MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|_| {
        let message =
            format!("the source has no {name}; point it at a Hugging Face folder or one .gguf file");
        Failure::new(FailureReason::SourceUnreadable, message)
    })
}

fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
}

fn weights_reason(error: &WeightsError) -> FailureReason {
    match error {
        WeightsError::Io { .. } | WeightsError::Tensor { .. } => FailureReason::Internal,
        WeightsError::Missing
        | WeightsError::Pickle { .. }
        | WeightsError::Stored { .. }
        | WeightsError::Index { .. }
        | WeightsError::Duplicate { .. }
        | WeightsError::NotFinite { .. } => FailureReason::SourceUnreadable,
        WeightsError::TensorsMissing { .. }
        | WeightsError::UnexpectedTensor { .. }
        | WeightsError::Shape { .. }
        | WeightsError::Type { .. } => FailureReason::UnsupportedModel,
    }
}

fn gguf_reason(error: &GgufError) -> FailureReason {
    match error {
        GgufError::Io { .. } => FailureReason::Internal,
        GgufError::Weights(error) => weights_reason(error),
        GgufError::Malformed { .. } => FailureReason::SourceUnreadable,
        _ => FailureReason::UnsupportedModel,
    }
}
