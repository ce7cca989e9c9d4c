//! Pure: what a FineTune has cost, as far as a period needs to know it.

use cooperator_api::common::{Money, condition};
use cooperator_api::fine_tune::FineTune;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::domain::parse_time;
use crate::glimpse::Glimpse;

/// What of a FineTune's status tells its cost.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Costs {
    collective: Option<String>,
    cost: Option<Money>,
    attempts: Vec<Times>,
    conditions: Vec<Condition>,
    adapter: Option<IgnoredAny>,
    progress: Option<IgnoredAny>,
    machines: Vec<Rented>,
}

/// A machine that was rented for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rented {
    ended_at: Option<String>,
    #[serde(default, rename = "final")]
    is_final: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    started_at: String,
    ended_at: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl Costs {
    /// Whether this may be news to a Collective's books. A run that reports progress costs nothing until it ends.
    pub fn may_have_changed(&self) -> bool {
        if self.machines.iter().any(|machine| machine.ended_at.is_some()) {
            return true;
        }
        self.attempts.last().is_some_and(|newest| newest.ended_at.is_some() || self.progress.is_none())
    }

    /// Whether a machine was rented for it.
    pub fn has_rented(&self) -> bool {
        !self.machines.is_empty()
    }

    /// When it ended for good: it is complete or has failed, and what its machines cost is final.
    fn over(&self) -> Option<Timestamp> {
        if self.machines.iter().any(|machine| !machine.is_final) {
            return None;
        }
        let failed =
            self.conditions.iter().any(|found| found.type_ == condition::FAILED && found.status == "True");
        let ended = self.attempts.last()?.ended_at.as_deref().and_then(parse_time)?;
        let machines = self.machines.iter().filter_map(|machine| parse_time(machine.ended_at.as_deref()?));
        (failed || self.adapter.is_some()).then(|| machines.fold(ended, Timestamp::max))
    }
}

/// What a FineTune has cost.
#[derive(Clone, Debug)]
pub struct Expense {
    /// Name of the FineTune.
    pub fine_tune: String,
    /// Its uid.
    pub uid: String,
    /// Its Collective, once it knows it.
    pub collective: Option<String>,
    /// Name of its Dataset.
    pub dataset: String,
    /// Decimal string.
    pub amount: String,
    /// When its newest attempt ended, or began.
    pub at: Timestamp,
    /// When it ended for good, if it has.
    pub over: Option<Timestamp>,
}

impl Expense {
    /// Of a FineTune; none while it has cost nothing.
    pub fn of(tune: Glimpse<FineTune, Costs>) -> Option<Self> {
        let costs = tune.status.as_ref()?;
        let newest = costs.attempts.last()?;
        Some(Self {
            fine_tune: tune.name_any(),
            uid: tune.uid().unwrap_or_default(),
            collective: costs.collective.clone(),
            dataset: tune.dataset().to_owned(),
            amount: costs.cost.as_ref()?.amount.clone(),
            at: parse_time(newest.ended_at.as_deref().unwrap_or(&newest.started_at))?,
            over: costs.over(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn costs(status: &Value) -> Costs {
        serde_json::from_value(status.clone()).unwrap()
    }

    #[test]
    fn progress_of_a_run_is_no_news_and_its_beginning_and_end_are() {
        let attempt =
            |ended: Value| json!([{"number": 1, "startedAt": "2026-11-24T12:00:00Z", "endedAt": ended}]);
        let running = json!({"attempts": attempt(Value::Null), "progress": {"percentage": 5}});
        assert!(!costs(&json!({})).may_have_changed());
        assert!(costs(&json!({"attempts": attempt(Value::Null)})).may_have_changed());
        assert!(!costs(&running).may_have_changed());
        assert!(
            costs(&json!({"attempts": attempt(json!("2026-11-24T13:00:00Z")), "progress": {}}))
                .may_have_changed()
        );
    }

    #[test]
    fn it_is_over_once_what_its_machines_cost_is_final_and_then_since_the_last_of_them_ended() {
        let ended = json!([{"startedAt": "2026-11-24T12:00:00Z", "endedAt": "2026-11-24T13:00:00Z"}]);
        let rented = |is_final: bool| {
            let machines = json!([{"endedAt": "2026-11-24T13:05:00Z", "final": is_final}]);
            costs(&json!({"attempts": ended, "adapter": {"digest": "x"}, "machines": machines}))
        };
        assert_eq!(rented(false).over(), None);
        assert_eq!(rented(true).over().unwrap().to_string(), "2026-11-24T13:05:00Z");
        assert!(rented(true).may_have_changed());
    }

    #[test]
    fn it_is_over_when_it_has_an_adapter_or_has_failed() {
        let ended = json!([{"startedAt": "2026-11-24T12:00:00Z", "endedAt": "2026-11-24T13:00:00Z"}]);
        let failed = json!([{"type": "Failed", "status": "True", "reason": "OutOfMemory"}]);
        assert_eq!(costs(&json!({"attempts": ended})).over(), None);
        assert!(costs(&json!({"attempts": ended, "adapter": {"digest": "x"}})).over().is_some());
        assert!(costs(&json!({"attempts": ended, "conditions": failed})).over().is_some());
    }
}
