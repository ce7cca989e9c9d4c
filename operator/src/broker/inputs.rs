//! What the storage itself says about a request: which blobs the inputs of a run consist of, and whose an adapter is.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cooperator_contract::broker::Scope;
use cooperator_contract::layout;
use cooperator_contract::manifest::{DatasetManifest, ModelManifest};
use cooperator_core::digest::Digest;
use cooperator_store::{Error, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Manifests remembered.
const MOST_MANIFESTS: usize = 32;
/// Largest manifest read, in bytes.
const MOST_BYTES: u64 = 32 << 20;
/// Largest provenance read, in bytes.
const MOST_PROVENANCE: u64 = 4 << 20;
/// Where a provenance names the run, `<uid>/<attempt>`.
const INVOCATION: &str = "/predicate/runDetails/metadata/invocationId";

/// Digests of the blobs that a manifest names.
type Blobs = Arc<BTreeSet<Digest>>;

/// Which blobs manifests name, by the digest of the manifest: that never changes. The one used last is at the end.
#[derive(Default)]
pub struct Inputs(Mutex<VecDeque<(Digest, Blobs)>>);

impl Inputs {
    /// Whether the base model or the dataset version of a run names this blob.
    ///
    /// # Errors
    /// As the storage answers.
    pub async fn name(&self, store: &Store, scope: &Scope<'_>, blob: &Digest) -> Result<bool, Error> {
        let (key, digest) = (layout::model(&scope.base_model), scope.base_model);
        let files = |model: ModelManifest| model.files.iter().map(|file| file.digest).collect();
        if self.blobs(store, &key, digest, files).await?.contains(blob) {
            return Ok(true);
        }
        let (key, digest) = (layout::dataset(scope.dataset, &scope.dataset_digest), scope.dataset_digest);
        let shards = |dataset: DatasetManifest| {
            dataset.shards.iter().chain(&dataset.held_out).map(|shard| shard.digest).collect()
        };
        Ok(self.blobs(store, &key, digest, shards).await?.contains(blob))
    }

    async fn blobs<T: DeserializeOwned>(
        &self,
        store: &Store,
        key: &str,
        digest: Digest,
        named: impl FnOnce(T) -> BTreeSet<Digest>,
    ) -> Result<Blobs, Error> {
        if let Some(known) = self.known(&digest) {
            return Ok(known);
        }
        bounded(store, key, MOST_BYTES).await?;
        let blobs: Blobs = Arc::new(named(store.get_manifest(key, &digest).await?));
        let mut all = self.all();
        if all.len() >= MOST_MANIFESTS {
            all.pop_front();
        }
        all.push_back((digest, blobs.clone()));
        Ok(blobs)
    }

    fn known(&self, digest: &Digest) -> Option<Blobs> {
        let mut all = self.all();
        let at = all.iter().position(|(known, _)| known == digest)?;
        let found = all.remove(at)?;
        let blobs = found.1.clone();
        all.push_back(found);
        Some(blobs)
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<(Digest, Blobs)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the files of this adapter may be written: it is not published, or an earlier attempt of the same FineTune did
/// that and did not live to tell. What is published is never changed by anyone else, so its provenance can be believed
/// in this.
///
/// # Errors
/// As the storage answers.
pub async fn may_publish(store: &Store, uid: &str, adapter: &Digest) -> Result<bool, Error> {
    if store.head(&layout::adapter(adapter, layout::ADAPTER_MANIFEST)).await?.is_none() {
        return Ok(true);
    }
    let key = layout::adapter(adapter, layout::ADAPTER_PROVENANCE);
    match bounded(store, &key, MOST_PROVENANCE).await {
        Err(error) if error.is_not_found() => return Ok(false),
        found => found?,
    }
    let provenance: Value = serde_json::from_slice(&store.get(&key).await?).unwrap_or_default();
    let run = provenance.pointer(INVOCATION).and_then(Value::as_str).and_then(|run| run.split_once('/'));
    Ok(run.is_some_and(|(publisher, _)| publisher == uid))
}

/// Whether the object is there and small enough to be read.
async fn bounded(store: &Store, key: &str, most: u64) -> Result<(), Error> {
    let what = store.uri(key);
    match store.head(key).await? {
        None => Err(Error::NotFound { what }),
        Some(size) if size > most => {
            Err(Error::Malformed { what, cause: format!("{size} bytes, {most} are the most") })
        }
        Some(_) => Ok(()),
    }
}
