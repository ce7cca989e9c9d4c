//! Client: the driver of each Provider, kept as long as neither its spec nor its key changes: it knows how often its vendor
//! may be asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cooperator_api::provider::{Provider, ProviderType};
use cooperator_core::time::Clock;
use cooperator_providers::{Driver, Key, Metered, Ssh, Vendor, connect, metered};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::own;
use crate::domain::Hold;
use crate::pipeline::{Error, Pipeline};

/// What a Provider's machines are reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The API of a vendor.
    Vendor(Vendor),
    /// SSH.
    Ssh,
}

impl Reach {
    /// Of a type; none: not supported.
    fn of(type_: ProviderType) -> Option<Self> {
        match type_ {
            ProviderType::Vast => Some(Self::Vendor(Vendor::Vast)),
            ProviderType::RunPod => Some(Self::Vendor(Vendor::RunPod)),
            ProviderType::Lambda => Some(Self::Vendor(Vendor::Lambda)),
            ProviderType::Hetzner => Some(Self::Vendor(Vendor::Hetzner)),
            ProviderType::Ssh => Some(Self::Ssh),
            ProviderType::Static => None,
        }
    }

    /// The key of the Provider's Secret, and what has to be there.
    const fn secret(self) -> (&'static str, &'static str) {
        match self {
            Self::Vendor(_) => ("apiKey", "the vendor's API key"),
            Self::Ssh => ("privateKey", "a private key in OpenSSH's form, without a passphrase"),
        }
    }
}

/// The key of a Provider's Secret that its driver needs.
pub fn secret_key(type_: ProviderType) -> &'static str {
    Reach::of(type_).map_or("apiKey", |reach| reach.secret().0)
}

/// Drivers by namespace and name of their Provider.
pub struct Drivers {
    clock: Arc<dyn Clock>,
    calls: metered::Metrics,
    known: Mutex<HashMap<(String, String), Known>>,
    /// Drivers that tests have set, by name of their Provider.
    #[cfg(test)]
    pub set: Mutex<HashMap<String, Arc<dyn Driver>>>,
}

struct Known {
    /// Generation of the Provider and version of its Secret that the driver was made from.
    made_from: (Option<i64>, Option<String>),
    driver: Arc<dyn Driver>,
}

impl Drivers {
    /// None yet. Calls are counted in `calls`.
    pub fn new(clock: Arc<dyn Clock>, calls: metered::Metrics) -> Self {
        Self {
            clock,
            calls,
            known: Mutex::default(),
            #[cfg(test)]
            set: Mutex::default(),
        }
    }

    /// The driver of a Provider, or why there is none: its Secret is missing or holds no key.
    ///
    /// # Errors
    /// [`Error::Read`]
    pub async fn of(
        &self,
        pipeline: &Pipeline,
        provider: &Provider,
    ) -> Result<Result<Arc<dyn Driver>, Hold>, Error> {
        let namespace = provider.namespace().unwrap_or_default();
        let name = provider.name_any();
        #[cfg(test)]
        if let Some(driver) = self.set.lock().unwrap().get(&name) {
            return Ok(Ok(driver.clone()));
        }
        let Some(reach) = Reach::of(provider.spec.type_) else {
            let message = format!(
                "type {} is not supported yet: use Vast, RunPod, Lambda, Hetzner or SSH",
                provider.spec.type_.name()
            );
            return Ok(Err(Hold::new("TypeNotSupported", message)));
        };
        let (field, what) = reach.secret();
        let secret_name = provider.spec.secret_ref.as_ref().map_or("", |secret| &secret.name);
        let Some(secret) = pipeline.get::<Secret>(&namespace, secret_name).await? else {
            let message =
                format!("Secret `{secret_name}` does not exist: create it with the key `{field}`, {what}");
            return Ok(Err(Hold::new("SecretNotFound", message)));
        };
        let made_from = (provider.metadata.generation, secret.resource_version());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (namespace, name);
        if let Some(found) = known.get(&entry).filter(|found| found.made_from == made_from) {
            return Ok(Ok(found.driver.clone()));
        }
        let Some(key) = key(&secret, field) else {
            let message = format!("Secret `{secret_name}` has no key `{field}`: put {what} there");
            return Ok(Err(Hold::new("SecretNotFound", message)));
        };
        let connected = match reach {
            Reach::Vendor(vendor) => self.connect(vendor, provider.spec.endpoint.as_deref(), &key),
            Reach::Ssh => ssh(provider, &key),
        };
        match connected {
            Ok(driver) => {
                let driver: Arc<dyn Driver> =
                    Arc::new(Metered::new(driver, self.calls.clone(), self.clock.clone()));
                known.insert(entry, Known { made_from, driver: driver.clone() });
                Ok(Ok(driver))
            }
            Err(hold) => Ok(Err(hold)),
        }
    }

    fn connect(&self, vendor: Vendor, endpoint: Option<&str>, key: &str) -> Result<Arc<dyn Driver>, Hold> {
        let invalid = |message: String| Hold::new("EndpointInvalid", message);
        let base = endpoint.map(str::parse).transpose();
        let base = base.map_err(|error: url::ParseError| invalid(format!("spec.endpoint: {error}")))?;
        connect(vendor, base, Key::new(key), self.clock.clone()).map_err(|error| invalid(error.to_string()))
    }
}

/// The driver of members' machines.
fn ssh(provider: &Provider, key: &str) -> Result<Arc<dyn Driver>, Hold> {
    let refused = |error: cooperator_providers::Error| match error {
        cooperator_providers::Error::Unauthorized { .. } => Hold::new("CredentialsInvalid", error.to_string()),
        _ => Hold::new("MachineInvalid", error.to_string()),
    };
    Ok(Arc::new(Ssh::new(own::by_ssh(provider)?, &Key::new(key)).map_err(refused)?))
}

fn key(secret: &Secret, field: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(field)?;
    let key = std::str::from_utf8(&bytes.0).ok()?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}
