//! Pure: which Contributions a Dataset takes, which it refuses, and what a build of them is made from.

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::common::{Source, condition};
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::{Dataset, Deduplicate, TextFormat as ApiFormat};
use cooperator_contract::run::{
    self, IngestContribution, IngestTask, RefusedContribution, TextFormat, TextOptions,
};
use cooperator_core::consent::Decision;
use cooperator_core::digest::Digest;
use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};

use crate::domain::{self, Hold, Terms};
use crate::runs::Bucket;

/// What a Dataset refers to, as read.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its Collective.
    pub collective: Option<Collective>,
    /// Its base model.
    pub base_model: Option<BaseModel>,
    /// Every Contribution of the namespace.
    pub contributions: Vec<Contribution>,
}

/// The selected Contributions, decided on, each list sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Taken.
    pub accepted: Vec<IngestContribution>,
    /// Left out, with the reason.
    pub refused: Vec<RefusedContribution>,
    /// The one Secret with credentials for their sources.
    pub source_secret: Option<String>,
}

/// A Dataset that may be built.
#[derive(Clone, Debug)]
pub struct ValidDataset {
    /// Its Collective.
    pub collective: String,
    /// Where it is built to.
    pub bucket: Bucket,
    /// What is built.
    pub task: IngestTask,
    /// Secret with credentials for the sources.
    pub source_secret: Option<String>,
    /// Digest of all that decides the content of the build.
    pub inputs: Digest,
}

/// Asks every selected Contribution for consent.
///
/// # Errors
/// [`Hold`] if the Collective is missing, its policy cannot be read, or the selector is none.
pub fn select(dataset: &Dataset, world: &World) -> Result<Selection, Hold> {
    let name = &dataset.spec.collective_ref.name;
    let Some(collective) = &world.collective else {
        let message = format!("Collective `{name}` does not exist in this namespace: create it");
        return Err(Hold::new("CollectiveNotFound", message));
    };
    let terms = Terms::of(collective).map_err(|error| Hold::new("PolicyInvalid", error.to_string()))?;
    let selector = Selector::try_from(dataset.spec.selector.clone())
        .map_err(|error| Hold::new("SelectorInvalid", format!("spec.selector: {error}")))?;
    let mut selected: Vec<&Contribution> = world
        .contributions
        .iter()
        .filter(|work| work.metadata.deletion_timestamp.is_none())
        .filter(|work| work.spec.collective_ref.name == *name && work.spec.modality == dataset.spec.modality)
        .filter(|work| selector.matches(work.labels()))
        .collect();
    selected.sort_by_key(|work| work.name_any());
    let mut selection = Selection::default();
    for work in selected {
        match decide(&terms, work, &mut selection.source_secret) {
            Ok(accepted) => selection.accepted.push(accepted),
            Err(refused) => selection.refused.push(refused),
        }
    }
    Ok(selection)
}

fn decide(
    terms: &Terms,
    work: &Contribution,
    secret: &mut Option<String>,
) -> Result<IngestContribution, RefusedContribution> {
    let (name, member) = (work.name_any(), work.spec.member_ref.name.clone());
    let refuse = |reason: String, message: String| RefusedContribution {
        name: name.clone(),
        member: member.clone(),
        reason,
        message,
    };
    if let Decision::Refused { reason, message } = terms.decide(work) {
        return Err(refuse(reason.to_string(), message));
    }
    let Source { storage_uri, digest, secret_ref } = &work.spec.source;
    let digest = digest.as_deref().map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|error| refuse("SourceInvalid".into(), format!("spec.source.{error}")))?;
    if let Some(wanted) = secret_ref {
        let taken = secret.get_or_insert_with(|| wanted.name.clone());
        if *taken != wanted.name {
            let message = format!(
                "its source needs Secret `{}`, but the build already uses `{taken}`: one build reads with one Secret, so use the same or make another Dataset",
                wanted.name
            );
            return Err(refuse("SourceSecretConflict".into(), message));
        }
    }
    Ok(IngestContribution {
        name: name.clone(),
        member: member.clone(),
        source: run::Source { storage_uri: storage_uri.clone(), digest },
        license: work.spec.license.clone(),
        split_sheet: domain::split_sheet(work),
    })
}

/// Parses the spec once.
///
/// # Errors
/// [`Hold`] if nothing is left to build from, or base model or storage are not ready.
pub fn validate(dataset: &Dataset, world: &World, selection: &Selection) -> Result<ValidDataset, Hold> {
    let collective = dataset.spec.collective_ref.name.clone();
    let bucket = domain::bucket(world.collective.as_ref(), &collective)?;
    if selection.accepted.is_empty() {
        return Err(nothing(selection));
    }
    let base_model = base_model(dataset, world.base_model.as_ref())?;
    let text = &dataset.spec.text;
    let task = IngestTask {
        dataset: dataset.name_any(),
        base_model,
        contributions: selection.accepted.clone(),
        refused: selection.refused.clone(),
        text: TextOptions {
            format: match text.format {
                ApiFormat::Auto => TextFormat::Auto,
                ApiFormat::JsonLines => TextFormat::JsonLines,
                ApiFormat::Plain => TextFormat::Plain,
            },
            text_field: text.text_field.clone(),
            record_tokens: u32::try_from(text.record_tokens).unwrap_or_default(),
        },
        deduplicate: dataset.spec.deduplicate == Deduplicate::Exact,
        holdout_basis_points: u16::try_from(dataset.spec.holdout.basis_points).unwrap_or_default(),
    };
    let inputs = inputs(&task)?;
    Ok(ValidDataset { collective, bucket, task, source_secret: selection.source_secret.clone(), inputs })
}

fn nothing(selection: &Selection) -> Hold {
    match selection.refused.as_slice() {
        [] => Hold::new(
            "NoContributions",
            "spec.selector matches no Contribution of this Collective: label some, or widen it",
        ),
        [first, ..] => {
            let message = format!(
                "all {} selected Contributions are refused; the first, `{}`: {}",
                selection.refused.len(),
                first.name,
                first.message
            );
            Hold::new("NoConsent", message)
        }
    }
}

fn base_model(dataset: &Dataset, model: Option<&BaseModel>) -> Result<Digest, Hold> {
    let name = &dataset.spec.base_model_ref.name;
    let Some(model) = model else {
        let message = format!("BaseModel `{name}` does not exist in this namespace: create it");
        return Err(Hold::new("BaseModelNotFound", message));
    };
    if model.spec.collective_ref != dataset.spec.collective_ref {
        let message = format!("BaseModel `{name}` belongs to another Collective: use one of this Collective");
        return Err(Hold::new("BaseModelForeign", message));
    }
    let waiting =
        || Hold::new("BaseModelNotReady", format!("BaseModel `{name}` is not ready: see its conditions"));
    let status = model.status.as_ref().ok_or_else(waiting)?;
    let imported =
        status.conditions.iter().any(|found| found.type_ == condition::IMPORTED && found.status == "True");
    status.digest.as_deref().filter(|_| imported).and_then(|digest| digest.parse().ok()).ok_or_else(waiting)
}

/// The digest of what decides the content. What was refused does not.
fn inputs(task: &IngestTask) -> Result<Digest, Hold> {
    let decisive = IngestTask { refused: Vec::new(), ..task.clone() };
    cooperator_contract::canonical(&decisive)
        .map(|bytes| Digest::of(&bytes))
        .map_err(|error| Hold::new("Internal", format!("cannot write the build's inputs: {error}")))
}
