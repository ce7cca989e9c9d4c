//! Who rents: this cluster. Two installations can share an account with a vendor without ending each other's machines.

use cooperator_providers::Tenant;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};

use crate::pipeline::{Error, Pipeline};

/// What is there once in a cluster, and as long as the cluster.
const CLUSTER: &str = "kube-system";

/// The cluster's own name for itself.
pub async fn of(pipeline: &Pipeline) -> Result<Tenant, Error> {
    let api: Api<Namespace> = Api::all(pipeline.client.clone());
    let what = || format!("Namespace `{CLUSTER}`");
    let namespace =
        api.get(CLUSTER).await.map_err(|source| Error::Read { what: what(), source: Box::new(source) })?;
    Tenant::of(&namespace.uid().unwrap_or_default())
        .ok_or_else(|| Error::Domain(format!("{} has no uid that names a cluster", what())))
}
