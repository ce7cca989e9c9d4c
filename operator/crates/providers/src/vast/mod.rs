//! Vast.ai: a market of other people's machines, as containers and, where a host allows it, as virtual machines.
//!
//! It has no key for a request that is made twice: a machine is found again by its label. What its documentation says is in
//! `wire`; what was learnt from its clients is told where it matters.

mod offers;
mod orders;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::Offer;
use cooperator_core::time::{Clock, SignedDuration, later};
use reqwest::Method;
use url::Url;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query};
use crate::error::Error;
use crate::http::{Answer, Call, Client, Effect, Endpoint, Hidden, Key};
use crate::name::Tenant;
use wire::{Created, Failure, Found, Page};

/// What it is called.
pub const VENDOR: &str = "Vast.ai";

// Least intervals, by endpoint and key: what comes earlier is answered 429, and each 429 makes the next wait longer.
const OFFERS: Endpoint = Endpoint::reads("offers", 6000);
const CREATE: Endpoint = Endpoint::changes("create", 4500);
const GET: Endpoint = Endpoint::reads("get", 2000);
const LIST: Endpoint = Endpoint::reads("list", 1000);
const DELETE: Endpoint = Endpoint::changes("delete", 3000);
const CHARGES: Endpoint = Endpoint::reads("charges", 1000);
const LOGS: Endpoint = Endpoint::reads("logs", 1000);

/// Rows of a page: it gives no more.
const ROWS: &str = "25";
/// Most pages that are read: at one a second, what a call's time allows.
const MOST_PAGES: usize = 25;
/// How often a log that was asked for is looked for: it is put somewhere within seconds.
const LOG_LOOKS: usize = 5;
/// How far back charges are looked for: longer than any machine is kept.
const CHARGED_DAYS: i64 = 60;

/// Its driver.
#[derive(Debug)]
pub struct Vast {
    client: Client,
}

impl Vast {
    /// A driver for the account of a key, at `base`.
    ///
    /// # Errors
    /// [`Error::Refused`]: that is no URL of an API. [`Error::Unauthorized`]: the key cannot be one.
    pub fn new(base: Url, key: Key, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Client::new(VENDOR, base, key, Duration::ZERO, clock).map(|client| Self { client })
    }

    async fn search(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let call =
            Call::new(OFFERS, Method::POST, &["api", "v0", "bundles", ""]).body(&offers::search(query));
        let answer = self.client.ask(call, refusal).await?;
        let found = self.client.read::<wire::Offers>(&answer)?;
        let offers = offers::offers(&found.offers, self.client.now())
            .ok_or_else(|| self.client.garbage(Effect::Reads, "offers: none of them can be read"))?;
        Ok(offers.into_iter().filter(|offer| query.takes(offer)).collect())
    }

    async fn order(&self, order: &Order) -> Result<Instance, Error> {
        let (ask, body) = orders::create(order)?;
        let call = Call::new(CREATE, Method::PUT, &["api", "v0", "asks", &ask, ""]);
        let answer = self.client.send(call.body(&body).hiding(Hidden::of(&order.payload))).await?;
        let created = answer.parse::<Created>();
        // An id is told even with some refusals, as of a bid that is too low: then something is there, stopped, and costs.
        if let Some(id) = created.as_ref().and_then(|created| created.new_contract) {
            let well = answer.status.is_success() && created.is_some_and(|created| created.success);
            return Ok(orders::made(order, id, well));
        }
        if answer.status.is_success() {
            return Err(self.client.garbage(Effect::Changes, "create: a success without `new_contract`"));
        }
        Err(refusal(&self.client, &answer))
    }

    async fn find(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let segment = self.client.segment(id)?;
        let call = Call::new(GET, Method::GET, &["api", "v0", "instances", segment, ""]);
        let answer = self.client.send(call).await?;
        if !answer.status.is_success() {
            return if is_absence(&answer) { Ok(None) } else { Err(refusal(&self.client, &answer)) };
        }
        let Found { instances } = self.client.read(&answer)?;
        let Some(found) = instances else { return Ok(None) };
        // It is there, and costs, whoever took its label away: that is not "none".
        let unnamed =
            || self.client.garbage(Effect::Reads, &format!("get: {id} is not labelled as ours are"));
        found.instance().map(Some).ok_or_else(unnamed)
    }

    async fn all(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let (mut rows, mut seen, mut after) = (Vec::new(), 0, None);
        for page in 0..MOST_PAGES {
            let mut call = Call::new(LIST, Method::GET, &["api", "v1", "instances", ""])
                .query("limit", ROWS)
                .query("order_by", r#"[{"col":"id","dir":"asc"}]"#);
            if let Some(token) = after.take() {
                call = call.query("after_token", token);
            }
            let call = if page == 0 { call } else { call.waiting() };
            let answer = self.client.ask(call, refusal).await?;
            let page: Page = self.client.read(&answer)?;
            seen += page.instances.len();
            rows.extend(page.instances.into_iter().filter_map(|row| row.instance()));
            match page.next_token {
                Some(token) => after = Some(token),
                None if seen == page.total_instances => {
                    rows.retain(|row| row.name.tenant() == tenant);
                    return Ok(rows);
                }
                None => {
                    let message =
                        format!("list: {seen} machines on all pages, and {} in all", page.total_instances);
                    return Err(self.client.garbage(Effect::Reads, &message));
                }
            }
        }
        Err(self.client.garbage(Effect::Reads, &format!("list: more than {MOST_PAGES} pages")))
    }

    async fn destroy(&self, id: &InstanceId) -> Result<Deleted, Error> {
        let segment = self.client.segment(id)?;
        let call = Call::new(DELETE, Method::DELETE, &["api", "v0", "instances", segment, ""]);
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(Deleted::Gone { at: None });
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        let done = self.client.read::<wire::Done>(&answer)?;
        if !done.success {
            return Err(self.client.garbage(Effect::Changes, "delete: a success that says it is none"));
        }
        // It takes the word back at times: gone is what is not there any more.
        Ok(match self.find(id).await {
            Ok(None) => Deleted::Gone { at: None },
            Ok(Some(_)) | Err(_) => Deleted::Ending,
        })
    }

    async fn charges(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        let source = format!("instance-{}", self.client.segment(id)?);
        let now = self.client.now();
        let since = later(now, SignedDuration::from_hours(-24 * CHARGED_DAYS));
        let filters = format!(
            r#"{{"day":{{"gte":{},"lte":{}}},"type":{{"in":["instance"]}}}}"#,
            since.as_second(),
            now.as_second()
        );
        let mut after = None;
        for page in 0..MOST_PAGES {
            let mut call = Call::new(CHARGES, Method::GET, &["api", "v0", "charges", ""])
                .query("select_filters", filters.as_str())
                .query("limit", "500");
            if let Some(token) = after.take() {
                call = call.query("after_token", token);
            }
            let call = if page == 0 { call } else { call.waiting() };
            let answer = self.client.ask(call, refusal).await?;
            let page: wire::Charges = self.client.read(&answer)?;
            if let Some(charge) = page.results.into_iter().find(|charge| charge.source == source) {
                let amount = charge.amount.amount();
                let amount =
                    amount.ok_or_else(|| self.client.garbage(Effect::Reads, "charges: no amount"))?;
                return Ok(Some(Charge { id: id.clone(), amount, is_final: false }));
            }
            match page.next_token {
                Some(token) => after = Some(token),
                None => return Ok(None),
            }
        }
        Err(self.client.garbage(Effect::Reads, &format!("charges: more than {MOST_PAGES} pages")))
    }

    async fn log(&self, id: &InstanceId) -> Result<Option<String>, Error> {
        let segment = self.client.segment(id)?;
        let call = Call::new(LOGS, Method::PUT, &["api", "v0", "instances", "request_logs", segment, ""])
            .body(&wire::LogAsked { tail: "1000" });
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        let log: wire::Log = self.client.read(&answer)?;
        for _ in 0..LOG_LOOKS {
            if let Some(text) = self.client.text_at(LOGS, &log.result_url).await? {
                return Ok(Some(text));
            }
            tokio::time::sleep(LOGS.least).await;
        }
        Ok(Some(String::new()))
    }
}

/// Whether it says that there is no such machine. A wrong key is a 404 at times as well, and a 404 of a proxy says nothing
/// about machines.
fn is_absence(answer: &Answer) -> bool {
    let failure = answer.parse::<Failure>();
    answer.status.as_u16() == 404 && failure.is_some_and(|failure| failure.is_told() && !failure.is_auth())
}

/// What a refusal means.
fn refusal(client: &Client, answer: &Answer) -> Error {
    let vendor = VENDOR;
    let Some(failure) = answer.parse::<Failure>() else {
        return client.refusal(answer, &String::from_utf8_lossy(&answer.body));
    };
    let message = client.said(answer, &failure.message());
    match answer.status.as_u16() {
        404 if failure.is_auth() => Error::Unauthorized { vendor, message },
        400..=410 if failure.says("no_such_ask") => Error::NoCapacity { vendor, message },
        404 | 410 if answer.endpoint.name == CREATE.name => Error::NoCapacity { vendor, message },
        // Somebody has bid more since the offer was read: another offer, or a higher bid, is taken.
        400 if failure.says("invalid_price") => Error::NoCapacity { vendor, message },
        400..=403 if failure.says("insufficient_credit") || failure.says("lacks credit") => {
            Error::AccountLimit { vendor, message }
        }
        // Of an offer that only its own host may rent.
        403 if failure.says("invalid_args") => Error::Refused { vendor, message },
        _ => client.refusal(answer, &failure.message()),
    }
}

#[async_trait]
impl Driver for Vast {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    /// A machine is there before reads show it, by seconds as its clients tell.
    fn settles_after(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn most_user_data(&self) -> Option<usize> {
        Some(orders::MOST_SCRIPT)
    }

    fn keeps_account(&self) -> bool {
        true
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        self.client.within(Effect::Reads, self.search(query)).await
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

    /// As its invoices have it, to a thousandth of a dollar; it never says that it is final.
    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        self.client.within(Effect::Reads, self.charges(id)).await
    }

    async fn logs(&self, id: &InstanceId) -> Result<Option<String>, Error> {
        self.client.within(Effect::Reads, self.log(id)).await
    }
}
