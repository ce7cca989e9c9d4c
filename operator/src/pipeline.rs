//! What the reconcilers of the main job share, from a base model to a settlement.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::collective::{Collective, Departed};
use cooperator_core::time::{Clock, Timestamp};
use cooperator_kit::answer::{is_absent, is_conflict};
use cooperator_store::{Credentials, Store};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::events::Events;
use crate::report::{Fields, ReportError, Reporter};
use crate::runs::{self, Bucket, Owner, Site};

/// How often a settled object is looked at again, should an event have been missed.
const RESYNC: Duration = Duration::from_secs(600);

/// Handed to every reconcile.
#[derive(Clone)]
pub struct Pipeline {
    /// The API server.
    pub client: Client,
    /// Where events go.
    pub events: Events,
    /// Settings of the installation.
    pub site: Site,
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Since when this program takes reports of progress: silence before is not the run's.
    pub listening_since: Timestamp,
}

/// Why a reconcile did not come to its end. It is tried again, ever more seldom.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// Kind and name.
        what: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// Something could not be written.
    #[error("cannot write {what}: {source}")]
    Write {
        /// Kind and name.
        what: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// The Secret of a Collective's storage has no key.
    #[error("Secret `{name}` needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    NoCredentials {
        /// Name of the Secret.
        name: String,
    },
    /// An object of ours could not be brought to what is wanted.
    #[error(transparent)]
    Apply(#[from] cooperator_kit::ApplyError),
    /// A run could not be moved on.
    #[error(transparent)]
    Run(#[from] runs::Error),
    /// Status could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Object storage failed.
    #[error(transparent)]
    Store(#[from] cooperator_store::Error),
    /// Something of ours does not compute.
    #[error("{0}")]
    Domain(String),
}

impl Error {
    /// [`Error::Write`] of an object, from the API server's answer.
    pub(crate) fn write(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        |source| Self::Write { what, source: Box::new(source) }
    }

    /// Whether something could not be written because it had changed since it was read.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source, .. } if is_conflict(source))
    }
}

impl Pipeline {
    /// A writer of status for one controller.
    pub fn reporter(&self, manager: &'static str, fields: Fields) -> Reporter {
        Reporter { client: self.client.clone(), events: self.events.clone(), manager, fields }
    }

    /// An object of the namespace; none if it does not exist, or its kind does not.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn get<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        match api.get(name).await {
            Err(error) if is_absent(&error) => Ok(None),
            found => found.map(Some).map_err(read(format!("{} `{name}`", K::kind(&())))),
        }
    }

    /// All objects of a kind in the namespace.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn list<K>(&self, namespace: &str) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send,
    {
        let mut all = Vec::new();
        self.each(namespace, |object| all.push(object)).await?;
        Ok(all)
    }

    /// The pods of the namespace with these labels (`key=value,...`).
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>, Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = api.list(&ListParams::default().labels(labels)).await;
        Ok(found.map_err(read(format!("the Pods with {labels}")))?.items)
    }

    /// Hands over all objects of a kind in the namespace, read page by page: memory holds one page of them as it is
    /// written.
    ///
    /// # Errors
    /// [`Error::Read`], also when the objects changed so much meanwhile that the API server begins anew.
    pub async fn each<K>(&self, namespace: &str, mut take: impl FnMut(K) + Send) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let mut page = ListParams::default().limit(cooperator_kit::PAGE);
        loop {
            let what = format!("every {} of namespace `{namespace}`", K::kind(&()));
            let list = match api.list(&page).await {
                // Who removes the definitions removes all objects, and those that have finalizers still have to go.
                Err(error) if is_absent(&error) => return Ok(()),
                list => list.map_err(read(what))?,
            };
            list.items.into_iter().for_each(&mut take);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// Sets what a Collective has still to recover for FineTunes that are no more. It is refused if the Collective has
    /// changed since it was read: two controllers write this list.
    ///
    /// # Errors
    /// [`Error::Write`]; calling again with a fresh Collective is safe.
    pub async fn set_departed(&self, collective: &Collective, all: &[Departed]) -> Result<(), Error> {
        let name = collective.name_any();
        let patch = json!({
            "metadata": { "resourceVersion": collective.resource_version() }, "status": { "departed": all },
        });
        let namespace = collective.namespace().unwrap_or_default();
        let api: Api<Collective> = Api::namespaced(self.client.clone(), &namespace);
        let written = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        written.map(drop).map_err(Error::write(format!("Collective `{name}`")))
    }

    /// A Collective's object storage, with its own key.
    ///
    /// # Errors
    /// [`Error::NoCredentials`] if its Secret is missing or holds no key.
    pub async fn store(&self, namespace: &str, bucket: &Bucket) -> Result<Store, Error> {
        let none = || Error::NoCredentials { name: bucket.secret.clone() };
        let secret: Secret = self.get(namespace, &bucket.secret).await?.ok_or_else(none)?;
        let value = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.0.clone()).ok()
        };
        let id = value(cooperator_contract::env::ACCESS_KEY_ID).ok_or_else(none)?;
        let key = value(cooperator_contract::env::SECRET_ACCESS_KEY).ok_or_else(none)?;
        Ok(Store::connect(&bucket.location, Credentials::new(id, key)))
    }
}

/// The owner of a run, from the object itself.
pub fn owner<K: Resource<DynamicType = ()>>(object: &K, kind: &'static str, plural: &'static str) -> Owner {
    let reference = object.controller_owner_ref(&()).unwrap_or_default();
    Owner {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        kind,
        plural,
        reference,
    }
}

/// When to look again: as the run says, else now and then.
pub fn again(after: Option<Duration>) -> Action {
    Action::requeue(after.unwrap_or(RESYNC).min(RESYNC))
}

/// Whether a result is not what it claims to be, rather than out of reach for now.
pub fn spoiled(error: &cooperator_store::Error) -> bool {
    use cooperator_store::Error::{Corrupt, Malformed, NotFound};
    matches!(error, NotFound { .. } | Corrupt { .. } | Malformed { .. })
}

fn read(what: String) -> impl FnOnce(kube::Error) -> Error {
    |source| Error::Read { what, source: Box::new(source) }
}
