//! Importing a base model: fetched, checked, in Hugging Face layout, as blobs with a manifest.

use std::path::{Path, PathBuf};

use cooperator_contract::layout;
use cooperator_contract::manifest::{File, ModelManifest};
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::ImportTask;
use cooperator_data::source::Fetched;
use cooperator_models::config::LlamaConfig;
use cooperator_models::gguf::{self, GgufError};
use cooperator_models::tokenizer::Tokenizer;
use cooperator_models::weights::{Weights, WeightsError};

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
    match fetched.files.as_slice() {
        [one] if is_gguf(&one.path) => {
            let config =
                gguf::convert(&one.path, folder).map_err(|error| Failure::new(gguf_reason(&error), error))?;
            return Ok((config, names(folder)?));
        }
        files => {
            for file in files {
                // Files of a claim lie elsewhere: one folder for all, without a copy.
                std::os::unix::fs::symlink(absolute(&file.path)?, folder.join(&file.name))
                    .map_err(Failure::internal)?;
            }
        }
    }
    let config = LlamaConfig::from_json(&read(folder, "config.json")?)
        .map_err(|error| Failure::new(FailureReason::UnsupportedModel, error))?;
    Weights::read(&config, folder).map_err(|error| Failure::new(weights_reason(&error), error))?;
    Tokenizer::for_vocabulary(&read(folder, "tokenizer.json")?, config.vocab_size)
        .map_err(|error| Failure::new(FailureReason::UnsupportedModel, error))?;
    Ok((config, names(folder)?))
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

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(folder.join(name)).map_err(|_| {
        let message =
            format!("the source has no {name}; point it at a Hugging Face folder or one .gguf file");
        Failure::new(FailureReason::SourceUnreadable, message)
    })
}

fn is_gguf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
}

fn weights_reason(error: &WeightsError) -> FailureReason {
    match error {
        WeightsError::Io { .. } | WeightsError::Tensor { .. } => FailureReason::Internal,
        WeightsError::Missing
        | WeightsError::Pickle { .. }
        | WeightsError::HeaderTooLarge { .. }
        | WeightsError::Malformed { .. }
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
