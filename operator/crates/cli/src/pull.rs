//! `kubectl coop pull`: an adapter as files, for any program that reads the PEFT layout; with its base model, if asked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_contract::layout;
use cooperator_contract::manifest::{AdapterManifest, File, ModelManifest};
use cooperator_core::digest::Digest;
use cooperator_store::Store;
use indicatif::{ProgressBar, ProgressStyle};
use kube::ResourceExt as _;

use crate::access::Access;
use crate::storage;

/// File whose digest is the adapter's.
const MANIFEST: &str = "manifest.json";

/// Options of `pull`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The FineTune
    pub name: String,
    /// Where to; it is made. What is there under the same names is replaced
    pub folder: PathBuf,
    /// Also the base model, into the folder `base` below it, in Hugging Face layout
    #[arg(long)]
    pub base: bool,
}

/// Fetches every file and checks it against the digest in the FineTune's status.
///
/// # Errors
/// When there is no adapter yet, the bucket does not answer, or a file is not what its digest says.
pub async fn pull(access: &Access, options: &Options) -> Result<()> {
    let tune: FineTune = access.get(&options.name).await?;
    let (home, digest) = found(&tune)?;
    let collective: Collective = access.get(&home).await?;
    let bucket = storage::open(&access.client, &collective).await?;
    let manifest = adapter(&bucket.store, &digest, &options.folder).await?;
    println(&format!("{digest} in {}", options.folder.display()));
    if options.base {
        let folder = options.folder.join("base");
        base(&bucket.store, &manifest.base_model, &folder).await?;
        println(&format!("{} in {}", manifest.base_model, folder.display()));
    }
    Ok(())
}

/// The Collective whose bucket has it, and the adapter's digest.
fn found(tune: &FineTune) -> Result<(String, Digest)> {
    let name = tune.name_any();
    let status = tune.status.as_ref();
    let Some(adapter) = status.and_then(|status| status.adapter.as_ref()) else {
        bail!("FineTune `{name}` has no adapter yet: kubectl coop why finetune/{name}")
    };
    let home = status.and_then(|status| status.collective.clone());
    Ok((home.with_context(|| format!("FineTune `{name}` names no Collective"))?, adapter.digest.parse()?))
}

/// Fetches an adapter in PEFT layout, its card and its provenance.
///
/// # Errors
/// When a file is missing or not what the manifest says.
pub async fn adapter(store: &Store, digest: &Digest, folder: &Path) -> Result<AdapterManifest> {
    let manifest: AdapterManifest = store.get_manifest(&layout::adapter(digest, MANIFEST), digest).await?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let prefix = layout::adapter(digest, "");
    let keys: Vec<String> = store.list(&prefix).await?.into_iter().map(|object| object.key).collect();
    let bar = bar(keys.len());
    for key in &keys {
        let name = plain(key.strip_prefix(&prefix).unwrap_or(key))?;
        bar.set_message(name.to_owned());
        let listed = manifest.files.iter().find(|file| file.name == name).map(|file| file.digest);
        let expected = if name == MANIFEST { Some(*digest) } else { listed };
        store.get_to_file(key, &folder.join(name), expected.as_ref()).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    for File { name, .. } in &manifest.files {
        let there = keys.contains(&layout::adapter(digest, name));
        anyhow::ensure!(
            there,
            "the bucket has no {}: the adapter is not whole",
            store.uri(&layout::adapter(digest, name))
        );
    }
    Ok(manifest)
}

/// Fetches a base model in Hugging Face layout.
///
/// # Errors
/// When a file is missing or not what the manifest says.
pub async fn base(store: &Store, digest: &Digest, folder: &Path) -> Result<()> {
    let manifest: ModelManifest = store.get_manifest(&layout::model(digest), digest).await?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let bar = bar(manifest.files.len());
    for file in &manifest.files {
        bar.set_message(file.name.clone());
        store.get_blob_file(&file.digest, &folder.join(plain(&file.name)?)).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// A name that stays in its folder.
fn plain(name: &str) -> Result<&str> {
    let stays = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
    if stays {
        Ok(name)
    } else {
        bail!("`{}` is no plain file name: nothing is written there", name.escape_debug())
    }
}

fn bar(files: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} {bar:20} {msg}");
    let bar = ProgressBar::new(files as u64);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn println(line: &str) {
    use std::io::Write as _;
    // A closed stdout is the reader's wish.
    drop(writeln!(std::io::stdout(), "{line}"));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cooperator_contract::run::{LoraOptions, Schedule, TrainingOptions};
    use cooperator_store::testing::Server;
    use serde_json::json;

    use super::*;

    const HOME: &str = "band";

    /// An adapter of one file, with a card that the manifest does not list.
    async fn published(server: &Server, name: &str, bytes: &'static [u8]) -> Digest {
        let file = File { name: name.into(), digest: Digest::of(b"weights"), bytes: 7 };
        let manifest = AdapterManifest {
            base_model: Digest::of(b"model"),
            dataset: Digest::of(b"dataset"),
            lora: LoraOptions { rank: 1, alpha: 1, dropout: "0".into(), target_modules: vec![] },
            training: TrainingOptions {
                max_steps: 1,
                batch_size: 1,
                sequence_length: 2,
                gradient_accumulation: 1,
                learning_rate: "1".into(),
                schedule: Schedule::Constant,
                warmup_steps: 0,
                weight_decay: "0".into(),
                clip_norm: "1".into(),
                seed: 1,
            },
            files: vec![file],
            attribution: vec![],
        };
        let store = server.store(HOME);
        let digest = store.put_manifest(|digest| layout::adapter(digest, MANIFEST), &manifest).await.unwrap();
        for (name, bytes) in [(name, bytes), ("README.md", b"card")] {
            store.put(&layout::adapter(&digest, name), Bytes::from_static(bytes)).await.unwrap();
        }
        digest
    }

    #[tokio::test]
    async fn an_adapter_is_fetched_whole_and_checked() {
        let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
        let digest = published(&server, "adapter_model.safetensors", b"weights").await;
        adapter(&server.store(HOME), &digest, folder.path()).await.unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("adapter_model.safetensors"), read("README.md")),
            (b"weights".into(), b"card".into())
        );
        assert_eq!(Digest::of(&read(MANIFEST)), digest);
    }

    #[tokio::test]
    async fn weights_that_are_not_what_the_manifest_says_are_refused() {
        let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
        let digest = published(&server, "adapter_model.safetensors", b"another").await;
        let error = adapter(&server.store(HOME), &digest, folder.path()).await.unwrap_err();
        assert!(error.to_string().contains("adapter_model.safetensors"), "{error:#}");
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        for name in ["../x", "a/b", "..", "", "a\\b"] {
            assert!(plain(name).is_err(), "{name}");
        }
        assert_eq!(plain("README.md").unwrap(), "README.md");
    }

    #[test]
    fn a_fine_tune_without_an_adapter_says_where_to_look() {
        let spec = json!({"baseModelRef": {"name": "m"}, "datasetRef": {"name": "d"}});
        let tune: FineTune = serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "FineTune", "metadata": {"name": "v1"}, "spec": spec,
        }))
        .unwrap();
        let error = found(&tune).unwrap_err().to_string();
        assert_eq!(error, "FineTune `v1` has no adapter yet: kubectl coop why finetune/v1");
    }
}
