//! RunPod, by its REST API v2: containers on its own hosts (SECURE) and on other people's (COMMUNITY).
//!
//! On demand only: what can be interrupted is rented by its GraphQL API alone, which is about to end. It has no key for a
//! request that is made twice, and no filter by name: all pods are listed, and found by the name we gave.

mod offers;
mod orders;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::Offer;
use cooperator_core::money::Amount;
use cooperator_core::time::Clock;
use reqwest::Method;
use url::Url;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query, State};
use crate::error::Error;
use crate::http::{Answer, Call, Client, Effect, Endpoint, Hidden, Key};
use crate::name::Tenant;
use wire::{Billing, Catalog, Pod, Pods, Problem};

/// What it is called.
pub const VENDOR: &str = "RunPod";

// It documents no least interval, and tells one with each 429.
const OFFERS: Endpoint = Endpoint::reads("offers", 0);
const CREATE: Endpoint = Endpoint::changes("create", 0);
const GET: Endpoint = Endpoint::reads("get", 0);
const LIST: Endpoint = Endpoint::reads("list", 0);
const DELETE: Endpoint = Endpoint::changes("delete", 0);
const BILLING: Endpoint = Endpoint::reads("billing", 0);

/// Its driver.
#[derive(Debug)]
pub struct RunPod {
    client: Client,
}

impl RunPod {
    /// A driver for the account of a key, at `base`.
    ///
    /// # Errors
    /// [`Error::Refused`]: that is no URL of an API. [`Error::Unauthorized`]: the key cannot be one.
    pub fn new(base: Url, key: Key, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Client::new(VENDOR, base, key, Duration::ZERO, clock).map(|client| Self { client })
    }

    async fn catalog(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let count = query.gpus.max(1);
        let call = Call::new(OFFERS, Method::GET, &["catalog", "gpus"])
            .query("include", "AVAILABILITY")
            .query("product", "POD")
            .query("count", count.to_string());
        let answer = self.client.ask(call, refusal).await?;
        let catalog: Catalog = self.client.read(&answer)?;
        let offers = offers::offers(&catalog.gpus, count)
            .ok_or_else(|| self.client.garbage(Effect::Reads, "offers: none of them can be read"))?;
        Ok(offers.into_iter().filter(|offer| query.takes(offer)).collect())
    }

    async fn order(&self, order: &Order) -> Result<Instance, Error> {
        let body = orders::create(order)?;
        let call = Call::new(CREATE, Method::POST, &["pods"]).body(&body).hiding(Hidden::of(&order.payload));
        let answer = self.client.ask(call, refusal).await?;
        let pod: Pod = self.client.read(&answer)?;
        // It was made for this order, whatever it is called now.
        Ok(pod.named(order.name.clone()))
    }

    async fn find(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let call = Call::new(GET, Method::GET, &["pods", self.client.segment(id)?]);
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        let pod: Pod = self.client.read(&answer)?;
        // It is there, and costs, whoever took its name away: that is not "none".
        let unnamed = || self.client.garbage(Effect::Reads, &format!("get: {id} is not named as ours are"));
        pod.instance().map(Some).ok_or_else(unnamed)
    }

    async fn all(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let answer = self.client.ask(Call::new(LIST, Method::GET, &["pods"]), refusal).await?;
        let pods: Pods = self.client.read(&answer)?;
        let ours = pods.pods.into_iter().filter_map(|pod| pod.instance());
        Ok(ours.filter(|pod| pod.name.tenant() == tenant).collect())
    }

    async fn terminate(&self, id: &InstanceId) -> Result<Deleted, Error> {
        let call = Call::new(DELETE, Method::DELETE, &["pods", self.client.segment(id)?]);
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(Deleted::Gone { at: None });
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        Ok(match self.find(id).await {
            Ok(None) => Deleted::Gone { at: None },
            Ok(Some(pod)) if pod.state == State::Over => Deleted::Gone { at: None },
            Ok(Some(_)) | Err(_) => Deleted::Ending,
        })
    }

    async fn billed(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        let call = Call::new(BILLING, Method::GET, &["billing", "pods"])
            .query("podId", self.client.segment(id)?)
            // Three months: longer than any machine is kept.
            .query("bucketSize", "month")
            .query("lastN", "3");
        let answer = self.client.ask(call, refusal).await?;
        let billing: Billing = self.client.read(&answer)?;
        let garbage = |what: &str| self.client.garbage(Effect::Reads, &format!("billing: {what}"));
        if billing.metadata.is_some_and(|metadata| metadata.record_count != billing.records.len()) {
            return Err(garbage("fewer or more records than it says"));
        }
        let mut amounts = Vec::new();
        for record in billing.records.iter().filter(|record| record.pod_id == id.0) {
            amounts.push(record.total_amount.amount().ok_or_else(|| garbage("an amount that is none"))?);
        }
        if amounts.is_empty() {
            return Ok(None);
        }
        let amount = Amount::sum(amounts).map_err(|error| garbage(&error.to_string()))?;
        Ok(Some(Charge { id: id.clone(), amount, is_final: false }))
    }
}

/// Whether it says, in its own words, that there is no such pod: a 404 of a proxy says nothing about pods.
fn is_absence(answer: &Answer) -> bool {
    answer.status.as_u16() == 404 && answer.parse::<Problem>().is_some_and(|problem| problem.status == 404)
}

/// What a refusal means.
fn refusal(client: &Client, answer: &Answer) -> Error {
    let vendor = VENDOR;
    let text = match answer.parse::<Problem>() {
        Some(problem) => problem.message(),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    let creates = answer.endpoint.name == CREATE.name;
    let message = client.said(answer, &text);
    match answer.status.as_u16() {
        // No capacity, or a rule that is broken: it has no code that tells one from the other, and says so itself.
        400 if creates => Error::NoCapacity { vendor, message },
        // A pool that this account may not use: other offers may do. A key that may not create at all is told the same.
        403 if creates => Error::Refused { vendor, message },
        _ => client.refusal(answer, &text),
    }
}

#[async_trait]
impl Driver for RunPod {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn settles_after(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn keeps_account(&self) -> bool {
        true
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        self.client.within(Effect::Reads, self.catalog(query)).await
    }

    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        self.client.within(Effect::Changes, self.order(order)).await
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        self.client.within(Effect::Reads, self.find(id)).await
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        self.client.within(Effect::Reads, self.all(tenant)).await
    }

    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        self.client.within(Effect::Changes, self.terminate(id)).await
    }

    /// As its billing has it; it never says that it is final.
    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        self.client.within(Effect::Reads, self.billed(id)).await
    }
}
