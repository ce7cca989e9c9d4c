//! The steps, in order.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::api_key::{ApiKey, SECRET_FIELD};
use cooperator_core::api_key::{ENTROPY_BYTES, Key};
use cooperator_kit::answer::is_there;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use rand::TryRngCore as _;

use super::build;
use super::status::{self, Minted};
use crate::domain::Hold;
use crate::pipeline::{Error, Pipeline, again};
use crate::report::Fields;

/// Field manager of this controller.
const MANAGER: &str = "cooperator-apikey";

/// Brings one key nearer to what its spec asks for. The Secret comes first and status follows from it, so that a crash
/// between the two loses nothing; a key that status knows is never minted again.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(object: Arc<ApiKey>, pipeline: Arc<Pipeline>) -> Result<Action, Error> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = pipeline.clock.now();
    let found = dereference(&pipeline, &object).await?; // client
    let known = object.status.as_ref().is_some_and(|status| status.sha256.is_some());
    let minted = match (found, known) {
        (Some(secret), _) => read(&object, &secret), // pure
        (None, true) => Minted::Hidden,
        (None, false) => mint(&pipeline, &object).await?, // client
    };
    let findings = status::findings(&object, &minted, now); // pure
    let status = status::status(&object, &minted); // pure
    let reporter = pipeline.reporter(MANAGER, Fields::AllBut(&["spent", "leases"]));
    reporter.report(&*object, &status, &findings, now).await?; // client
    let left = status::expiry(&object).filter(|end| *end > now);
    let left = left.and_then(|end| u64::try_from(end.as_second() - now.as_second() + 1).ok());
    Ok(again(left.map(Duration::from_secs)))
}

async fn dereference(pipeline: &Pipeline, object: &ApiKey) -> Result<Option<Secret>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    pipeline.get(&namespace, &object.spec.secret_ref.name).await
}

fn read(object: &ApiKey, secret: &Secret) -> Minted {
    let name = secret.name_any();
    if !build::is_ours(secret, object) {
        let message = format!(
            "spec.secretRef names Secret `{name}`, which is not this ApiKey's: delete it or name another"
        );
        return Minted::Held(Hold::new("SecretTaken", message));
    }
    match build::key(secret) {
        Some(key) => Minted::Shown(key),
        None => {
            let message =
                format!("Secret `{name}` holds no key under `{}`: delete it to have one made", SECRET_FIELD);
            Minted::Held(Hold::new("SecretUnreadable", message))
        }
    }
}

async fn mint(pipeline: &Pipeline, object: &ApiKey) -> Result<Minted, Error> {
    let mut entropy = [0; ENTROPY_BYTES];
    rand::rngs::OsRng
        .try_fill_bytes(&mut entropy)
        .map_err(|error| Error::Domain(format!("the operating system gives no randomness: {error}")))?;
    let key = Key::mint(entropy);
    let namespace = object.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(pipeline.client.clone(), &namespace);
    let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    match secrets.create(&params, &build::secret(object, &key)).await {
        Ok(_) => Ok(Minted::Shown(key)),
        // Another replica, or this one before a crash: what the Secret holds counts.
        Err(error) if is_there(&error) => match dereference(pipeline, object).await? {
            Some(secret) => Ok(read(object, &secret)),
            None => Err(Error::Domain(format!("Secret `{}` came and went", object.spec.secret_ref.name))),
        },
        Err(error) => Err(Error::write(format!("Secret `{}`", object.spec.secret_ref.name))(error)),
    }
}
