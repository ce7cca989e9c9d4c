//! Pure: may an attempt begin? An ordered chain; the first gate that does not pass is the reason it waits.

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::common::{Conditions, condition};
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_api::fine_tune::FineTune;
use cooperator_contract::manifest::{ContributionCount, DatasetManifest};
use cooperator_core::consent::Decision;
use cooperator_core::digest::Digest;
use cooperator_core::money::{Amount, MoneyError, PricePerHour};
use kube::ResourceExt as _;

use super::cost;
use crate::domain::{self, Hold, Terms, amount};
use crate::runs::Bucket;

/// What a FineTune refers to, as read.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its dataset.
    pub dataset: Option<Dataset>,
    /// Its base model.
    pub base_model: Option<BaseModel>,
    /// The Collective of its dataset.
    pub collective: Option<Collective>,
    /// Every Contribution of the namespace.
    pub contributions: Vec<Contribution>,
}

/// What an attempt trains on, whatever happens to the objects it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Base model.
    pub base_model: Digest,
    /// Dataset version.
    pub dataset: Digest,
}

/// A FineTune whose references may be used; consent and money come after.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The Collective that pays and owns.
    pub collective: String,
    /// Its storage.
    pub bucket: Bucket,
    /// What to train on.
    pub pins: Pins,
}

/// The gates over references: Collective, base model, dataset.
///
/// # Errors
/// [`Hold`] of the first that does not pass.
pub fn references(tune: &FineTune, world: &World) -> Result<Admitted, Hold> {
    let dataset = dataset(tune, world)?;
    let collective = dataset.spec.collective_ref.name.clone();
    let bucket = domain::bucket(world.collective.as_ref(), &collective)?;
    let base_model = base_model(tune, world, &collective)?;
    let version = version(tune, dataset)?;
    Ok(Admitted { collective, bucket, pins: Pins { base_model, dataset: version } })
}

fn dataset<'a>(tune: &FineTune, world: &'a World) -> Result<&'a Dataset, Hold> {
    let name = &tune.spec.dataset_ref.name;
    world.dataset.as_ref().ok_or_else(|| {
        Hold::new("DatasetNotFound", format!("Dataset `{name}` does not exist in this namespace: create it"))
    })
}

fn base_model(tune: &FineTune, world: &World, collective: &str) -> Result<Digest, Hold> {
    let name = &tune.spec.base_model_ref.name;
    let Some(model) = &world.base_model else {
        let message = format!("BaseModel `{name}` does not exist in this namespace: create it");
        return Err(Hold::new("BaseModelNotFound", message));
    };
    if model.spec.collective_ref.name != collective {
        let message = format!(
            "BaseModel `{name}` and the Dataset belong to different Collectives: use one of `{collective}`"
        );
        return Err(Hold::new("CollectiveMismatch", message));
    }
    let status = model.status.clone().unwrap_or_default();
    let held = |reason: &str, message: &str| Hold::new(reason, format!("BaseModel `{name}`: {message}"));
    if let Some(refused) = found(&status.conditions, condition::LICENSE_ALLOWED, "False") {
        return Err(held(&refused.reason, &refused.message));
    }
    let ready = found(&status.conditions, condition::READY, "True").is_some();
    let pinned = tune.status.as_ref().and_then(|status| status.base_model_digest.as_deref());
    let digest = pinned.or(status.digest.as_deref()).filter(|_| ready);
    digest
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| held("BaseModelNotReady", "not ready, see its conditions"))
}

fn version(tune: &FineTune, dataset: &Dataset) -> Result<Digest, Hold> {
    let pinned = tune.status.as_ref().and_then(|status| status.dataset_digest.as_deref());
    let asked = pinned.or(tune.spec.dataset_ref.digest.as_deref());
    let newest = dataset.status.as_ref().and_then(|status| status.digest.as_deref());
    asked.or(newest).and_then(|digest| digest.parse().ok()).ok_or_else(|| {
        let message = format!("Dataset `{}` has no version yet: see its conditions", dataset.name_any());
        Hold::new("DatasetNotReady", message)
    })
}

fn found<'a>(
    conditions: &'a Conditions,
    type_: &str,
    status: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status)
}

/// The gate over consent: every work in the version may still be trained on, under the licence it was taken with.
///
/// # Errors
/// [`Hold`] with reason ConsentWithdrawn, naming the first that may not.
pub fn consent(manifest: &DatasetManifest, world: &World) -> Result<(), Hold> {
    let Some(collective) = &world.collective else { return Ok(()) };
    let terms = Terms::of(collective).map_err(|error| Hold::new("PolicyInvalid", error.to_string()))?;
    manifest.contributions.iter().try_for_each(|held| {
        still_given(held, &terms, &world.contributions).map_err(|why| {
            let message = format!(
                "Contribution `{}` in this dataset version may not be trained on any more: {why}; use a newer version",
                held.name
            );
            Hold::new("ConsentWithdrawn", message)
        })
    })
}

fn still_given(held: &ContributionCount, terms: &Terms, works: &[Contribution]) -> Result<(), String> {
    let live =
        works.iter().find(|work| work.name_any() == held.name && work.metadata.deletion_timestamp.is_none());
    let Some(work) = live else { return Err("it was deleted".into()) };
    match terms.decide(work) {
        Decision::Accepted if work.spec.member_ref.name != held.member => {
            Err("another member holds its name now".into())
        }
        Decision::Accepted => Ok(()),
        Decision::Refused { message, .. } => Err(message),
    }
}

/// The gates over money: the price of an hour, what this FineTune may cost, and what the Collective may spend. `rented`:
/// what an hour of the machine that was rented for it costs; where one is to be rented, that is not known yet, and its
/// claim is bound instead. Returns the seconds the next attempt may take within the budget, where one is set.
///
/// # Errors
/// [`Hold`] with reason PriceTooHigh, BudgetSpent or PriceInvalid.
pub fn money(
    tune: &FineTune,
    collective: &Collective,
    rented: Option<PricePerHour>,
) -> Result<Option<u64>, Hold> {
    let treasury = &collective.spec.treasury;
    let own = if tune.spec.compute.node_pool_ref.is_none() {
        Some(price(&treasury.price_per_node_hour)?)
    } else {
        None
    };
    if let (Some(price_per_hour), Some(most)) = (own, &tune.spec.compute.max_price_per_hour)
        && price_per_hour > price(most)?
    {
        let message = format!(
            "an hour costs {price_per_hour} {}, more than spec.compute.maxPricePerHour {most}: raise it",
            treasury.currency
        );
        return Err(Hold::new("PriceTooHigh", message));
    }
    let left = budget_left(tune, collective);
    let Some(price) = own.or(rented) else { return left.map(|_| None) };
    match left {
        // Where an hour costs nothing, no budget is too small.
        _ if price == PricePerHour::default() => Ok(None),
        Err(hold) => Err(hold),
        Ok(None) => Ok(None),
        Ok(Some((left, spent))) => match cost::seconds_left(left, price) {
            Some(0) => Err(spent.hold(&treasury.currency)),
            seconds => Ok(seconds),
        },
    }
}

fn price(text: &str) -> Result<PricePerHour, Hold> {
    text.parse().map_err(|error: MoneyError| Hold::new("PriceInvalid", error.to_string()))
}

/// A budget, and what of it is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    field: &'static str,
    most: String,
    spent: Amount,
}

impl Spent {
    fn hold(&self, currency: &str) -> Hold {
        let Self { field, most, spent } = self;
        Hold::new("BudgetSpent", format!("{spent} {currency} are spent, {field} is {most}: raise it"))
    }
}

/// What is left of the budget of which least is left; none: none is set.
///
/// # Errors
/// [`Hold`] with reason BudgetSpent or PriceInvalid.
pub fn budget_left(tune: &FineTune, collective: &Collective) -> Result<Option<(Amount, Spent)>, Hold> {
    let own = tune.spec.compute.budget.as_deref();
    let own = own.map(|most| (most, "spec.compute.budget", cost::so_far(tune)));
    let all = collective.spec.budget.as_ref().map(|budget| {
        let spent = collective.status.as_ref().and_then(|status| status.spent.as_ref());
        let spent = spent.map_or(Amount::ZERO, |spent| amount(&spent.amount));
        (budget.amount.as_str(), "spec.budget of the Collective", spent)
    });
    let mut least: Option<(Amount, Spent)> = None;
    for (most, field, spent) in own.into_iter().chain(all) {
        let bound: Amount =
            most.parse().map_err(|error| Hold::new("PriceInvalid", format!("{field}: {error}")))?;
        let left = bound.minus(spent).unwrap_or(Amount::ZERO);
        let told = Spent { field, most: most.to_owned(), spent };
        if left <= Amount::ZERO {
            return Err(told.hold(&collective.spec.treasury.currency));
        }
        if least.as_ref().is_none_or(|(other, _)| left < *other) {
            least = Some((left, told));
        }
    }
    Ok(least)
}
