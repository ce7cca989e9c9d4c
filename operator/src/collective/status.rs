//! Pure: what is said of a Collective.

use cooperator_api::collective::{Collective, CollectiveStatus, StorageStatus};
use cooperator_api::common::condition::{GATEWAY_READY, READY, STORAGE_READY};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;

use crate::domain::{Finding, Hold};

/// The Collective's object storage.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Where it is, if that is known.
    pub location: Option<StorageStatus>,
    /// Why it cannot be used.
    pub hold: Option<Hold>,
}

impl Storage {
    /// Nobody knows where.
    pub const fn unknown(hold: Hold) -> Self {
        Self { location: None, hold: Some(hold) }
    }

    /// It is there and does not answer.
    pub const fn held(location: StorageStatus, hold: Hold) -> Self {
        Self { location: Some(location), hold: Some(hold) }
    }
}

/// The gateway.
#[derive(Debug)]
pub enum Gateway {
    /// Applied, as the API server has it.
    Applied(Box<Deployment>),
    /// Not applied, and why.
    Held(Hold),
}

/// Ready, StorageReady, GatewayReady.
pub fn findings(storage: &Storage, gateway: &Gateway) -> Vec<Finding> {
    let storage = match &storage.hold {
        None => Finding::yes(STORAGE_READY, "Answers", "the bucket can be written and read"),
        Some(hold) => Finding::held(STORAGE_READY, hold),
    };
    let gateway = match gateway {
        Gateway::Held(hold) => Finding::held(GATEWAY_READY, hold),
        Gateway::Applied(deployment) => available(deployment),
    };
    let ready = match [&storage, &gateway].into_iter().find(|finding| !finding.status) {
        None => Finding::yes(READY, "Ready", "storage and gateway answer"),
        Some(cause) => Finding::no(READY, cause.reason.clone(), cause.message.clone()),
    };
    vec![ready, storage, gateway]
}

fn available(deployment: &Deployment) -> Finding {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    match (wanted, available) {
        (0, _) => Finding::no(GATEWAY_READY, "ScaledToZero", "spec.gateway.replicas is 0: raise it to serve"),
        (_, 0) => Finding::no(GATEWAY_READY, "Starting", "no gateway pod is available yet"),
        (_, some) => {
            Finding::yes(GATEWAY_READY, "Available", format!("{some} of {wanted} gateway pods are available"))
        }
    }
}

/// The fields this controller owns.
pub fn status(collective: &Collective, storage: Storage, gateway: &Gateway) -> CollectiveStatus {
    let before = collective.status.clone().unwrap_or_default();
    let url =
        format!("http://{}.{}.svc", gateway_name(collective), collective.namespace().unwrap_or_default());
    CollectiveStatus {
        observed_generation: collective.metadata.generation,
        members: i32::try_from(collective.spec.members.len()).ok(),
        // Runs under way keep their place even while nobody can ask for it.
        storage: storage.location.or(before.storage),
        gateway_url: match gateway {
            Gateway::Applied(_) => Some(url),
            Gateway::Held(_) => before.gateway_url,
        },
        ..CollectiveStatus::default()
    }
}

/// Name of the gateway's objects.
pub fn gateway_name(collective: &Collective) -> String {
    format!("{}-gateway", collective.name_any())
}
