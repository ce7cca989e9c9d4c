//! Objects to a snapshot. Pure: what is not whole is left out, with a line in the log.

use cooperator_api::api_key::ApiKey;
use cooperator_api::collective::Collective;
use cooperator_api::deployment::{AccessMode, Deployment};
use cooperator_core::digest::Digest;
use cooperator_core::money::Amount;
use http::uri::{Scheme, Uri};
use kube::ResourceExt;

use crate::snapshot::{Key, Route, RouteLimits, RoutePrice, Snapshot};

/// What this Collective's gateway decides by.
pub fn snapshot<'a>(
    collective: &Collective,
    keys: impl IntoIterator<Item = &'a ApiKey>,
    deployments: impl IntoIterator<Item = &'a Deployment>,
) -> Snapshot {
    let name = collective.name_any();
    let keys = keys.into_iter().filter(|key| key.spec.collective_ref.name == name);
    let keys = keys.filter_map(|object| usable(object.name_any(), key(object)));
    let currency = &collective.spec.treasury.currency;
    let deployments = deployments.into_iter().filter(|object| {
        object.status.as_ref().and_then(|status| status.collective.as_deref()) == Some(name.as_str())
    });
    let routes = deployments.filter_map(|object| usable(object.name_any(), route(object, currency)));
    let mut snapshot = Snapshot::new(keys, routes);
    snapshot.replicas = u32::try_from(collective.spec.gateway.replicas).unwrap_or(1).max(1);
    snapshot
}

/// Why an object that should be used cannot be.
struct Unusable(String);

fn usable<T>(name: String, made: Result<Option<T>, Unusable>) -> Option<T> {
    made.unwrap_or_else(|Unusable(why)| {
        tracing::warn!(name, why, "an object is left out by the gateway");
        None
    })
}

/// None while the key has no hash, and from its revocation or deletion on.
fn key(object: &ApiKey) -> Result<Option<Key>, Unusable> {
    let Some(hash) = object.status.as_ref().and_then(|status| status.sha256.as_deref()) else {
        return Ok(None);
    };
    if object.spec.revoked || object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let spec = &object.spec;
    let bad = |field: &str, why: &dyn std::fmt::Display| Unusable(format!("{field}: {why}"));
    let budget = spec.budget.as_ref().map(|budget| budget.amount.parse::<Amount>());
    let expires_at = spec.expires_at.as_ref().map(|time| time.parse());
    Ok(Some(Key {
        uid: object.uid().unwrap_or_default(),
        name: object.name_any(),
        consumer: spec.consumer.clone(),
        hash: hash.parse().map_err(|error| bad("status.sha256", &error))?,
        deployments: spec.deployments.iter().cloned().collect(),
        requests_per_minute: spec.limits.requests_per_minute.map(positive),
        tokens_per_minute: spec.limits.tokens_per_minute.map(positive),
        budget: budget.transpose().map_err(|error| bad("spec.budget.amount", &error))?,
        expires_at: expires_at.transpose().map_err(|error| bad("spec.expiresAt", &error))?,
    }))
}

/// None until all its pods serve one adapter, and from its deletion on.
fn route(object: &Deployment, currency: &str) -> Result<Option<Route>, Unusable> {
    let status = object.status.as_ref();
    let Some(adapter) = status.and_then(|status| status.adapter_digest.as_deref()) else { return Ok(None) };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let bad = |field: &str, why: &dyn std::fmt::Display| Unusable(format!("{field}: {why}"));
    let adapter: Digest = adapter.parse().map_err(|error| bad("status.adapterDigest", &error))?;
    let (name, spec) = (object.name_any(), &object.spec);
    let default = || format!("http://{name}-server.{}.svc:8000", object.namespace().unwrap_or_default());
    let upstream = status.and_then(|status| status.upstream.clone()).unwrap_or_else(default);
    let price = |field, text: &str| text.parse().map_err(|error| bad(field, &error));
    Ok(Some(Route {
        model: spec.model_name.clone().unwrap_or_else(|| name.clone()),
        deployment: name,
        upstream: origin(&upstream).ok_or_else(|| bad("status.upstream", &"must be http://host:port"))?,
        adapter: Some(adapter),
        public: spec.access.mode == AccessMode::Public,
        price: RoutePrice::new(
            currency,
            price("spec.price.inputTokensPerMillion", &spec.price.input_tokens_per_million)?,
            price("spec.price.outputTokensPerMillion", &spec.price.output_tokens_per_million)?,
        ),
        limits: RouteLimits {
            max_input_tokens: positive(spec.limits.max_input_tokens),
            max_output_tokens: positive(spec.limits.max_output_tokens),
            requests_per_minute: positive(spec.limits.requests_per_minute),
            tokens_per_minute: positive(spec.limits.tokens_per_minute),
        },
        created: object.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
    }))
}

fn origin(text: &str) -> Option<Uri> {
    let uri: Uri = text.trim_end_matches('/').parse().ok()?;
    let plain = uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/" && uri.query().is_none();
    (plain && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))).then_some(uri)
}

/// A bound that the CRD holds at one or more.
fn positive(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(1).max(1)
}
