//! A Collective's bucket, from outside the cluster.

use anyhow::{Context, Result};
use cooperator_api::collective::{Collective, StorageStatus};
use cooperator_contract::env;
use cooperator_contract::run::StorageLocation;
use cooperator_store::{Credentials, Store};
use kube::{Client, ResourceExt as _};

use crate::forward::Forward;
use crate::secret;

/// The bucket, and the way to it for as long as this lives.
pub struct Bucket {
    /// Client for the bucket.
    pub store: Store,
    _forward: Option<Forward>,
}

/// Opens the Collective's bucket with its own key: through the API server where the store runs inside the cluster.
///
/// # Errors
/// When the Collective has no storage yet, its key may not be read, or no pod of the store runs.
pub async fn open(client: &Client, collective: &Collective) -> Result<Bucket> {
    let name = collective.name_any();
    let namespace = collective.namespace().unwrap_or_default();
    let storage = collective.status.as_ref().and_then(|status| status.storage.clone());
    let storage =
        storage.with_context(|| format!("Collective {name} has no storage yet: see its conditions"))?;
    let credentials = key(client, &namespace, &storage).await?;
    let (endpoint, forward) = match inside(&storage.endpoint) {
        Some(Inside { service, namespace, port }) => {
            let forward = Forward::to_service(client, &namespace, &service, port).await?;
            (forward.url(), Some(forward))
        }
        None => (storage.endpoint.clone(), None),
    };
    let location =
        StorageLocation { endpoint, region: storage.region, bucket: storage.bucket, prefix: storage.prefix };
    Ok(Bucket { store: Store::connect(&location, credentials), _forward: forward })
}

/// The key of a Collective's bucket.
///
/// # Errors
/// When its Secret is not there, may not be read, or holds no key.
pub async fn key(client: &Client, namespace: &str, storage: &StorageStatus) -> Result<Credentials> {
    let fields = secret::read(client, namespace, &storage.secret_name).await?;
    Ok(Credentials::new(fields.text(env::ACCESS_KEY_ID)?, fields.text(env::SECRET_ACCESS_KEY)?))
}

/// A Service's address.
#[derive(Debug, PartialEq, Eq)]
struct Inside {
    service: String,
    namespace: String,
    port: u16,
}

/// What an endpoint names that only the cluster reaches: `http://<service>.<namespace>.svc:<port>`.
fn inside(endpoint: &str) -> Option<Inside> {
    let rest = endpoint.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':')?;
    let (service, namespace) = host.strip_suffix(".svc")?.split_once('.')?;
    Some(Inside { service: service.to_owned(), namespace: namespace.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_address_is_inside_the_cluster() {
        let garage = Inside { service: "garage".into(), namespace: "system".into(), port: 3900 };
        assert_eq!(inside("http://garage.system.svc:3900"), Some(garage));
        assert_eq!(inside("https://s3.example.org"), None);
    }
}
