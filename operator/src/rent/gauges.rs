//! What Prometheus is told of rented machines. Labels are types of Providers and verbs: fixed lists.

use cooperator_api::provider::ProviderType;
use cooperator_core::money::{Amount, PricePerHour};
use cooperator_providers::metered;
use cooperator_telemetry::metrics::{Metrics, names};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    provider_type: &'static str,
}

/// Gauges and counters of rented machines.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// Calls of vendors.
    pub calls: metered::Metrics,
    machines: Gauge,
    price: Gauge,
    cost: Family<Kind, Counter>,
    strays: Family<Kind, Counter>,
}

impl Gauges {
    /// Shown among `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        let calls = metered::Metrics::default();
        metrics.register(names::PROVIDER_CALLS, "Calls of vendors by verb and result", calls.calls.clone());
        metrics.register(names::PROVIDER_CALL_SECONDS, "Duration of calls of vendors", calls.seconds.clone());
        Self {
            calls,
            machines: metrics.register(
                names::RENTED_MACHINES,
                "Machines that are rented now",
                Gauge::default(),
            ),
            price: metrics.register(
                names::RENTED_PRICE,
                "Price of an hour of all machines, in millionths of the treasury's currency",
                Gauge::default(),
            ),
            cost: metrics.register(
                names::RENTED_COST,
                "Final cost of machines that ended since the start, in millionths of the treasury's currency",
                Family::default(),
            ),
            strays: metrics.register(
                names::STRAY_MACHINES,
                "Machines without a claim that were ended",
                Family::default(),
            ),
        }
    }

    /// What is rented now in the whole cluster.
    pub fn set(&self, machines: usize, price: PricePerHour) {
        self.machines.set(i64::try_from(machines).unwrap_or(i64::MAX));
        self.price.set(i64::try_from(price.micros()).unwrap_or(i64::MAX));
    }

    /// A machine's cost became final.
    pub fn cost(&self, type_: ProviderType, amount: Amount) {
        let micros = u64::try_from(amount.pico() / 1_000_000).unwrap_or_default();
        self.cost.get_or_create(&Kind { provider_type: type_.name() }).inc_by(micros);
    }

    /// Machines without a claim were found.
    pub fn strays(&self, type_: ProviderType, count: usize) {
        let count = u64::try_from(count).unwrap_or_default();
        self.strays.get_or_create(&Kind { provider_type: type_.name() }).inc_by(count);
    }
}
