//! Checkpoints: blobs first, the manifest last; whoever resumes checks all of it.

use bytes::Bytes;
use cooperator_contract::manifest::CheckpointManifest;
use cooperator_contract::{canonical, layout};
use cooperator_core::digest::Digest;
use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::LoraAdapter;
use cooperator_models::optimizer::AdamW;
use cooperator_store::Store;
use serde::{Deserialize, Serialize};

use super::curve::Point;
use super::fence::{self, Place};
use super::settings::Settings;
use crate::failure::Failure;
use crate::run::Context;

/// Where a run stands, beside adapter and optimiser. Every random choice is a function of the seed and of these
/// counts, so no generator's state needs to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct State {
    /// Steps done.
    pub step: u64,
    /// Micro-batches drawn: the position in the data and in the dropout masks.
    pub batches: u64,
    /// The loss so far.
    pub curve: Vec<Point>,
}

/// All that training goes on from.
#[derive(Debug)]
pub(super) struct Saved {
    pub adapter: LoraAdapter,
    pub optimizer: AdamW,
    pub state: State,
}

impl Saved {
    /// Nothing learned yet.
    pub(super) fn fresh(settings: &Settings, adapter: LoraAdapter) -> Self {
        let optimizer = AdamW::new(settings.optimizer, adapter.tensors());
        Self { adapter, optimizer, state: State::default() }
    }
}

/// Writes a checkpoint and removes those that are too many. An attempt that was overtaken writes nothing.
#[tracing::instrument(name = "checkpoint", skip_all, fields(step = state.step))]
pub(super) async fn save(
    context: &Context,
    settings: &Settings,
    adapter: &LoraAdapter,
    optimizer: &AdamW,
    state: &State,
) -> Result<(), Failure> {
    fence::check(context).await?;
    let moments = optimizer.to_safetensors(adapter.tensors()).map_err(Failure::internal)?;
    let tensors = adapter.to_safetensors().map_err(Failure::internal)?;
    let (store, run) = (&context.store, &context.run);
    let manifest = CheckpointManifest {
        run: run.uid.clone(),
        attempt: run.attempt,
        step: state.step,
        task: settings.task,
        adapter: put(store, &run.uid, tensors).await?,
        optimizer: put(store, &run.uid, moments).await?,
        state: put(store, &run.uid, canonical(state).map_err(Failure::internal)?).await?,
    };
    store.put_manifest(|_| layout::checkpoint(&run.uid, run.attempt, state.step), &manifest).await?;
    prune(context, settings, &manifest).await
}

/// Writes a blob even over one of the same name and size: the same step gives the same bytes, so after a checkpoint
/// was found broken its blobs are what would be taken for already there.
async fn put(store: &Store, uid: &str, bytes: Vec<u8>) -> Result<Digest, Failure> {
    let digest = Digest::of(&bytes);
    store.put(&layout::checkpoint_blob(uid, &digest), bytes.into()).await?;
    Ok(digest)
}

async fn prune(context: &Context, settings: &Settings, newest: &CheckpointManifest) -> Result<(), Failure> {
    let mut places = fence::check(context).await?;
    // As they were written, not by step: an attempt that passed over a broken checkpoint is behind it for a while.
    places.sort_by_key(|place| (place.attempt, place.step));
    let surplus = settings.policy.surplus(&places);
    let mut kept = Vec::new();
    for place in &places[surplus.len()..] {
        match read(context, place).await {
            Ok(manifest) => kept.extend(blobs(&manifest)),
            Err(failure) => {
                // What it names is unknown, so nothing is safe to remove; the next checkpoint tries again.
                tracing::warn!(key = place.key, %failure, "old checkpoints stay");
                return Ok(());
            }
        }
    }
    kept.extend(blobs(newest));
    for place in surplus {
        let old = read(context, place).await;
        // The manifest first: a checkpoint that is listed is whole.
        context.store.delete(&place.key).await?;
        for blob in old.iter().flat_map(blobs).filter(|blob| !kept.contains(blob)) {
            context.store.delete(&layout::checkpoint_blob(&context.run.uid, &blob)).await?;
        }
    }
    Ok(())
}

fn blobs(manifest: &CheckpointManifest) -> [Digest; 3] {
    [manifest.adapter, manifest.optimizer, manifest.state]
}

/// The newest checkpoint of this FineTune, of any attempt up to this one, that verifies and is of the same task.
pub(super) async fn newest(
    context: &Context,
    settings: &Settings,
    config: &LlamaConfig,
) -> Result<Option<Saved>, Failure> {
    for place in fence::places(context).await?.iter().rev() {
        match load(context, settings, config, place).await {
            Ok(Some(saved)) => {
                tracing::info!(step = place.step, attempt = place.attempt, "going on from a checkpoint");
                return Ok(Some(saved));
            }
            Ok(None) => tracing::info!(key = place.key, "checkpoint of other parameters passed over"),
            // Unreachable storage must not look like a run without checkpoints.
            Err(failure) if failure.reason.retriable() => return Err(failure),
            Err(failure) => tracing::warn!(key = place.key, %failure, "broken checkpoint passed over"),
        }
    }
    Ok(None)
}

async fn load(
    context: &Context,
    settings: &Settings,
    config: &LlamaConfig,
    place: &Place,
) -> Result<Option<Saved>, Failure> {
    let manifest = read(context, place).await?;
    if manifest.task != settings.task {
        return Ok(None);
    }
    let named = (manifest.run.as_str(), manifest.attempt, manifest.step);
    if named != (context.run.uid.as_str(), place.attempt, place.step) {
        return Err(broken("its manifest names another run, attempt or step"));
    }
    let tensors = get(context, &manifest.adapter).await?;
    let moments = get(context, &manifest.optimizer).await?;
    let state = get(context, &manifest.state).await?;
    let adapter = LoraAdapter::from_safetensors(config, settings.lora.clone(), &tensors).map_err(broken)?;
    let optimizer =
        AdamW::from_safetensors(settings.optimizer, adapter.tensors(), &moments).map_err(broken)?;
    let state: State = serde_json::from_slice(&state).map_err(broken)?;
    if (state.step, optimizer.steps()) != (place.step, place.step) {
        return Err(broken("its parts are of different steps"));
    }
    Ok(Some(Saved { adapter, optimizer, state }))
}

async fn get(context: &Context, digest: &Digest) -> Result<Bytes, Failure> {
    let key = layout::checkpoint_blob(&context.run.uid, digest);
    Ok(context.store.get_verified(&key, digest).await?)
}

async fn read(context: &Context, place: &Place) -> Result<CheckpointManifest, Failure> {
    serde_json::from_slice(&context.store.get(&place.key).await?).map_err(broken)
}

fn broken(error: impl ToString) -> Failure {
    Failure::new(cooperator_contract::outcome::FailureReason::SourceUnreadable, error)
}
