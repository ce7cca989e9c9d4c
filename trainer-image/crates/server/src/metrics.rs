//! What `/metrics` shows. Labels come from fixed lists only.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds to the first token, from some milliseconds to a minute.
const FIRST_TOKEN: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// An endpoint and the answer's status.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Answer {
    /// `chat`, `completions` or `models`.
    pub endpoint: &'static str,
    /// HTTP status.
    pub code: u16,
}

/// All metrics of the server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests by endpoint and status.
    pub requests: Family<Answer, Counter<u64, AtomicU64>>,
    /// Tokens read.
    pub prompt_tokens: Counter<u64, AtomicU64>,
    /// Tokens generated.
    pub completion_tokens: Counter<u64, AtomicU64>,
    /// Requests waiting or worked on.
    pub in_flight: Gauge<i64, AtomicI64>,
    /// Seconds to the first token.
    pub first_token: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cooperator_server");
        let requests = Family::default();
        registry.register("requests", "Requests by endpoint and status", requests.clone());
        let prompt_tokens = Counter::default();
        registry.register("prompt_tokens", "Tokens read", prompt_tokens.clone());
        let completion_tokens = Counter::default();
        registry.register("completion_tokens", "Tokens generated", completion_tokens.clone());
        let in_flight = Gauge::default();
        registry.register("requests_in_flight", "Requests waiting or worked on", in_flight.clone());
        let first_token = Histogram::new(FIRST_TOKEN);
        let help = "Seconds from a request's arrival to its first text";
        registry.register("time_to_first_token_seconds", help, first_token.clone());
        Self { registry, requests, prompt_tokens, completion_tokens, in_flight, first_token }
    }
}

impl Metrics {
    /// All metrics as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::warn!(%error, "metrics cannot be written");
        }
        text
    }
}
