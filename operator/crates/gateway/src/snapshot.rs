//! What the gateway decides by: keys and routes at one moment. The HTTP side knows only this; [`crate::config`] makes
//! it from the cluster, tests make it by hand. A new one replaces the old one whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cooperator_contract::usage::PriceTag;
use cooperator_core::api_key::KeyHash;
use cooperator_core::digest::Digest;
use cooperator_core::money::{Amount, Price};
use cooperator_core::time::Timestamp;
use http::uri::Uri;

/// Keys and routes of one Collective.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    keys: HashMap<[u8; 32], Arc<Key>>,
    routes: BTreeMap<String, Arc<Route>>,
    /// Gateways that share the limits a minute; at least 1.
    pub replicas: u32,
    made: bool,
}

/// A consumer's key, as far as a request needs it. Revoked keys are not in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `metadata.uid` of the ApiKey.
    pub uid: String,
    /// Name of the ApiKey.
    pub name: String,
    /// Who pays.
    pub consumer: String,
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// Names of the Deployments it opens; empty: all.
    pub deployments: BTreeSet<String>,
    /// Bound of its own, besides the Deployment's.
    pub requests_per_minute: Option<u32>,
    /// Bound of its own, besides the Deployment's.
    pub tokens_per_minute: Option<u32>,
    /// Prepaid money in all; none: no bound.
    pub budget: Option<Amount>,
    /// First instant at which it no longer works.
    pub expires_at: Option<Timestamp>,
}

/// A Deployment that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What callers name as `model`.
    pub model: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// Scheme and authority of the server: `http://host:port`.
    pub upstream: Uri,
    /// Adapter that all pods serve.
    pub adapter: Option<Digest>,
    /// Whether no key is needed. What is used so is metered at price 0.
    pub public: bool,
    /// Prices.
    pub price: RoutePrice,
    /// Bounds.
    pub limits: RouteLimits,
    /// When the Deployment was made, seconds since 1970.
    pub created: i64,
}

/// What a token of a route costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePrice {
    /// Per million prompt tokens.
    pub input: Price,
    /// Per million generated tokens.
    pub output: Price,
    /// The same, as a row of the usage log says it.
    pub tag: PriceTag,
}

impl RoutePrice {
    /// Prices in a currency.
    pub fn new(currency: &str, input: Price, output: Price) -> Self {
        let tag =
            PriceTag { currency: currency.to_owned(), input: input.to_string(), output: output.to_string() };
        Self { input, output, tag }
    }

    /// What so many tokens cost. Prices and token counts are bounded so far below the range of an [`Amount`] that the
    /// sum saturates only on counts that no request reaches.
    pub fn amount(&self, input_tokens: u64, output_tokens: u64) -> Amount {
        let (input, output) = (self.input.amount(input_tokens), self.output.amount(output_tokens));
        input.plus(output).unwrap_or(Amount::from_pico(i128::MAX))
    }
}

/// Bounds of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLimits {
    /// Most prompt tokens of a request.
    pub max_input_tokens: u32,
    /// Most generated tokens of a request.
    pub max_output_tokens: u32,
    /// Requests a minute and key.
    pub requests_per_minute: u32,
    /// Tokens a minute and key.
    pub tokens_per_minute: u32,
}

impl Snapshot {
    /// From keys and routes. Of two routes with one model name the older Deployment's stays, then the lesser name's:
    /// a newcomer never takes over what is in use.
    pub fn new(keys: impl IntoIterator<Item = Key>, routes: impl IntoIterator<Item = Route>) -> Self {
        let keys = keys.into_iter().map(|key| (*key.hash.as_bytes(), Arc::new(key))).collect();
        let mut sorted: Vec<Route> = routes.into_iter().collect();
        sorted.sort_by(|a, b| (a.created, &a.deployment).cmp(&(b.created, &b.deployment)));
        let mut routes = BTreeMap::new();
        for route in sorted {
            if let Some(first) = routes.get(&route.model).map(|first: &Arc<Route>| first.deployment.clone()) {
                tracing::warn!(model = route.model, deployment = route.deployment, %first, "two Deployments with one model name: the older one is routed to");
                continue;
            }
            routes.insert(route.model.clone(), Arc::new(route));
        }
        Self { keys, routes, replicas: 1, made: true }
    }

    /// Whether it is the empty one that a gateway starts with.
    pub const fn is_initial(&self) -> bool {
        !self.made
    }

    /// The key with this hash, unless it is past its time.
    pub fn key(&self, hash: &KeyHash, now: Timestamp) -> Option<&Arc<Key>> {
        // The map compares in variable time, but hashes: what time could tell of a hash says nothing of a key with
        // 160 bits of entropy. The comparison that decides is constant.
        let key = self.keys.get(hash.as_bytes()).filter(|key| key.hash == *hash)?;
        let expired = key.expires_at.is_some_and(|end| now >= end);
        (!expired).then_some(key)
    }

    /// The route of a model name.
    pub fn route(&self, model: &str) -> Option<&Arc<Route>> {
        self.routes.get(model)
    }

    /// Whether any route needs no key.
    pub fn has_public(&self) -> bool {
        self.routes.values().any(|route| route.public)
    }

    /// The routes that this caller may use, by model name.
    pub fn open_to<'a>(&'a self, key: Option<&'a Key>) -> impl Iterator<Item = &'a Arc<Route>> {
        self.routes.values().filter(move |route| route.opens_to(key))
    }

    /// The route of a model name, if this caller may use it.
    pub fn opened(&self, model: &str, key: Option<&Key>) -> Option<&Arc<Route>> {
        self.route(model).filter(|route| route.opens_to(key))
    }

    /// Every key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }
}

impl Route {
    /// Whether this caller may use it.
    pub fn opens_to(&self, key: Option<&Key>) -> bool {
        self.public
            || key.is_some_and(|key| key.deployments.is_empty() || key.deployments.contains(&self.deployment))
    }
}
