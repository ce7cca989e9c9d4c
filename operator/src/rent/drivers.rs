//! Client: the driver of each Provider, kept as long as neither its spec nor its key changes: it knows how often its vendor
//! may be asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cooperator_api::provider::{Provider, ProviderType};
use cooperator_core::time::Clock;
use cooperator_providers::{self as providers, Driver, Metered, Ssh, Vendor, connect, metered};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::nodes::Nodes;
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
    /// The API of this cluster.
    Cluster,
}

impl Reach {
    fn of(type_: ProviderType) -> Self {
        match type_ {
            ProviderType::Vast => Self::Vendor(Vendor::Vast),
            ProviderType::RunPod => Self::Vendor(Vendor::RunPod),
            ProviderType::Lambda => Self::Vendor(Vendor::Lambda),
            ProviderType::Hetzner => Self::Vendor(Vendor::Hetzner),
            ProviderType::Ssh => Self::Ssh,
            ProviderType::Static => Self::Cluster,
        }
    }

    /// The key of the Provider's Secret, and what has to be there. None: it needs no Secret.
    const fn secret(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Vendor(_) => Some(("apiKey", "the vendor's API key")),
            Self::Ssh => Some(("privateKey", "a private key in OpenSSH's form, without a passphrase")),
            Self::Cluster => None,
        }
    }
}

/// The key of a Provider's Secret that its driver needs.
pub fn secret_key(type_: ProviderType) -> &'static str {
    Reach::of(type_).secret().map_or("", |(field, _)| field)
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
    /// The Provider, its generation and the version of its Secret that the driver was made from.
    made_from: (Option<String>, Option<i64>, Option<String>),
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
        let reach = Reach::of(provider.spec.type_);
        let secret = match reach.secret() {
            Some((field, what)) => match read(pipeline, provider, field, what).await? {
                Ok(secret) => secret,
                Err(hold) => return Ok(Err(hold)),
            },
            None => Key::default(),
        };
        let made_from = (provider.uid(), provider.metadata.generation, secret.version);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (namespace, name);
        if let Some(found) = known.get(&entry).filter(|found| found.made_from == made_from) {
            return Ok(Ok(found.driver.clone()));
        }
        let connected = match reach {
            Reach::Vendor(vendor) => self.connect(vendor, provider.spec.endpoint.as_deref(), &secret.text),
            Reach::Ssh => ssh(provider, &secret.text),
            Reach::Cluster => nodes(pipeline, provider),
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
        connect(vendor, base, providers::Key::new(key), self.clock.clone())
            .map_err(|error| invalid(error.to_string()))
    }
}

/// The driver of members' machines.
fn ssh(provider: &Provider, key: &str) -> Result<Arc<dyn Driver>, Hold> {
    let refused = |error: providers::Error| match error {
        providers::Error::Unauthorized { .. } => Hold::new("CredentialsInvalid", error.to_string()),
        _ => Hold::new("MachineInvalid", error.to_string()),
    };
    Ok(Arc::new(Ssh::new(own::by_ssh(provider)?, &providers::Key::new(key)).map_err(refused)?))
}

/// The driver of nodes that are lent.
fn nodes(pipeline: &Pipeline, provider: &Provider) -> Result<Arc<dyn Driver>, Hold> {
    let name = format!("{}/{}", provider.namespace().unwrap_or_default(), provider.name_any());
    Ok(Arc::new(Nodes::new(pipeline.client.clone(), name, own::nodes(provider)?)))
}

/// What a Provider's Secret holds.
#[derive(Default)]
struct Key {
    text: String,
    /// Version of the Secret.
    version: Option<String>,
}

/// The key in a Provider's Secret, or why there is none.
async fn read(
    pipeline: &Pipeline,
    provider: &Provider,
    field: &str,
    what: &str,
) -> Result<Result<Key, Hold>, Error> {
    let name = provider.spec.secret_ref.as_ref().map_or("", |secret| &secret.name);
    let none = |message| Ok(Err(Hold::new("SecretNotFound", message)));
    let Some(secret) = pipeline.get::<Secret>(&provider.namespace().unwrap_or_default(), name).await? else {
        return none(format!("Secret `{name}` does not exist: create it with the key `{field}`, {what}"));
    };
    let bytes = secret.data.as_ref().and_then(|data| data.get(field));
    let text = bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).map(str::trim);
    match text.filter(|text| !text.is_empty()) {
        Some(text) => Ok(Ok(Key { text: text.to_owned(), version: secret.resource_version() })),
        None => none(format!("Secret `{name}` has no key `{field}`: put {what} there")),
    }
}
