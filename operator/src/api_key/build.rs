//! Pure: the Secret of a key.

use cooperator_api::api_key::{ApiKey, SECRET_FIELD};
use cooperator_api::names;
use cooperator_core::api_key::Key;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};

/// The Secret that shows a key to its consumer. It goes with the ApiKey.
pub fn secret(object: &ApiKey, key: &Key) -> Secret {
    let labels = [
        (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
        (names::LABEL_COLLECTIVE, object.spec.collective_ref.name.clone()),
        (names::LABEL_KIND, "apikey".to_owned()),
        (names::LABEL_NAME, object.name_any()),
    ];
    Secret {
        metadata: ObjectMeta {
            name: Some(object.spec.secret_ref.name.clone()),
            namespace: object.namespace(),
            labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            owner_references: object.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        string_data: Some([(SECRET_FIELD.to_owned(), key.expose().to_owned())].into()),
        type_: Some("Opaque".into()),
        immutable: Some(true),
        ..Secret::default()
    }
}

/// Whether the Secret was made for this object.
pub fn is_ours(secret: &Secret, object: &ApiKey) -> bool {
    secret.owner_references().iter().any(|owner| Some(&owner.uid) == object.uid().as_ref())
}

/// The key in a Secret; none if what it holds is no key.
pub fn key(secret: &Secret) -> Option<Key> {
    let bytes = secret.data.as_ref()?.get(SECRET_FIELD)?;
    Key::parse(std::str::from_utf8(&bytes.0).ok()?).ok()
}
