//! Writes what a reconcile found: status by server-side apply, and an event for each condition that changed. What is
//! already so is not written again.

use cooperator_api::common::{condition, reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::domain::Finding;
use crate::events::Events;

/// Conditions that are False when all is well.
const ABNORMAL: [&str; 5] =
    [condition::EMPTY, condition::FAILED, condition::SUSPENDED, condition::REVOKED, condition::EXPIRED];

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The API server refused or did not answer.
    #[error("cannot write the status of `{name}`: {source}")]
    Api {
        /// Name of the object.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// The status is no JSON object.
    #[error("cannot write the status of `{name}`: {source}")]
    Json {
        /// Name of the object.
        name: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Which fields of status a writer owns; another writer's are left alone.
#[derive(Clone, Copy, Debug)]
pub enum Fields {
    /// All but these.
    AllBut(&'static [&'static str]),
    /// These alone.
    Only(&'static [&'static str]),
}

impl Fields {
    fn own(self, field: &str) -> bool {
        match self {
            Self::AllBut(others) => !others.contains(&field),
            Self::Only(ours) => ours.contains(&field),
        }
    }
}

/// A writer of the status of one kind.
#[derive(Clone)]
pub struct Reporter {
    /// The API server.
    pub client: Client,
    /// Where events go.
    pub events: Events,
    /// Field manager: one a controller.
    pub manager: &'static str,
    /// What of status is its own.
    pub fields: Fields,
}

impl Reporter {
    /// Brings the object's status to `status` with the conditions `findings`, if it is not so yet. It is refused if the
    /// object has changed since it was read, so that a stale view never sets attempts back. True: it was written.
    ///
    /// # Errors
    /// [`ReportError`]; calling again with a fresh object is safe.
    pub async fn report<K, S>(
        &self,
        object: &K,
        status: &S,
        findings: &[Finding],
        now: Timestamp,
    ) -> Result<bool, ReportError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Serialize
            + DeserializeOwned
            + std::fmt::Debug,
        S: Serialize,
    {
        let name = object.name_any();
        let json = |source| ReportError::Json { name: name.clone(), source };
        let before = before(object).map_err(json)?;
        let old = conditions(&before);
        let new = merge(&old, findings, object.meta().generation, now);
        let wanted = self.wanted(status, &new, findings.is_empty()).map_err(json)?;
        if self.same(&before, &wanted) {
            return Ok(false);
        }
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": name, "resourceVersion": object.resource_version() },
            "status": wanted,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        api.patch_status(&name, &PatchParams::apply(self.manager).force(), &Patch::Apply(&patch))
            .await
            .map_err(|source| ReportError::Api { name: name.clone(), source: Box::new(source) })?;
        self.tell(object, &old, &new).await;
        Ok(true)
    }

    /// An event about the object that no condition tells. One that is lost is no error.
    pub async fn event<K>(&self, object: &K, warning: bool, reason: &str, note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note),
            action: "Reconcile".into(),
            secondary: None,
        };
        if let Err(error) = self.events.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(%error, object = object.name_any(), reason, "an event was not recorded");
        }
    }

    async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, old: &[Condition], new: &[Condition]) {
        for condition in changed(old, new) {
            let note = format!("{}={}: {}", condition.type_, condition.status, condition.message);
            self.event(object, is_warning(condition), &condition.reason, note).await;
        }
    }

    fn wanted<S: Serialize>(
        &self,
        status: &S,
        conditions: &[Condition],
        without_conditions: bool,
    ) -> Result<Map<String, Value>, serde_json::Error> {
        let mut wanted = match serde_json::to_value(status)? {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        if !without_conditions {
            wanted.insert("conditions".into(), serde_json::to_value(conditions)?);
        }
        wanted.retain(|field, _| self.fields.own(field));
        Ok(wanted)
    }

    /// Whether the fields we own are as wanted; an absent list and an empty one are the same.
    fn same(&self, before: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
        let ours = |map: &Map<String, Value>| -> Map<String, Value> {
            let full =
                |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
            map.iter()
                .filter(|(field, value)| self.fields.own(field) && full(value))
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect()
        };
        ours(before) == ours(wanted)
    }
}

fn before<K: Serialize>(object: &K) -> Result<Map<String, Value>, serde_json::Error> {
    let mut whole = serde_json::to_value(object)?;
    Ok(match whole.get_mut("status").map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    })
}

fn conditions(status: &Map<String, Value>) -> Vec<Condition> {
    status.get("conditions").and_then(|list| serde_json::from_value(list.clone()).ok()).unwrap_or_default()
}

/// Conditions with times: a transition is a change of status; the time of an unchanged one stays.
fn merge(old: &[Condition], findings: &[Finding], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let now = cooperator_core::time::whole_second(now);
    findings
        .iter()
        .map(|Finding { type_, status, reason, message }| {
            let status = if *status { "True" } else { "False" };
            let before = old.iter().find(|old| old.type_ == *type_ && old.status == status);
            Condition {
                last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
                message: message.clone(),
                observed_generation: generation,
                reason: reason.clone(),
                status: status.to_owned(),
                type_: (*type_).to_owned(),
            }
        })
        .collect()
}

fn is_abnormal(condition: &Condition) -> bool {
    ABNORMAL.contains(&condition.type_.as_str())
}

/// Whether somebody has to act. Who suspends or revokes does not need to be warned of it.
fn is_warning(condition: &Condition) -> bool {
    match (is_abnormal(condition), condition.status == "True") {
        (true, yes) => yes && condition.type_ == condition::FAILED,
        (false, yes) => !yes && !reason::UNDER_WAY.contains(&condition.reason.as_str()),
    }
}

/// Conditions whose status or reason is new, each reason told once. That all is well from the start is no news.
fn changed<'a>(old: &[Condition], new: &'a [Condition]) -> Vec<&'a Condition> {
    let mut told: Vec<&Condition> = Vec::new();
    for condition in new {
        let known = old.iter().find(|old| old.type_ == condition.type_);
        let same = known.is_some_and(|old| old.status == condition.status && old.reason == condition.reason);
        let well = known.is_none() && is_abnormal(condition) && condition.status == "False";
        if !same
            && !well
            && !told.iter().any(|told| told.reason == condition.reason && told.message == condition.message)
        {
            told.push(condition);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_of_a_condition_moves_only_when_its_status_does() {
        let first = merge(&[], &[Finding::no("Ready", "Training", "step 1")], Some(1), at(10));
        let second = merge(&first, &[Finding::no("Ready", "Stopping", "step 2")], Some(1), at(20));
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        let third = merge(&second, &[Finding::yes("Ready", "Succeeded", "done")], Some(1), at(30));
        assert_eq!(third[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn an_event_is_told_for_a_new_reason_once_and_not_for_a_new_message() {
        let old = merge(&[], &[Finding::no("Ready", "Unschedulable", "0/1 nodes")], None, at(0));
        let same = merge(&old, &[Finding::no("Ready", "Unschedulable", "0/2 nodes")], None, at(1));
        assert!(changed(&old, &same).is_empty());
        let findings =
            [Finding::no("Ready", "NoRecords", "empty"), Finding::no("SourcesRead", "NoRecords", "empty")];
        assert_eq!(changed(&old, &merge(&old, &findings, None, at(2))).len(), 1);
    }

    #[test]
    fn only_what_somebody_must_act_on_is_a_warning() {
        let warns = |finding: Finding| is_warning(&merge(&[], &[finding], None, at(0))[0]);
        assert!(warns(Finding::no("Ready", "LicenseNotAllowed", "")));
        assert!(warns(Finding::yes("Failed", "LossNotFinite", "")));
        assert!(!warns(Finding::no("Ready", "DatasetNotReady", "")));
        assert!(!warns(Finding::yes("Revoked", "Revoked", "")));
        let key = [Finding::yes("Ready", "Minted", ""), Finding::no("Revoked", "NotRevoked", "")];
        assert_eq!(changed(&[], &merge(&[], &key, None, at(0))).len(), 1, "a key that works is told once");
    }
}
