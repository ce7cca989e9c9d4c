//! Lambda Cloud, by its API v1: virtual machines with GPUs.
//!
//! It has no key for a request that is made twice: a machine is found again by its name, and by a tag should it lose that.

mod offers;
mod orders;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::Offer;
use cooperator_core::time::Clock;
use reqwest::Method;
use url::Url;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query, State};
use crate::error::Error;
use crate::http::{Answer, Call, Client, Effect, Endpoint, Hidden, Key};
use crate::name::Tenant;
use wire::{Data, Failure, Launched, Machine, SshKey, Terminate, Terminated, Types};

/// What it is called.
pub const VENDOR: &str = "Lambda Cloud";

/// Least interval between any two calls.
const OVERALL: Duration = Duration::from_secs(1);
const OFFERS: Endpoint = Endpoint::reads("offers", 0);
const KEYS: Endpoint = Endpoint::reads("ssh-keys", 0);
const CREATE: Endpoint = Endpoint::changes("create", 12_000);
const GET: Endpoint = Endpoint::reads("get", 0);
const LIST: Endpoint = Endpoint::reads("list", 0);
const DELETE: Endpoint = Endpoint::changes("delete", 0);

/// Its driver.
#[derive(Debug)]
pub struct Lambda {
    client: Client,
    /// The name of the SSH key that machines get, once known: it makes none without.
    ssh_key: Mutex<Option<String>>,
}

impl Lambda {
    /// A driver for the account of a key, at `base`.
    ///
    /// # Errors
    /// [`Error::Refused`]: that is no URL of an API. [`Error::Unauthorized`]: the key cannot be one.
    pub fn new(base: Url, key: Key, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let client = Client::new(VENDOR, base, key, OVERALL, clock)?;
        Ok(Self { client, ssh_key: Mutex::default() })
    }

    async fn types(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let answer = self.client.ask(Call::new(OFFERS, Method::GET, &["instance-types"]), refusal).await?;
        let types: Data<Types> = self.client.read(&answer)?;
        let offers = offers::offers(&types.data)
            .ok_or_else(|| self.client.garbage(Effect::Reads, "offers: none of them can be read"))?;
        Ok(offers.into_iter().filter(|offer| query.takes(offer)).collect())
    }

    async fn order(&self, order: &Order) -> Result<Instance, Error> {
        let ssh_key = self.ssh_key().await?;
        let body = orders::launch(order, ssh_key)?;
        let call = Call::new(CREATE, Method::POST, &["instance-operations", "launch"]);
        // The key may have been asked for just now: the second after that is waited for, the twelve after a launch are not.
        let call = call.body(&body).hiding(Hidden::of(&order.payload)).waiting();
        let answer = self.client.ask(call, refusal).await?;
        let launched: Data<Launched> = self.client.read(&answer)?;
        let id = launched.data.instance_ids.into_iter().next();
        let id = id.ok_or_else(|| self.client.garbage(Effect::Changes, "create: a success without an id"))?;
        Ok(orders::launched(order, id))
    }

    /// The first of the account's SSH keys: nobody logs in with it, but exactly one must be named.
    async fn ssh_key(&self) -> Result<String, Error> {
        let known = self.ssh_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        // What is for rent was asked for just now: an order that gave up its turn would have to be written down anew.
        let call = Call::new(KEYS, Method::GET, &["ssh-keys"]).waiting();
        let answer = self.client.ask(call, refusal).await?;
        let keys: Data<Vec<SshKey>> = self.client.read(&answer)?;
        let first = keys.data.into_iter().map(|key| key.name).min().ok_or_else(|| Error::Refused {
            vendor: VENDOR,
            message: "the account has no SSH key, and no machine is made without; add one to the account"
                .to_owned(),
        })?;
        *self.ssh_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(first.clone());
        Ok(first)
    }

    async fn find(&self, call: Call) -> Result<Option<Instance>, Error> {
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(refusal(&self.client, &answer));
        }
        let machine: Data<Machine> = self.client.read(&answer)?;
        // It is there, and costs, whoever took its name away: that is not "none".
        let unnamed = || self.client.garbage(Effect::Reads, "get: the machine is not named as ours are");
        machine.data.instance().map(Some).ok_or_else(unnamed)
    }

    fn get_call(&self, id: &InstanceId) -> Result<Call, Error> {
        Ok(Call::new(GET, Method::GET, &["instances", self.client.segment(id)?]))
    }

    async fn all(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let answer = self.client.ask(Call::new(LIST, Method::GET, &["instances"]), refusal).await?;
        let machines: Data<Vec<Machine>> = self.client.read(&answer)?;
        let ours = machines.data.into_iter().filter_map(|machine| machine.instance());
        Ok(ours.filter(|machine| machine.name.tenant() == tenant).collect())
    }

    async fn terminate(&self, id: &InstanceId) -> Result<Deleted, Error> {
        let body = Terminate { instance_ids: [self.client.segment(id)?] };
        let call = Call::new(DELETE, Method::POST, &["instance-operations", "terminate"]).body(&body);
        let answer = self.client.send(call).await?;
        if is_absence(&answer) {
            return Ok(Deleted::Gone { at: None });
        }
        if answer.status.is_success() {
            let ended: Data<Terminated> = self.client.read(&answer)?;
            let over = |machine: &Machine| machine.id() == id.0 && machine.state() == State::Over;
            let gone = ended.data.terminated_instances.iter().any(over);
            return Ok(if gone { Deleted::Gone { at: None } } else { Deleted::Ending });
        }
        // Of one that has ended already it may say that it cannot be ended.
        let refused = refusal(&self.client, &answer);
        if !matches!(refused, Error::Refused { .. }) {
            return Err(refused);
        }
        match self.find(self.get_call(id)?.waiting()).await? {
            None => Ok(Deleted::Gone { at: None }),
            Some(machine) if machine.state == State::Over => Ok(Deleted::Gone { at: None }),
            Some(machine) if machine.state == State::Ending => Ok(Deleted::Ending),
            Some(_) => Err(refused),
        }
    }
}

/// Whether it says, in its own words, that there is no such machine: a 404 of a proxy says nothing about machines.
fn is_absence(answer: &Answer) -> bool {
    let absent = |failure: Failure| failure.is_absence();
    matches!(answer.status.as_u16(), 400 | 404) && answer.parse::<Failure>().is_some_and(absent)
}

/// What a refusal means.
fn refusal(client: &Client, answer: &Answer) -> Error {
    let vendor = VENDOR;
    let Some(failure) = answer.parse::<Failure>() else {
        return client.refusal(answer, &String::from_utf8_lossy(&answer.body));
    };
    let message = client.said(answer, &failure.message());
    match failure.code() {
        "instance-operations/launch/insufficient-capacity" => Error::NoCapacity { vendor, message },
        "global/quota-exceeded" | "global/account-inactive" | "global/invalid-address" => {
            Error::AccountLimit { vendor, message }
        }
        "global/invalid-api-key" | "global/forbidden" => Error::Unauthorized { vendor, message },
        _ => client.refusal(answer, &failure.message()),
    }
}

#[async_trait]
impl Driver for Lambda {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn settles_after(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        self.client.within(Effect::Reads, self.types(query)).await
    }

    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        self.client.within(Effect::Changes, self.order(order)).await
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let call = self.get_call(id)?;
        self.client.within(Effect::Reads, self.find(call)).await
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        self.client.within(Effect::Reads, self.all(tenant)).await
    }

    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        self.client.within(Effect::Changes, self.terminate(id)).await
    }

    /// It has no account by machine.
    async fn charged(&self, _id: &InstanceId) -> Result<Option<Charge>, Error> {
        Ok(None)
    }
}
