//! Objects of other kinds that a reconcile keeps: brought to what is wanted by server-side apply, and left alone when
//! they are so already.

use cooperator_contract::canonical;
use cooperator_core::digest::Digest;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::pipeline::{Error, Pipeline};

/// Annotation with the digest of what was last applied, so that a settled object is not written again.
const APPLIED: &str = "cooperator.dev/applied";

impl Pipeline {
    /// Brings an object to what is wanted, and returns it as the API server has it. Another's changes to fields that
    /// are ours are undone when the digest of what is wanted changes; fields that are not ours stay.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`].
    pub async fn keep<K>(&self, manager: &str, mut wanted: K) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
    {
        let (name, namespace) = (wanted.name_any(), wanted.namespace().unwrap_or_default());
        let what = format!("{} `{name}`", K::kind(&()));
        let bytes = canonical(&wanted).map_err(|error| Error::Domain(format!("{what}: {error}")))?;
        let digest = Digest::of(&bytes).to_string();
        if let Some(found) = self.get::<K>(&namespace, &name).await?
            && found.annotations().get(APPLIED) == Some(&digest)
        {
            return Ok(found);
        }
        wanted.annotations_mut().insert(APPLIED.into(), digest);
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        api.patch(&name, &PatchParams::apply(manager).force(), &Patch::Apply(&wanted))
            .await
            .map_err(|source| Error::Write { what, source: Box::new(source) })
    }
}
