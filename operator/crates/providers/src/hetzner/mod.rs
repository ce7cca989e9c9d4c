//! Hetzner Cloud, by its API v1: virtual machines without GPUs.
//!
//! By plain HTTP over our one client: the crate `hcloud` brings a second HTTP stack, and readings of failures of its own.
//! A server's name is unique within a project, so that a request made twice makes one server.

mod offers;
mod orders;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::Offer;
use cooperator_core::time::Clock;
use reqwest::Method;
use serde::de::DeserializeOwned;
use url::Url;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query, State};
use crate::error::Error;
use crate::http::{Answer, Call, Client, Effect, Endpoint, Hidden, Key};
use crate::name::{InstanceName, Tenant};
use wire::{Failure, Meta, One, Pricing, Rows, Server, ServerType};

/// What it is called.
pub const VENDOR: &str = "Hetzner Cloud";

// 3600 calls an hour, which come back one a second: no interval is needed.
const TYPES: Endpoint = Endpoint::reads("server-types", 0);
const PRICING: Endpoint = Endpoint::reads("pricing", 0);
const CREATE: Endpoint = Endpoint::changes("create", 0);
const GET: Endpoint = Endpoint::reads("get", 0);
const LIST: Endpoint = Endpoint::reads("list", 0);
const DELETE: Endpoint = Endpoint::changes("delete", 0);

/// Rows of a page: it gives no more.
const ROWS: &str = "50";
/// Most pages that are read.
const MOST_PAGES: usize = 100;

/// Its driver.
#[derive(Debug)]
pub struct Hetzner {
    client: Client,
}

impl Hetzner {
    /// A driver for the project of a key, at `base`.
    ///
    /// # Errors
    /// [`Error::Refused`]: that is no URL of an API. [`Error::Unauthorized`]: the key cannot be one.
    pub fn new(base: Url, key: Key, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Client::new(VENDOR, base, key, Duration::ZERO, clock).map(|client| Self { client })
    }

    async fn types(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let types: Vec<ServerType> = self.pages(TYPES, &["server_types"], &[]).await?;
        let pricing = self.pricing().await?;
        let offers = offers::offers(&types, &pricing);
        Ok(offers.into_iter().filter(|offer| query.takes(offer)).collect())
    }

    /// What an address costs besides its server. An API without this call charges nothing for one.
    async fn pricing(&self) -> Result<Pricing, Error> {
        let answer = self.client.send(Call::new(PRICING, Method::GET, &["pricing"])).await?;
        if answer.status.as_u16() == 404 {
            return Ok(Pricing::default());
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        self.client.read::<One<Pricing>>(&answer).map(|one| one.it)
    }

    async fn order(&self, order: &Order) -> Result<Instance, Error> {
        let body = orders::create(order)?;
        let call =
            Call::new(CREATE, Method::POST, &["servers"]).body(&body).hiding(Hidden::of(&order.payload));
        let answer = self.client.send(call).await?;
        if answer.parse::<Failure>().is_some_and(|failure| failure.code() == "uniqueness_error") {
            return self.adopt(&order.name).await;
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        let server: One<Server> = self.client.read(&answer)?;
        Ok(server.it.named(order.name.clone()))
    }

    /// The server that has the name already: an earlier request made it, whose answer was lost.
    async fn adopt(&self, name: &InstanceName) -> Result<Instance, Error> {
        let text = name.to_string();
        let servers: Vec<Server> = self.pages(LIST, &["servers"], &[("name", &text)]).await?;
        let ours =
            servers.into_iter().filter_map(|server| server.instance()).find(|server| &server.name == name);
        ours.ok_or_else(|| {
            self.client
                .garbage(Effect::Changes, "create: the name is taken, and no server of this name is listed")
        })
    }

    async fn find(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let call = Call::new(GET, Method::GET, &["servers", self.client.segment(id)?]);
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        let server: One<Server> = self.client.read(&answer)?;
        // It is there, and costs, whoever took its name away: that is not "none".
        let unnamed = || self.client.garbage(Effect::Reads, &format!("get: {id} is not named as ours are"));
        server.it.instance().map(Some).ok_or_else(unnamed)
    }

    async fn all(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let selector = format!("{}=={tenant}", orders::TENANT_LABEL);
        let servers: Vec<Server> = self.pages(LIST, &["servers"], &[("label_selector", &selector)]).await?;
        let mut ours = Vec::new();
        for server in servers {
            // It has our label, and costs: a name that is none of ours is no reason to overlook it.
            let unnamed =
                || self.client.garbage(Effect::Reads, "list: a server has our label and no name of ours");
            ours.push(server.instance().ok_or_else(unnamed)?);
        }
        ours.retain(|server| server.name.tenant() == tenant);
        Ok(ours)
    }

    /// All rows of a list, and as many as it says there are.
    async fn pages<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        path: &[&str],
        filters: &[(&'static str, &str)],
    ) -> Result<Vec<T>, Error> {
        let (mut rows, mut page) = (Vec::new(), 1_u64);
        for _ in 0..MOST_PAGES {
            let mut call = Call::new(endpoint, Method::GET, path).query("per_page", ROWS);
            call = call.query("page", page.to_string());
            for (name, value) in filters {
                call = call.query(name, *value);
            }
            let answer = self.client.ask(call, refusal).await?;
            let Rows { rows: more, meta: Meta { pagination } } = self.client.read::<Rows<T>>(&answer)?;
            rows.extend(more);
            match pagination.next_page {
                Some(next) if next > page => page = next,
                None if rows.len() == pagination.total_entries => return Ok(rows),
                _ => {
                    let (name, total) = (endpoint.name, pagination.total_entries);
                    let message = format!("{name}: {} rows on all pages, and {total} in all", rows.len());
                    return Err(self.client.garbage(Effect::Reads, &message));
                }
            }
        }
        Err(self.client.garbage(Effect::Reads, &format!("{}: more than {MOST_PAGES} pages", endpoint.name)))
    }

    async fn destroy(&self, id: &InstanceId) -> Result<Deleted, Error> {
        let call = Call::new(DELETE, Method::DELETE, &["servers", self.client.segment(id)?]);
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(Deleted::Gone { at: None });
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        // What it answered is an action that has only begun.
        Ok(match self.find(id).await {
            Ok(None) => Deleted::Gone { at: None },
            Ok(Some(server)) if server.state == State::Over => Deleted::Gone { at: None },
            Ok(Some(_)) | Err(_) => Deleted::Ending,
        })
    }
}

/// Whether it says, in its own words, that there is no such server: a 404 of a proxy says nothing about servers.
fn is_absence(answer: &Answer) -> bool {
    answer.status.as_u16() == 404
        && answer.parse::<Failure>().is_some_and(|failure| failure.code() == "not_found")
}

/// What a refusal means.
fn refusal(client: &Client, answer: &Answer) -> Error {
    let vendor = VENDOR;
    let Some(failure) = answer.parse::<Failure>() else {
        return client.refusal(answer, &String::from_utf8_lossy(&answer.body));
    };
    let message = client.said(answer, &failure.message());
    match failure.code() {
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => {
            Error::NoCapacity { vendor, message }
        }
        "resource_limit_exceeded" => Error::AccountLimit { vendor, message },
        "unauthorized" | "forbidden" | "token_readonly" => Error::Unauthorized { vendor, message },
        "rate_limit_exceeded" => Error::Throttled { vendor, after: client.after(answer) },
        // Another action is under way: nothing was done, and asking again helps.
        "locked" | "conflict" => Error::Unavailable { vendor, message },
        _ => client.refusal(answer, &failure.message()),
    }
}

#[async_trait]
impl Driver for Hetzner {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn settles_after(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn most_user_data(&self) -> Option<usize> {
        Some(orders::MOST_USER_DATA)
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        self.client.within(Effect::Reads, self.types(query)).await
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
        self.client.within(Effect::Changes, self.destroy(id)).await
    }

    /// It has no account by server.
    async fn charged(&self, _id: &InstanceId) -> Result<Option<Charge>, Error> {
        Ok(None)
    }
}
