//! Fetching the base model and the adapter by digest. Nothing is used whose bytes do not have the digest that the
//! run file, or a manifest that it vouches for, gives.

use std::path::Path;
use std::sync::Arc;

use cooperator_contract::layout;
use cooperator_contract::manifest::{AdapterManifest, File, ModelManifest};
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::run::ServeTask;
use cooperator_core::digest::Digest;
use cooperator_models::chat::{ChatError, ChatTemplate};
use cooperator_models::config::{ConfigError, LlamaConfig};
use cooperator_models::infer::{InferError, InferModel};
use cooperator_models::lora::{LoraAdapter, LoraError};
use cooperator_models::tokenizer::{Tokenizer, TokenizerError};
use cooperator_models::weights::{Weights, WeightsError};
use cooperator_store::Store;

/// Why the model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Object storage failed, or what it holds has another digest.
    #[error(transparent)]
    Store(#[from] cooperator_store::Error),
    /// A manifest names a file by a path.
    #[error("the manifest names a file `{0}`; file names hold no folders")]
    FileName(String),
    /// The folder lacks a file that every model has.
    #[error("the manifest of {digest} has no file `{name}`")]
    FileMissing {
        /// Base model or adapter.
        digest: Digest,
        /// Which file.
        name: &'static str,
    },
    /// The adapter was trained on another base.
    #[error("adapter {adapter} was trained on base model {trained_on}, this Deployment serves {serves}")]
    OtherBase {
        /// The adapter.
        adapter: Digest,
        /// Its base.
        trained_on: Digest,
        /// The base here.
        serves: Digest,
    },
    /// A local file failed.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The shape.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The adapter's tensors.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// Laying out the weights.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The task that loads was ended.
    #[error("loading was broken off")]
    BrokenOff,
}

impl LoadError {
    /// As a condition reason.
    pub fn reason(&self) -> FailureReason {
        use cooperator_store::Error as E;
        match self {
            Self::Store(E::NotFound { .. }) => FailureReason::SourceNotFound,
            Self::Store(E::Forbidden { .. }) => FailureReason::SourceForbidden,
            Self::Store(E::Corrupt { .. }) => FailureReason::DigestMismatch,
            Self::Store(E::Malformed { .. }) => FailureReason::SourceUnreadable,
            Self::Store(_) => FailureReason::StorageUnavailable,
            Self::FileName(_) | Self::FileMissing { .. } | Self::OtherBase { .. } => {
                FailureReason::SourceUnreadable
            }
            Self::Config(_) => FailureReason::UnsupportedModel,
            Self::Weights(_) | Self::Lora(_) | Self::Tokenizer(_) | Self::Chat(_) => {
                FailureReason::SourceUnreadable
            }
            Self::Io { .. } | Self::Infer(_) | Self::BrokenOff => FailureReason::Internal,
        }
    }
}

/// A model ready to be given to the engine.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: InferModel,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template, if it has one.
    pub chat: Option<ChatTemplate>,
}

/// Fetches, verifies and loads what `task` names.
///
/// # Errors
/// [`LoadError`]; nothing is served then.
pub async fn load(store: &Store, task: &ServeTask) -> Result<Loaded, LoadError> {
    let folder = tempfile::tempdir().map_err(|source| io("temporary folder", source))?;
    let base: ModelManifest = store.get_manifest(&layout::model(&task.base_model), &task.base_model).await?;
    for file in &base.files {
        check_name(file)?;
        tracing::info!(file = file.name, bytes = file.bytes, "fetching");
        store.get_blob_file(&file.digest, &folder.path().join(&file.name)).await?;
    }
    let adapter = match &task.adapter {
        Some(digest) => Some(fetch_adapter(store, digest, &task.base_model).await?),
        None => None,
    };
    let base_digest = task.base_model;
    let work = move || assemble(folder.path(), &base_digest, adapter.as_ref());
    tokio::task::spawn_blocking(work).await.map_err(|_| LoadError::BrokenOff)?
}

/// An adapter's two files, verified.
struct AdapterFiles {
    config: bytes::Bytes,
    tensors: bytes::Bytes,
}

async fn fetch_adapter(store: &Store, digest: &Digest, base: &Digest) -> Result<AdapterFiles, LoadError> {
    let manifest: AdapterManifest =
        store.get_manifest(&layout::adapter(digest, "manifest.json"), digest).await?;
    if manifest.base_model != *base {
        return Err(LoadError::OtherBase {
            adapter: *digest,
            trained_on: manifest.base_model,
            serves: *base,
        });
    }
    // Every file is verified, those too that serving does not need: what is Ready is whole.
    let (mut config, mut tensors) = (None, None);
    for file in &manifest.files {
        check_name(file)?;
        let bytes = store.get_verified(&layout::adapter(digest, &file.name), &file.digest).await?;
        match file.name.as_str() {
            "adapter_config.json" => config = Some(bytes),
            "adapter_model.safetensors" => tensors = Some(bytes),
            _ => {}
        }
    }
    let missing = |name| LoadError::FileMissing { digest: *digest, name };
    Ok(AdapterFiles {
        config: config.ok_or_else(|| missing("adapter_config.json"))?,
        tensors: tensors.ok_or_else(|| missing("adapter_model.safetensors"))?,
    })
}

fn assemble(folder: &Path, base: &Digest, adapter: Option<&AdapterFiles>) -> Result<Loaded, LoadError> {
    let config = LlamaConfig::from_json(&read(folder, base, "config.json")?)?;
    let tokenizer = Tokenizer::for_vocabulary(&read(folder, base, "tokenizer.json")?, config.vocab_size)?;
    let chat = match read(folder, base, "tokenizer_config.json") {
        Ok(bytes) => match ChatTemplate::from_tokenizer_config(&bytes, present_time) {
            Ok(chat) => Some(chat),
            Err(ChatError::NoTemplate) => None,
            Err(error) => return Err(error.into()),
        },
        Err(LoadError::FileMissing { .. }) => None,
        Err(error) => return Err(error),
    };
    let adapter = match adapter {
        Some(files) => Some(LoraAdapter::from_peft(&config, &files.config, &files.tensors)?),
        None => None,
    };
    let weights = Weights::read(&config, folder)?;
    let model = InferModel::new(&config, &weights, adapter.as_ref())?;
    Ok(Loaded { model, tokenizer: Arc::new(tokenizer), chat })
}

/// For templates that write the date.
fn present_time(format: &str) -> String {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now()).unwrap_or_default()
}

fn read(folder: &Path, digest: &Digest, name: &'static str) -> Result<Vec<u8>, LoadError> {
    match std::fs::read(folder.join(name)) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(LoadError::FileMissing { digest: *digest, name })
        }
        Err(source) => Err(io(name, source)),
    }
}

fn check_name(file: &File) -> Result<(), LoadError> {
    let plain = !file.name.is_empty() && !file.name.starts_with('.') && !file.name.contains(['/', '\\']);
    if plain { Ok(()) } else { Err(LoadError::FileName(file.name.escape_debug().to_string())) }
}

fn io(file: &str, source: std::io::Error) -> LoadError {
    LoadError::Io { file: file.to_owned(), source }
}
