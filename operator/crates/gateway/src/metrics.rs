//! What Prometheus is told, and the usage since the start for the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cooperator_contract::usage::UsageRow;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::Serialize;

/// Metrics of one gateway. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    /// Answers by HTTP status.
    pub requests: Family<Code, Counter>,
    /// Billed tokens by kind.
    pub tokens: Family<Kind, Counter>,
    /// Seconds a request spent in the gateway before it went upstream and after the answer came.
    pub added: Histogram,
    /// Seconds of one write and `fdatasync` of the log.
    pub fsync: Histogram,
    /// Rows that wait for the log's writer.
    pub waiting: Gauge,
    /// Rows on disk that object storage has not.
    pub pending: Gauge,
    usage: Arc<Mutex<BTreeMap<String, Usage>>>,
}

/// HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Code {
    /// As a number.
    pub code: u16,
}

/// Prompt or generated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// `input` or `output`.
    pub kind: &'static str,
}

/// Usage of one Deployment since the gateway started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Name of the Deployment.
    pub deployment: String,
    /// Requests in the log, failed ones too.
    pub requests: u64,
    /// Prompt tokens billed.
    pub input_tokens: u64,
    /// Generated tokens billed.
    pub output_tokens: u64,
}

impl Metrics {
    /// New metrics, and the registry that shows them.
    pub fn new() -> (Self, Registry) {
        let seconds =
            || Histogram::new([0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5]);
        let metrics = Self {
            requests: Family::default(),
            tokens: Family::default(),
            added: seconds(),
            fsync: seconds(),
            waiting: Gauge::default(),
            pending: Gauge::default(),
            usage: Arc::default(),
        };
        let mut registry = Registry::with_prefix("cooperator_gateway");
        registry.register("requests", "Answers by HTTP status", metrics.requests.clone());
        registry.register("tokens", "Billed tokens", metrics.tokens.clone());
        registry.register(
            "added_latency_seconds",
            "Time of a request in the gateway itself",
            metrics.added.clone(),
        );
        registry.register(
            "usage_log_fsync_seconds",
            "Write and fdatasync of the usage log",
            metrics.fsync.clone(),
        );
        registry.register(
            "usage_log_waiting_rows",
            "Rows that wait for the usage log's writer",
            metrics.waiting.clone(),
        );
        registry.register(
            "usage_log_pending_rows",
            "Rows not yet in object storage",
            metrics.pending.clone(),
        );
        (metrics, registry)
    }

    /// Counts an answer.
    pub fn answered(&self, code: http::StatusCode) {
        self.requests.get_or_create(&Code { code: code.as_u16() }).inc();
    }

    /// Counts a row that is in the log.
    pub fn used(&self, row: &UsageRow) {
        self.tokens.get_or_create(&Kind { kind: "input" }).inc_by(row.input_tokens);
        self.tokens.get_or_create(&Kind { kind: "output" }).inc_by(row.output_tokens);
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if !usage.contains_key(&row.deployment) {
            let new = Usage { deployment: row.deployment.clone(), ..Usage::default() };
            usage.insert(row.deployment.clone(), new);
        }
        if let Some(usage) = usage.get_mut(&row.deployment) {
            usage.requests += 1;
            usage.input_tokens += row.input_tokens;
            usage.output_tokens += row.output_tokens;
        }
    }

    /// Usage since the start, by Deployment.
    pub fn usage(&self) -> Vec<Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
