//! A Collective's object storage, once it answers.

use cooperator_api::collective::{Collective, StorageStatus};
use cooperator_api::common::condition;
use cooperator_contract::run::StorageLocation;
use kube::ResourceExt as _;

use super::finding::Hold;
use crate::runs::Bucket;

/// Where the Collective's objects lie, or why that is not known: it does not exist, or its storage does not answer.
///
/// # Errors
/// [`Hold`] with reason CollectiveNotFound or StorageNotReady.
pub fn bucket(collective: Option<&Collective>, name: &str) -> Result<Bucket, Hold> {
    let Some(collective) = collective else {
        let message = format!("Collective `{name}` does not exist in this namespace: create it");
        return Err(Hold::new("CollectiveNotFound", message));
    };
    let not_ready = || {
        let message =
            format!("the storage of Collective `{}` is not ready: see its conditions", collective.name_any());
        Hold::new("StorageNotReady", message)
    };
    let status = collective.status.as_ref().ok_or_else(not_ready)?;
    let answers = status
        .conditions
        .iter()
        .any(|found| found.type_ == condition::STORAGE_READY && found.status == "True");
    let storage = status.storage.as_ref().filter(|_| answers).ok_or_else(not_ready)?;
    Ok(located(storage))
}

/// The bucket that a status speaks of, whether or not it answers now.
pub fn located(storage: &StorageStatus) -> Bucket {
    let StorageStatus { endpoint, region, bucket, prefix, secret_name } = storage.clone();
    Bucket { location: StorageLocation { endpoint, region, bucket, prefix }, secret: secret_name }
}
