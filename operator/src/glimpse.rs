//! What caches keep of an object: who it is, what it refers to, and little else. The whole object is read when it is
//! worked on. So memory does not grow with what people and we write into objects, and nobody works on an old state.

use std::borrow::Cow;
use std::marker::PhantomData;

use cooperator_api::common::LocalRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// A `K` as far as others need to know it. What is not kept is passed over while it is read, `managedFields` above all:
/// they are the larger half of a settled object.
#[derive(Clone, Debug)]
pub struct Glimpse<K, T = Outcome> {
    /// Name, namespace, resourceVersion.
    metadata: ObjectMeta,
    refs: Refs,
    /// What is kept of its status.
    pub status: Option<T>,
    kind: PhantomData<fn() -> K>,
}

/// What a spec refers to, whatever its kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refs {
    collective_ref: Option<LocalRef>,
    base_model_ref: Option<LocalRef>,
    dataset_ref: Option<LocalRef>,
    fine_tune_ref: Option<LocalRef>,
}

/// Whether something came out already.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// The adapter of a FineTune.
    pub adapter: Option<IgnoredAny>,
}

impl<K, T> Glimpse<K, T> {
    /// Whether it belongs to the Collective of this name.
    pub fn is_of(&self, collective: &str) -> bool {
        is(self.refs.collective_ref.as_ref(), collective)
    }

    /// Whether it starts from the BaseModel of this name.
    pub fn starts_from(&self, model: &str) -> bool {
        is(self.refs.base_model_ref.as_ref(), model)
    }

    /// Whether it trains on the Dataset of this name.
    pub fn trains_on(&self, dataset: &str) -> bool {
        is(self.refs.dataset_ref.as_ref(), dataset)
    }

    /// Whether it serves the FineTune of this name.
    pub fn serves(&self, tune: &str) -> bool {
        is(self.refs.fine_tune_ref.as_ref(), tune)
    }

    /// Name of the Collective it belongs to; empty where its spec names none.
    pub fn collective(&self) -> &str {
        name(self.refs.collective_ref.as_ref())
    }

    /// Name of the Dataset it trains on; empty where its spec names none.
    pub fn dataset(&self) -> &str {
        name(self.refs.dataset_ref.as_ref())
    }
}

fn name(reference: Option<&LocalRef>) -> &str {
    reference.map_or("", |reference| &reference.name)
}

fn is(reference: Option<&LocalRef>, other: &str) -> bool {
    reference.is_some_and(|reference| reference.name == other)
}

/// The object as it is written.
#[derive(Deserialize)]
struct Written<T> {
    metadata: Metadata,
    #[serde(default)]
    spec: Refs,
    status: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

impl<'de, K, T: Deserialize<'de>> Deserialize<'de> for Glimpse<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { metadata, spec, status } = Written::deserialize(deserializer)?;
        let Metadata { name, namespace, resource_version } = metadata;
        let metadata = ObjectMeta { name, namespace, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, refs: spec, status, kind: PhantomData })
    }
}

impl<K: Resource<DynamicType = ()>, T> Resource for Glimpse<K, T> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use cooperator_api::fine_tune::FineTune;
    use cooperator_api::settlement::Settlement;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_kept_and_what_an_object_says_besides_is_not() {
        let written = json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "FineTune",
            "metadata": {
                "name": "v1", "namespace": "band", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                "managedFields": [{"manager": "m", "fieldsV1": {"f:status": {}}}],
            },
            "spec": {"baseModelRef": {"name": "tiny"}, "datasetRef": {"name": "songs", "digest": "sha256:00"}},
            "status": {"adapter": {"digest": "sha256:00"}, "conditions": []},
        });
        let tune: Glimpse<FineTune> = serde_json::from_value(written).unwrap();
        assert_eq!(
            (tune.name_any(), tune.namespace(), tune.resource_version()),
            ("v1".into(), Some("band".into()), Some("7".into()))
        );
        assert!(tune.starts_from("tiny") && tune.trains_on("songs") && !tune.is_of("") && !tune.serves("v1"));
        assert!(tune.status.clone().unwrap().adapter.is_some());
        assert!(tune.managed_fields().is_empty() && tune.labels().is_empty());
    }

    #[test]
    fn an_object_that_has_no_status_yet_has_none() {
        let written = json!({"metadata": {"name": "s"}, "spec": {"collectiveRef": {"name": "band"}}});
        let settlement: Glimpse<Settlement> = serde_json::from_value(written).unwrap();
        assert!(settlement.is_of("band") && settlement.status.is_none());
        assert_eq!(Glimpse::<Settlement>::plural(&()), "settlements");
    }
}
