//! The adapter as files: PEFT layout, model card, picture, evaluation, provenance, and the manifest last.

use std::time::Instant;

use bytes::Bytes;
use cooperator_contract::manifest::{
    AdapterManifest, DatasetManifest, Evaluation, File, MemberWeight, ModelManifest,
};
use cooperator_contract::run::{AttributionMethod, TrainTask};
use cooperator_contract::{canonical, layout};
use cooperator_core::attribution::{Given, weigh};
use cooperator_core::consent::Share;
use cooperator_core::digest::Digest;
use cooperator_models::lora::LoraAdapter;

use super::card::{self, Card};
use super::curve::Point;
use super::evaluate::Measured;
use super::{fence, picture, provenance};
use crate::failure::Failure;
use crate::run::Context;

/// Details of the run, see [`Evaluation`].
pub(super) const EVALUATION: &str = "evaluation.json";
const TENSORS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// What a finished training made.
pub(super) struct Work<'a> {
    pub task: &'a TrainTask,
    pub base: &'a ModelManifest,
    pub dataset: &'a DatasetManifest,
    pub adapter: &'a LoraAdapter,
    pub curve: &'a [Point],
    pub measured: Measured,
    pub started: Instant,
}

/// Writes everything below `adapters/<digest>/` and returns the digest, which depends on nothing but the inputs.
#[tracing::instrument(name = "publish", skip_all)]
pub(super) async fn publish(context: &Context, work: Work<'_>) -> Result<Digest, Failure> {
    let Work { task, base, dataset, adapter, curve, measured, started } = work;
    let tensors = Bytes::from(adapter.to_safetensors().map_err(Failure::internal)?);
    let config = Bytes::from(adapter.config_json(&task.base_model.to_string()));
    let file = |name: &str, bytes: &Bytes| File {
        name: name.to_owned(),
        digest: Digest::of(bytes),
        bytes: bytes.len() as u64,
    };
    let manifest = AdapterManifest {
        base_model: task.base_model,
        dataset: task.dataset_digest,
        lora: task.lora.clone(),
        training: task.training.clone(),
        files: vec![file(CONFIG, &config), file(TENSORS, &tensors)],
        attribution: match task.attribution {
            AttributionMethod::None => Vec::new(),
            AttributionMethod::Tokens => by_tokens(dataset)?,
        },
    };
    let manifest_bytes = canonical(&manifest).map_err(Failure::internal)?;
    let digest = Digest::of(&manifest_bytes);
    let picture = picture::draw(curve, measured.losses).map_err(Failure::internal)?;
    let card = card::write(&Card {
        task,
        base,
        dataset,
        manifest: &manifest,
        digest: &digest,
        measured: &measured,
        curve,
    });
    let Measured { tokens, base: base_quality, adapted, gates, samples, losses: _ } = measured;
    let evaluation = Evaluation {
        adapter: digest,
        adapter_bytes: tensors.len() as u64,
        tokens,
        base: base_quality,
        adapted,
        gates,
        samples,
        attribution: manifest.attribution.clone(),
        duration_seconds: started.elapsed().as_secs(),
    };
    let statement = provenance::statement(context, task, base, dataset, &manifest);
    let files = [
        (TENSORS, tensors),
        (CONFIG, config),
        ("README.md", card.into()),
        ("loss.svg", picture.into()),
        (EVALUATION, serde_json::to_vec_pretty(&evaluation).map_err(Failure::internal)?.into()),
        (
            layout::ADAPTER_PROVENANCE,
            serde_json::to_vec_pretty(&statement).map_err(Failure::internal)?.into(),
        ),
    ];
    for (name, bytes) in files {
        match context.store.put(&layout::adapter(&digest, name), bytes).await {
            // The same inputs have led another run to the same adapter, byte for byte: it has this very address.
            Err(cooperator_store::Error::Published { .. }) => return Ok(digest),
            written => written?,
        }
    }
    fence::check(context).await?;
    context.store.put(&layout::adapter(&digest, layout::ADAPTER_MANIFEST), manifest_bytes.into()).await?;
    Ok(digest)
}

/// Who is credited with what, by tokens trained on, through the split sheets.
fn by_tokens(dataset: &DatasetManifest) -> Result<Vec<MemberWeight>, Failure> {
    let sheets: Vec<Vec<Share>> = dataset
        .contributions
        .iter()
        .map(|given| {
            let line = |share: &cooperator_contract::run::SplitShare| Share {
                member: share.member.clone(),
                basis_points: share.basis_points,
            };
            given.split_sheet.iter().map(line).collect()
        })
        .collect();
    let given: Vec<Given<'_>> = dataset
        .contributions
        .iter()
        .zip(&sheets)
        .map(|(given, split_sheet)| Given { member: &given.member, tokens: given.tokens, split_sheet })
        .collect();
    let weights = weigh(&given).map_err(Failure::invalid)?;
    Ok(weights
        .into_iter()
        .map(|w| MemberWeight { member: w.member, tokens: w.tokens, weight: w.weight })
        .collect())
}
