//! Rented machines, and where they come from.

use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;

use super::{Item, bare, money};
use crate::kind::Kind;

impl From<&Provider> for Item {
    fn from(object: &Provider) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let offers = status.offers.map(|count| format!("{count} offers"));
        let cheapest = status.cheapest.map(|offer| format!("from {} an hour", offer.price_per_hour));
        let parts =
            [Some(object.spec.type_.name().to_owned()), offers, cheapest, rented(status.machines, None)];
        Self {
            stands_on: vec![(Kind::Collective, object.spec.collective_ref.name.clone())],
            summary: joined(parts),
            ..bare(Kind::Provider, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&NodePool> for Item {
    fn from(object: &NodePool) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let spent = status.spent.as_ref().map(|spent| format!("spent {}", money(spent)));
        let spent = spent.map(|spent| match &object.spec.limits.budget {
            Some(budget) => format!("{spent} of {}", budget.amount),
            None => spent,
        });
        let providers = object.spec.provider_refs.iter().map(|one| (Kind::Provider, one.name.clone()));
        let collective = (Kind::Collective, object.spec.collective_ref.name.clone());
        Self {
            stands_on: std::iter::once(collective).chain(providers).collect(),
            summary: joined([rented(status.machines, status.price_per_hour), spent]),
            ..bare(Kind::NodePool, object, status.observed_generation, &status.conditions)
        }
    }
}

impl From<&NodeClaim> for Item {
    fn from(object: &NodeClaim) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let from = status.provider_ref.as_ref().map(|provider| format!("from {}", provider.name));
        let price = status.offer.map(|offer| format!("{} an hour", offer.price_per_hour));
        let cost = status.cost.as_ref().map(|cost| format!("cost {}", money(cost)));
        let tune = object.spec.fine_tune_ref.clone().map(|tune| (Kind::FineTune, tune.name));
        let pool = (Kind::NodePool, object.spec.node_pool_ref.name.clone());
        let provider = status.provider_ref.map(|provider| (Kind::Provider, provider.name));
        Self {
            stands_on: tune.into_iter().chain([pool]).chain(provider).collect(),
            summary: joined([from, price, cost]),
            ..bare(Kind::NodeClaim, object, status.observed_generation, &status.conditions)
        }
    }
}

/// How many machines there are, and what an hour of all of them costs.
fn rented(machines: Option<i32>, price: Option<String>) -> Option<String> {
    let price = price.map(|price| format!(" at {price} an hour")).unwrap_or_default();
    match machines? {
        1 => Some(format!("1 machine{price}")),
        0 => Some("no machine".into()),
        count => Some(format!("{count} machines{price}")),
    }
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object<K: serde::de::DeserializeOwned>(kind: &str, spec: Value, status: Value) -> K {
        serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": "one", "generation": 1},
            "spec": spec,
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_provider_says_what_it_offers_and_from_which_price() {
        let spec = json!({"collectiveRef": {"name": "band"}, "type": "SSH", "secretRef": {"name": "key"}});
        let cheapest = json!({"description": "8 cpu", "pricePerHour": "0.05"});
        let status = json!({"conditions": [], "offers": 2, "cheapest": cheapest, "machines": 1});
        let item = Item::from(&object::<Provider>("Provider", spec.clone(), status));
        assert_eq!(item.summary, "SSH, 2 offers, from 0.05 an hour, 1 machine");
        assert_eq!(item.stands_on, [(Kind::Collective, "band".to_owned())]);
        assert_eq!(Item::from(&object::<Provider>("Provider", spec, json!({}))).summary, "SSH");
    }

    #[test]
    fn a_node_pool_stands_on_its_providers_and_says_what_it_spent() {
        let spec = json!({
            "collectiveRef": {"name": "band"},
            "providerRefs": [{"name": "vast"}, {"name": "cellar"}],
            "limits": {"budget": {"amount": "100"}},
        });
        let spent = json!({"amount": "12.5", "currency": "EUR"});
        let status = json!({"conditions": [], "machines": 2, "pricePerHour": "1.2", "spent": spent});
        let item = Item::from(&object::<NodePool>("NodePool", spec, status));
        assert_eq!(item.summary, "2 machines at 1.2 an hour, spent 12.5 EUR of 100");
        assert_eq!(item.stands_on.last(), Some(&(Kind::Provider, "cellar".to_owned())));
    }

    #[test]
    fn a_node_claim_belongs_to_its_fine_tune_and_says_from_whom_it_is_and_what_it_costs() {
        let spec = json!({"nodePoolRef": {"name": "gpus"}, "fineTuneRef": {"name": "v1"}, "diskGi": 40});
        let offer = json!({
            "id": "7", "shape": "Machine", "capacityType": "Spot", "cpuMillis": 8000, "memoryMib": 32768,
            "diskGib": 40, "pricePerHour": "0.31",
        });
        let cost = json!({"amount": "0.02", "currency": "EUR"});
        let status = json!({"conditions": [], "providerRef": {"name": "vast"}, "offer": offer, "cost": cost});
        let item = Item::from(&object::<NodeClaim>("NodeClaim", spec.clone(), status));
        assert_eq!(item.summary, "from vast, 0.31 an hour, cost 0.02 EUR");
        assert_eq!(item.stands_on[0], (Kind::FineTune, "v1".to_owned()));
        let alone = Item::from(&object::<NodeClaim>("NodeClaim", spec, json!({})));
        assert_eq!((alone.summary.as_str(), alone.is_ready()), ("", false));
    }
}
