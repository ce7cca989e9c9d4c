//! Pure: the NodeClaim for the next attempt.

use std::collections::BTreeMap;

use cooperator_api::base_model::BaseModel;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names;
use cooperator_api::node_claim::{ClaimedResources, NodeClaim, NodeClaimSpec, Work};
use cooperator_api::node_pool::NodePool;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{Resource as _, ResourceExt as _};

use super::build::default_resources;
use super::gates::{self, Admitted, World};
use crate::domain::Hold;

/// Floating-point operations a token and parameter that training of an adapter takes: two forward, two for the gradients of
/// what lies between; the frozen weights have none.
const FLOPS: i64 = 4;

/// A claim of this name, for what is left to do.
///
/// # Errors
/// [`Hold`] where nothing may be spent any more.
pub fn build(
    tune: &FineTune,
    world: &World,
    pool: &NodePool,
    admitted: &Admitted,
    name: &str,
) -> Result<NodeClaim, Hold> {
    let compute = &tune.spec.compute;
    let budget = match &world.collective {
        Some(home) => gates::budget_left(tune, home)?,
        None => None,
    };
    let attempts = tune.status.as_ref().map(|status| status.attempts.as_slice()).unwrap_or_default();
    let template = &pool.spec.template.spec;
    let disk_gi = compute.disk_gi.unwrap_or(pool.spec.disk_gi);
    holds_model(disk_gi, world.base_model.as_ref())?;
    let mut claim = NodeClaim::new(
        name,
        NodeClaimSpec {
            node_pool_ref: compute.node_pool_ref.clone().unwrap_or_default(),
            fine_tune_ref: Some(cooperator_api::common::LocalRef { name: tune.name_any() }),
            attempt: Some(attempts.last().map_or(0, |newest| newest.number) + 1),
            requirements: compute.requirements.clone(),
            resources: ClaimedResources { requests: requests(tune) },
            disk_gi,
            max_price_per_hour: compute.max_price_per_hour.clone(),
            budget: budget.map(|(left, _)| rounded(left)),
            spot: compute.spot,
            work: work(tune, world.base_model.as_ref(), admitted),
            preflight: Some(pool.spec.preflight.clone()),
            taints: template.taints.clone(),
            startup_taints: template.startup_taints.clone(),
            expire_after: template.expire_after.clone(),
        },
    );
    let labels = [
        (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
        (names::LABEL_COLLECTIVE, admitted.collective.clone()),
        (names::LABEL_KIND, "finetune".to_owned()),
        (names::LABEL_NAME, tune.name_any()),
        (names::LABEL_NODE_POOL, pool.name_any()),
    ];
    claim.metadata.labels = Some(labels.map(|(label, value)| (label.to_owned(), value)).into());
    claim.metadata.namespace = tune.namespace();
    claim.metadata.owner_references = tune.controller_owner_ref(&()).map(|owner| vec![owner]);
    Ok(claim)
}

/// A disk that the base model alone fills is not paid for: every machine would be found unfit, and its host avoided for
/// nothing. What a disk holds may still be too little.
fn holds_model(disk_gi: i32, base_model: Option<&BaseModel>) -> Result<(), Hold> {
    const GIB: i64 = 1 << 30;
    let Some(model) = base_model else { return Ok(()) };
    let bytes = model.status.as_ref().and_then(|status| status.bytes).unwrap_or_default();
    let least = bytes / GIB + 1;
    if i64::from(disk_gi) >= least {
        return Ok(());
    }
    let message = format!(
        "BaseModel `{}` alone needs {least} GiB of disk, the machine would have {disk_gi} GiB: set spec.compute.diskGi to \
         more than {least}",
        model.name_any()
    );
    Err(Hold::new("DiskTooSmall", message))
}

/// A budget has six places at most: what is below that is not spent.
fn rounded(amount: cooperator_core::money::Amount) -> String {
    const MICRO: i128 = 1_000_000;
    cooperator_core::money::Amount::from_pico(amount.pico() - amount.pico().rem_euclid(MICRO)).to_string()
}

/// What the pod asks for, devices included.
fn requests(tune: &FineTune) -> BTreeMap<String, Quantity> {
    let resources = tune.spec.compute.resources.clone().unwrap_or_else(default_resources);
    let mut all = resources.requests.unwrap_or_default();
    for (name, most) in resources.limits.unwrap_or_default() {
        // A limit without a request is the request, as in every pod.
        if !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            all.entry(name).or_insert(most);
        }
    }
    all.retain(|name, _| !name.starts_with("hugepages-"));
    all
}

fn work(tune: &FineTune, base_model: Option<&BaseModel>, admitted: &Admitted) -> Work {
    let training = &tune.spec.training;
    let status = tune.status.as_ref();
    let done = status.and_then(|status| status.progress.as_ref()?.step).unwrap_or_default();
    let left = training.max_steps.saturating_sub(done).max(1);
    let step = i64::from(training.batch_size)
        .saturating_mul(training.sequence_length.into())
        .saturating_mul(training.gradient_accumulation.into());
    let parameters = base_model.and_then(|model| model.status.as_ref()?.parameters);
    Work {
        tokens: Some(left.saturating_mul(step)),
        flops_per_token: parameters
            .map(|parameters| parameters.saturating_mul(FLOPS))
            .filter(|flops| *flops > 0),
        base_model: Some(admitted.pins.base_model.to_string()),
        tokens_per_second: None,
    }
}
