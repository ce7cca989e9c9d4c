//! Metrics in the OpenMetrics text form, and the one list of their names.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::{Metric, Registry};

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names, without the prefix `cooperator_` that every one gets and without a counter's `_total`.
pub mod names {
    /// Reconciles by controller and result.
    pub const RECONCILES: &str = "reconciles";
    /// How long reconciles took, by controller.
    pub const RECONCILE_SECONDS: &str = "reconcile_duration_seconds";
    /// 1 on the replica that leads.
    pub const LEADER: &str = "leader";
    /// Calls of vendors of machines by vendor, verb and result.
    pub const PROVIDER_CALLS: &str = "provider_calls";
    /// How long those took, by vendor and verb.
    pub const PROVIDER_CALL_SECONDS: &str = "provider_call_seconds";
    /// Machines that are rented now, by type of Provider.
    pub const RENTED_MACHINES: &str = "rented_machines";
    /// What an hour of them costs, in millionths of the treasury's currency.
    pub const RENTED_PRICE: &str = "rented_price_per_hour_micros";
    /// What machines cost that have ended, in millionths of the treasury's currency.
    pub const RENTED_COST: &str = "rented_cost_micros";
    /// Machines that had no claim and were ended.
    pub const STRAY_MACHINES: &str = "stray_machines";
    /// Progress posts by result.
    pub const PROGRESS_POSTS: &str = "progress_posts";
}

/// The metrics of a process. Clones are the same set.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("cooperator"))))
    }
}

impl Metrics {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric and hands it back. Labels must come from fixed lists (kinds, results), never from names that
    /// users choose.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(name, help, metric.clone());
        metric
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = encode(&mut text, &registry) {
            tracing::warn!(%error, "metrics cannot be written");
        }
        text
    }
}
