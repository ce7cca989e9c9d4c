//! Budgets in `ApiKey.status`, written by compare-and-swap on the object's resourceVersion.

use async_trait::async_trait;
use cooperator_api::api_key::{ApiKey, BudgetLease};
use cooperator_api::common::Money;
use cooperator_core::money::{Amount, MoneyError};
use cooperator_kit::answer::{is_absent, is_conflict};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::budget::lease::{Lease, LeaseState};
use crate::budget::{LeaseStore, StoreError, Written};

/// The ApiKeys of a namespace.
pub struct KubeLeases {
    keys: Api<ApiKey>,
    currency: String,
}

impl KubeLeases {
    /// With the currency that amounts are in.
    pub fn new(keys: Api<ApiKey>, currency: &str) -> Self {
        Self { keys, currency: currency.to_owned() }
    }
}

#[async_trait]
impl LeaseStore for KubeLeases {
    async fn read(&self, name: &str, uid: &str) -> Result<(LeaseState, String), StoreError> {
        let object = self.keys.get(name).await.map_err(|error| store_error(&error))?;
        if object.metadata.uid.as_deref() != Some(uid) {
            return Err(StoreError::Gone);
        }
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let state = state(&object).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok((state, version))
    }

    async fn write(
        &self,
        name: &str,
        state: &LeaseState,
        gateway: &str,
        version: String,
    ) -> Result<Written, StoreError> {
        let leases: Vec<BudgetLease> = state.leases.iter().map(written).collect();
        let spent = Money { amount: state.spent.to_string(), currency: self.currency.clone() };
        // A merge patch with a resourceVersion is refused (409) unless the object still has it; sent twice by a
        // retry below us, the second is refused, and what the first wrote is read and found in order.
        let patch = json!({
            "metadata": { "resourceVersion": version },
            "status": { "spent": spent, "leases": leases },
        });
        let manager = PatchParams {
            field_manager: Some(format!("cooperator-gateway/{gateway}")),
            ..PatchParams::default()
        };
        match self.keys.patch_status(name, &manager, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(Written::Done),
            Err(error) if is_conflict(&error) => Ok(Written::Conflict),
            Err(error) => Err(store_error(&error)),
        }
    }
}

fn store_error(error: &kube::Error) -> StoreError {
    match error {
        error if is_absent(error) => StoreError::Gone,
        // The message of the API server alone: its whole answer may quote the object.
        kube::Error::Api(status) => StoreError::Unavailable(format!("{} {}", status.code, status.reason)),
        _ => StoreError::Unavailable("the API server cannot be reached".to_owned()),
    }
}

pub(super) fn state(object: &ApiKey) -> Result<LeaseState, MoneyError> {
    let budget = object.spec.budget.as_ref().map(|budget| budget.amount.parse()).transpose()?;
    let Some(status) = &object.status else { return Ok(LeaseState { budget, ..LeaseState::default() }) };
    let spent = status.spent.as_ref().map_or(Ok(Amount::ZERO), |spent| spent.amount.parse())?;
    let read = |lease: &BudgetLease| {
        Ok(Lease {
            gateway: lease.gateway.clone(),
            granted: lease.granted.parse()?,
            spent: lease.spent.parse()?,
        })
    };
    let leases = status.leases.iter().map(read).collect::<Result<_, MoneyError>>()?;
    Ok(LeaseState { budget, spent, leases })
}

fn written(lease: &Lease) -> BudgetLease {
    BudgetLease {
        gateway: lease.gateway.clone(),
        granted: lease.granted.to_string(),
        spent: lease.spent.to_string(),
    }
}
