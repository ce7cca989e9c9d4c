//! Puts model and texts into the Collective's bucket, as a member would with any S3 client.

use anyhow::{Context, Result};
use cooperator_api::collective::Collective;
use cooperator_cluster::progress::Progress;
use cooperator_contract::run::StorageLocation;
use cooperator_store::{Credentials, Store};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::PRESIDENTS;
use crate::cluster::Cluster;
use crate::forward::Forward;
use crate::inputs::{Inputs, MODEL_FILE};

/// The bucket, and the way to it for as long as this lives.
pub struct Bucket {
    /// Client for the bucket.
    pub store: Store,
    _forward: Option<Forward>,
}

/// Opens the Collective's bucket from outside the cluster: through the API server where the store runs inside.
///
/// # Errors
/// When the Collective has no storage yet or its key cannot be read.
pub async fn open(cluster: &Cluster, collective: &Collective) -> Result<Bucket> {
    let storage = collective
        .status
        .as_ref()
        .and_then(|status| status.storage.clone())
        .context("the Collective is Ready, so its status names its storage")?;
    let secret =
        Api::<Secret>::namespaced(cluster.client.clone(), PRESIDENTS).get(&storage.secret_name).await?;
    let field = |name: &str| -> Result<String> {
        let data = secret.data.as_ref().and_then(|data| data.get(name));
        let bytes = &data.with_context(|| format!("Secret {} has no {name}", storage.secret_name))?.0;
        Ok(String::from_utf8(bytes.clone())?)
    };
    let credentials = Credentials::new(field("AWS_ACCESS_KEY_ID")?, field("AWS_SECRET_ACCESS_KEY")?);
    let (endpoint, forward) = match inside(&storage.endpoint) {
        Some((namespace, port)) => {
            let labels = "app.kubernetes.io/name=cooperator,app.kubernetes.io/component=garage";
            let forward = Forward::to(&cluster.client, &namespace, labels, port).await?;
            (forward.url(), Some(forward))
        }
        None => (storage.endpoint.clone(), None),
    };
    let location =
        StorageLocation { endpoint, region: storage.region, bucket: storage.bucket, prefix: storage.prefix };
    Ok(Bucket { store: Store::connect(&location, credentials), _forward: forward })
}

/// Namespace and port of an endpoint that only the cluster reaches: `http://<service>.<namespace>.svc:<port>`.
fn inside(endpoint: &str) -> Option<(String, u16)> {
    let rest = endpoint.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':')?;
    let (_, namespace) = host.strip_suffix(".svc")?.split_once('.')?;
    Some((namespace.to_owned(), port.parse().ok()?))
}

/// Uploads what is not there with its full size yet.
///
/// # Errors
/// When the bucket cannot be written.
pub async fn upload(
    cluster: &Cluster,
    collective: &Collective,
    inputs: &Inputs,
    progress: &Progress,
) -> Result<()> {
    let step = progress.step("Uploading the model and the addresses", None);
    let bucket = open(cluster, collective).await?;
    let model = (MODEL_FILE.to_owned(), inputs.model.clone());
    for (name, path) in inputs.texts.iter().chain([&model]) {
        let key = format!("incoming/{name}");
        let size = std::fs::metadata(path)?.len();
        if bucket.store.head(&key).await? != Some(size) {
            bucket.store.put_file(&key, path).await?;
        }
    }
    step.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_address_is_inside_the_cluster() {
        let garage = inside("http://cooperator-garage.cooperator-system.svc:3900");
        assert_eq!(garage, Some(("cooperator-system".into(), 3900)));
        assert_eq!(inside("https://s3.example.org"), None);
    }
}
