//! Objects of every kind, as one form: what each command looks at.

use anyhow::Result;
use cooperator_api::api_key::ApiKey;
use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::common::{Conditions, Money, Progress};
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_api::deployment::Deployment;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_api::settlement::Settlement;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};

use crate::access::Access;
use crate::kind::Kind;

mod rented;

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it was asked to go, if it was.
    pub deleting: Option<Timestamp>,
    /// What its status says.
    pub conditions: Conditions,
    /// Whether its status speaks of its newest spec.
    pub observed: bool,
    /// What it stands on; what it belongs to comes first.
    pub stands_on: Vec<(Kind, String)>,
    /// What it is, in a few words.
    pub summary: String,
    /// How far its run is.
    pub progress: Option<Progress>,
    /// The Job of its newest attempt.
    pub job: Option<String>,
}

impl Item {
    /// The condition that says whether it is as it should be; none: the operator has not looked at it yet.
    pub fn main(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == self.kind.main_condition())
    }

    /// Whether it is as it should be.
    pub fn is_ready(&self) -> bool {
        self.observed && self.main().is_some_and(|condition| condition.status == "True")
    }

    /// `Kind/name`.
    pub fn id(&self) -> (Kind, &str) {
        (self.kind, &self.name)
    }
}

/// Every object of ours in the namespace, by kind and name.
///
/// # Errors
/// When Cooperator is not installed, or the user may not list a kind.
pub async fn fetch(access: &Access) -> Result<Vec<Item>> {
    let (providers, pools, claims) =
        futures::try_join!(access.list::<Provider>(), access.list::<NodePool>(), access.list::<NodeClaim>())?;
    let (collectives, models, contributions, datasets, tunes, deployments, keys, settlements) = futures::try_join!(
        access.list::<Collective>(),
        access.list::<BaseModel>(),
        access.list::<Contribution>(),
        access.list::<Dataset>(),
        access.list::<FineTune>(),
        access.list::<Deployment>(),
        access.list::<ApiKey>(),
        access.list::<Settlement>(),
    )?;
    let mut items: Vec<Item> = Vec::new();
    items.extend(collectives.iter().map(Item::from));
    items.extend(models.iter().map(Item::from));
    items.extend(contributions.iter().map(Item::from));
    items.extend(datasets.iter().map(Item::from));
    items.extend(providers.iter().map(Item::from));
    items.extend(pools.iter().map(Item::from));
    items.extend(tunes.iter().map(Item::from));
    items.extend(claims.iter().map(Item::from));
    items.extend(deployments.iter().map(Item::from));
    items.extend(keys.iter().map(Item::from));
    items.extend(settlements.iter().map(Item::from));
    items.sort_by(|a, b| a.id().cmp(&b.id()));
    Ok(items)
}

/// What all kinds have; the rest is empty.
fn bare<K: Resource>(kind: Kind, object: &K, observed: Option<i64>, conditions: &Conditions) -> Item {
    Item {
        kind,
        name: object.name_any(),
        created: object.creation_timestamp().map(|time| time.0),
        deleting: object.meta().deletion_timestamp.as_ref().map(|time| time.0),
        conditions: conditions.clone(),
        observed: observed == object.meta().generation,
        stands_on: Vec::new(),
        summary: String::new(),
        progress: None,
        job: None,
    }
}

impl From<&Collective> for Item {
    fn from(object: &Collective) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let members = object.spec.members.len();
        let gateway = status.gateway_url.map(|url| format!(", gateway {url}")).unwrap_or_default();
        let settling = status.settling.map(|run| format!(", settling {}", run.period)).unwrap_or_default();
        Self {
            summary: format!("{members} members{gateway}{settling}"),
            ..bare(Kind::Collective, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&BaseModel> for Item {
    fn from(object: &BaseModel) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let size = status.parameters.map(|count| format!("{} parameters, ", millions(count)));
        Self {
            stands_on: vec![(Kind::Collective, object.spec.collective_ref.name.clone())],
            summary: format!("{}{}", size.unwrap_or_default(), object.spec.license),
            progress: status.progress,
            job: status.attempts.last().map(|attempt| attempt.job.clone()),
            ..bare(Kind::BaseModel, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&Contribution> for Item {
    fn from(object: &Contribution) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let revoked = if object.spec.revoked { ", revoked" } else { "" };
        Self {
            stands_on: vec![(Kind::Collective, object.spec.collective_ref.name.clone())],
            summary: format!("of {}, {}{revoked}", object.spec.member_ref.name, object.spec.license),
            ..bare(Kind::Contribution, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&Dataset> for Item {
    fn from(object: &Dataset) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let summary = match (status.records, status.tokens) {
            (Some(records), Some(tokens)) => format!("{records} records, {tokens} tokens"),
            _ => "not built yet".into(),
        };
        Self {
            stands_on: vec![
                (Kind::Collective, object.spec.collective_ref.name.clone()),
                (Kind::BaseModel, object.spec.base_model_ref.name.clone()),
            ],
            summary,
            progress: status.progress,
            job: status.attempts.last().map(|attempt| attempt.job.clone()),
            ..bare(Kind::Dataset, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&FineTune> for Item {
    fn from(object: &FineTune) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let held_out = status.evaluation.map(|found| {
            format!("held-out loss {} -> {}", found.base.loss, found.adapted.loss) // nats a token
        });
        let cost = status.cost.as_ref().map(|cost| format!("cost {}", money(cost)));
        let parts: Vec<String> = [held_out, cost].into_iter().flatten().collect();
        let mut stands_on = vec![
            (Kind::Dataset, object.spec.dataset_ref.name.clone()),
            (Kind::BaseModel, object.spec.base_model_ref.name.clone()),
        ];
        stands_on.extend(object.spec.compute.node_pool_ref.clone().map(|pool| (Kind::NodePool, pool.name)));
        stands_on.extend(status.collective.map(|name| (Kind::Collective, name)));
        Self {
            stands_on,
            summary: parts.join(", "),
            progress: status.progress,
            job: status.attempts.last().map(|attempt| attempt.job.clone()),
            ..bare(Kind::FineTune, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&Deployment> for Item {
    fn from(object: &Deployment) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let earned = status.usage.zip(status.revenue).map(|(usage, revenue)| {
            format!(", {} requests settled, earned {}", usage.requests, money(&revenue))
        });
        let model = status.model_name.unwrap_or_else(|| object.name_any());
        Self {
            stands_on: vec![(Kind::FineTune, object.spec.fine_tune_ref.name.clone())],
            summary: format!("model {model}{}", earned.unwrap_or_default()),
            ..bare(Kind::Deployment, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&ApiKey> for Item {
    fn from(object: &ApiKey) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let spent = status.spent.as_ref().map(|spent| format!(", spent {}", money(spent)));
        let budget = object.spec.budget.as_ref().map(|budget| format!(" of {}", budget.amount));
        let spent = spent.unwrap_or_default();
        let budget = budget.filter(|_| !spent.is_empty()).unwrap_or_default();
        Self {
            stands_on: vec![(Kind::Collective, object.spec.collective_ref.name.clone())],
            summary: format!("for {}{spent}{budget}", object.spec.consumer),
            ..bare(Kind::ApiKey, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&Settlement> for Item {
    fn from(object: &Settlement) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let spec = &object.spec;
        let (due, paid) = (spec.payments.len(), status.paid.len());
        Self {
            stands_on: vec![(Kind::Collective, spec.collective_ref.name.clone())],
            summary: format!("gross {} {}, {paid} of {due} payments marked", spec.gross, spec.currency),
            ..bare(Kind::Settlement, object, status.observed_generation, &status.conditions)
        }
    }
}

fn money(Money { amount, currency }: &Money) -> String {
    format!("{amount} {currency}")
}

/// A count in millions, with one decimal.
fn millions(count: i64) -> String {
    format!("{}.{} M", count / 1_000_000, count / 100_000 % 10)
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    /// The clock of the tests.
    pub const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    /// An object that has been so for three minutes.
    pub fn item(kind: Kind, name: &str, stands_on: &[(Kind, &str)], status: &str, reason: &str) -> Item {
        let since = NOW.checked_sub(SignedDuration::from_secs(190)).unwrap();
        let condition = Condition {
            type_: kind.main_condition().into(),
            status: status.into(),
            reason: reason.into(),
            message: format!("it is {reason}"),
            last_transition_time: Time(since),
            observed_generation: None,
        };
        Item {
            kind,
            name: name.into(),
            created: Some(since),
            deleting: None,
            conditions: vec![condition],
            observed: true,
            stands_on: stands_on.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect(),
            summary: "a few words".into(),
            progress: None,
            job: None,
        }
    }

    fn tune(status: serde_json::Value) -> Item {
        let object: FineTune = serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1",
            "kind": "FineTune",
            "metadata": {"name": "v1", "generation": 2},
            "spec": {"baseModelRef": {"name": "base"}, "datasetRef": {"name": "works"}},
            "status": status,
        }))
        .unwrap();
        Item::from(&object)
    }

    #[test]
    fn a_status_of_an_older_spec_is_not_ready() {
        let ready = json!([{
            "type": "Ready", "status": "True", "reason": "Trained", "message": "",
            "lastTransitionTime": "2026-11-25T00:00:00Z",
        }]);
        assert!(tune(json!({"observedGeneration": 2, "conditions": ready})).is_ready());
        assert!(!tune(json!({"observedGeneration": 1, "conditions": ready})).is_ready());
        assert!(!tune(json!({})).is_ready());
    }

    #[test]
    fn a_fine_tune_belongs_to_its_dataset_and_says_what_it_reached_and_cost() {
        let item = tune(json!({
            "conditions": [],
            "cost": {"amount": "1.25", "currency": "EUR"},
            "evaluation": {
                "base": {"loss": "3.5", "perplexity": "33.1"},
                "adapted": {"loss": "3.3", "perplexity": "27.1"},
            },
        }));
        assert_eq!(item.stands_on[0], (Kind::Dataset, "works".to_owned()));
        assert_eq!(item.summary, "held-out loss 3.5 -> 3.3, cost 1.25 EUR");
    }

    #[test]
    fn a_fine_tune_stands_on_the_node_pool_that_machines_are_rented_from() {
        let mut object: FineTune = serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1",
            "kind": "FineTune",
            "metadata": {"name": "v1"},
            "spec": {"baseModelRef": {"name": "base"}, "datasetRef": {"name": "works"}},
        }))
        .unwrap();
        object.spec.compute.node_pool_ref = serde_json::from_value(json!({"name": "gpus"})).unwrap();
        assert_eq!(Item::from(&object).stands_on.last(), Some(&(Kind::NodePool, "gpus".to_owned())));
    }

    #[test]
    fn a_count_of_parameters_is_told_in_millions() {
        assert_eq!(millions(134_515_008), "134.5 M");
    }
}
