//! Client: the Collective's object storage. Its own, or a bucket in the default store.

use cooperator_api::collective::{Collective, StorageStatus};
use cooperator_contract::env;
use cooperator_store::{Credentials, Error as StoreError, Store};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::reconcile::{MANAGER, owner};
use super::status::Storage;
use crate::context::{Context, DefaultStore, Error, Parts};
use crate::domain::{Hold, located};
use crate::garage::bucket_name;
use crate::pods::Part;

/// Attempts of the check: short, because it is repeated anyway.
const ATTEMPTS: u32 = 2;

/// Finds or makes the storage, and tries it.
pub async fn ensure(context: &Context, collective: &Collective) -> Result<Storage, Error> {
    match (&collective.spec.storage, &context.default_store) {
        (Some(_), _) => own(context, collective).await,
        (None, Some(store)) => default(context, collective, store).await,
        (None, None) => Ok(Storage::unknown(Hold::new(
            "NoDefaultStore",
            "no default store is installed: set spec.storage, or install with objectStorage.embedded.enabled=true or \
             objectStorage.external",
        ))),
    }
}

/// The storage that spec names; its Secret is the user's.
async fn own(context: &Context, collective: &Collective) -> Result<Storage, Error> {
    let Some(spec) = &collective.spec.storage else {
        return Ok(Storage::unknown(Hold::new("NoStorage", "")));
    };
    let location = StorageStatus {
        endpoint: spec.endpoint.trim_end_matches('/').to_owned(),
        region: spec.region.clone(),
        bucket: spec.bucket.clone(),
        prefix: spec.prefix.clone(),
        secret_name: spec.secret_ref.name.clone(),
    };
    let namespace = collective.namespace().unwrap_or_default();
    let Some(secret) = context.pipeline.get::<Secret>(&namespace, &location.secret_name).await? else {
        let message = format!("Secret `{}` does not exist: create it with {}", location.secret_name, both());
        return Ok(Storage::held(location, Hold::new("SecretNotFound", message)));
    };
    let Some(key) = credentials(&secret) else {
        let message = format!("Secret `{}` needs {}", location.secret_name, both());
        return Ok(Storage::held(location, Hold::new("SecretInvalid", message)));
    };
    let hold = check(&location, key).await.err();
    Ok(Storage { location: Some(location), hold })
}

/// The Collective's part of the default store; the Secret is ours.
async fn default(context: &Context, collective: &Collective, store: &DefaultStore) -> Result<Storage, Error> {
    let location = part_of(store, collective);
    let namespace = collective.namespace().unwrap_or_default();
    let secret = context.pipeline.get::<Secret>(&namespace, &location.secret_name).await?;
    if let Some(key) = secret.as_ref().and_then(credentials)
        && check(&location, key).await.is_ok()
    {
        return Ok(Storage { location: Some(location), hold: None });
    }
    // Not made yet, or no longer what the store knows: made, or put right.
    let key = match &store.parts {
        Parts::Prefixes { key, .. } => Ok(key.clone()),
        Parts::Buckets(admin) => admin.bucket_with_key(&location.bucket, &location.bucket).await,
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => return Ok(Storage::held(location, Hold::new("StorageUnreachable", error.to_string()))),
    };
    let wanted = wanted_secret(collective, &location.secret_name, &key);
    cooperator_kit::apply(&context.pipeline.client, MANAGER, wanted).await?;
    let hold = check(&location, key).await.err();
    Ok(Storage { location: Some(location), hold })
}

/// Where in the default store the Collective's objects lie.
fn part_of(store: &DefaultStore, collective: &Collective) -> StorageStatus {
    let (namespace, name) = (collective.namespace().unwrap_or_default(), collective.name_any());
    let (bucket, prefix) = match &store.parts {
        Parts::Buckets(_) => (bucket_name(&namespace, &name), String::new()),
        Parts::Prefixes { bucket, prefix, .. } => (bucket.clone(), format!("{prefix}{namespace}/{name}/")),
    };
    StorageStatus {
        endpoint: store.endpoint.clone(),
        region: store.region.clone(),
        bucket,
        prefix,
        secret_name: format!("{name}-storage"),
    }
}

fn wanted_secret(collective: &Collective, name: &str, key: &Credentials) -> Secret {
    let part = Part {
        namespace: collective.namespace().unwrap_or_default(),
        collective: collective.name_any(),
        kind: "collective",
        name: collective.name_any(),
        component: "storage",
        owner: owner(collective),
    };
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = [
        (env::ACCESS_KEY_ID.to_owned(), bytes(key.access_key_id())),
        (env::SECRET_ACCESS_KEY.to_owned(), bytes(key.secret_access_key())),
    ];
    Secret {
        metadata: part.metadata(name),
        data: Some(data.into()),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let value = |name: &str| {
        let bytes = secret.data.as_ref()?.get(name)?;
        String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
    };
    Some(Credentials::new(value(env::ACCESS_KEY_ID)?, value(env::SECRET_ACCESS_KEY)?))
}

/// Whether the key can do what a Collective needs.
async fn check(location: &StorageStatus, key: Credentials) -> Result<(), Hold> {
    let store = Store::connect(&located(location).location, key).with_attempts(ATTEMPTS);
    store.check().await.map_err(|error| {
        let reason = match error {
            StoreError::Forbidden { .. } => "StorageForbidden",
            StoreError::NotFound { .. } => "BucketNotFound",
            StoreError::Corrupt { .. } => "StorageCorrupt",
            _ => "StorageUnreachable",
        };
        Hold::new(reason, error.to_string())
    })
}

fn both() -> String {
    format!("the keys {} and {}", env::ACCESS_KEY_ID, env::SECRET_ACCESS_KEY)
}
