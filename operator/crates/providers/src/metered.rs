//! Counts what a driver is asked, and how long it takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::Offer;
use cooperator_core::time::{Clock, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query};
use crate::error::Error;
use crate::name::Tenant;
use crate::verb::Verb;

/// What is counted of all vendors. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Calls.
    pub calls: Family<CallLabels, Counter>,
    /// Seconds of a call, from the first byte to the last, answered or not.
    pub seconds: Family<SecondsLabels, Histogram, fn() -> Histogram>,
}

/// Labels of a call. All come from fixed lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// [`Driver::vendor`]
    pub vendor: &'static str,
    /// [`Verb::label`]
    pub verb: &'static str,
    /// `Ok`, or [`Error::kind`].
    pub result: &'static str,
}

/// Labels of a call's time. All come from fixed lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SecondsLabels {
    /// [`Driver::vendor`]
    pub vendor: &'static str,
    /// [`Verb::label`]
    pub verb: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self { calls: Family::default(), seconds: Family::new_with_constructor(histogram) }
    }
}

impl Metrics {
    /// Shows them in a registry as `provider_calls_total` and `provider_call_seconds`, under the registry's own prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("provider_calls", "Calls of vendors' APIs by verb and result", self.calls.clone());
        registry.register("provider_call_seconds", "Time of a call of a vendor's API", self.seconds.clone());
    }

    fn count(&self, vendor: &'static str, verb: Verb, result: &'static str, took: Duration) {
        let verb = verb.label();
        self.calls.get_or_create(&CallLabels { vendor, verb, result }).inc();
        self.seconds.get_or_create(&SecondsLabels { vendor, verb }).observe(took.as_secs_f64());
    }
}

/// A driver that is counted.
#[derive(Clone)]
pub struct Metered<D> {
    inner: D,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl<D: std::fmt::Debug> std::fmt::Debug for Metered<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl<D: Driver> Metered<D> {
    /// Counts what this driver does, by this clock.
    pub fn new(inner: D, metrics: Metrics, clock: Arc<dyn Clock>) -> Self {
        Self { inner, metrics, clock }
    }

    fn counted<T>(&self, verb: Verb, since: Timestamp, answer: Result<T, Error>) -> Result<T, Error> {
        let result = answer.as_ref().map_or_else(Error::kind, |_| "Ok");
        // A clock that was set back in between has measured nothing.
        let took = Duration::try_from(self.clock.now().duration_since(since)).unwrap_or(Duration::ZERO);
        self.metrics.count(self.inner.vendor(), verb, result, took);
        answer
    }
}

#[async_trait]
impl<D: Driver> Driver for Metered<D> {
    fn vendor(&self) -> &'static str {
        self.inner.vendor()
    }

    fn settles_after(&self) -> Duration {
        self.inner.settles_after()
    }

    fn keeps_account(&self) -> bool {
        self.inner.keeps_account()
    }

    fn most_user_data(&self) -> Option<usize> {
        self.inner.most_user_data()
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let since = self.clock.now();
        self.counted(Verb::Offers, since, self.inner.offers(query).await)
    }

    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        let since = self.clock.now();
        self.counted(Verb::Create, since, self.inner.create(order).await)
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let since = self.clock.now();
        self.counted(Verb::Get, since, self.inner.get(id).await)
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let since = self.clock.now();
        self.counted(Verb::List, since, self.inner.list(tenant).await)
    }

    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        let since = self.clock.now();
        self.counted(Verb::Delete, since, self.inner.delete(id).await)
    }

    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        let since = self.clock.now();
        self.counted(Verb::Charged, since, self.inner.charged(id).await)
    }

    async fn logs(&self, id: &InstanceId) -> Result<Option<String>, Error> {
        let since = self.clock.now();
        self.counted(Verb::Logs, since, self.inner.logs(id).await)
    }
}

#[cfg(test)]
mod tests {
    use cooperator_core::market::Shape;
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::http::stub::{clock, order, tenant};
    use crate::testing::{Fake, Fault};

    #[tokio::test]
    async fn each_call_is_counted_by_vendor_verb_and_result() {
        let clock: Arc<dyn Clock> = Arc::new(clock());
        let (fake, metrics) = (Fake::new(Arc::clone(&clock)), Metrics::default());
        let inner: Arc<dyn Driver> = Arc::new(fake.clone());
        let metered = Metered::new(inner, metrics.clone(), clock);
        fake.fail_next(Verb::List, Fault::Malformed);
        metered.list(&tenant()).await.unwrap_err();
        metered.list(&tenant()).await.unwrap();
        metered.create(&order("none", Shape::Machine)).await.unwrap_err();
        let mut registry = Registry::with_prefix("cooperator");
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"cooperator_provider_calls_total{vendor="Fake",verb="list",result="Malformed"} 1"#,
            r#"cooperator_provider_calls_total{vendor="Fake",verb="list",result="Ok"} 1"#,
            r#"cooperator_provider_calls_total{vendor="Fake",verb="create",result="NoCapacity"} 1"#,
            r#"cooperator_provider_call_seconds_count{vendor="Fake",verb="list"} 2"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(fake.calls().len(), 3);
    }

    #[test]
    fn each_verb_has_a_label_of_its_own() {
        let labels: std::collections::BTreeSet<&str> = Verb::ALL.iter().map(|verb| verb.label()).collect();
        assert_eq!(labels.len(), Verb::ALL.len());
    }
}
