//! What is for rent: asked of each Provider now and then, and what of it may be taken.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cooperator_api::collective::Collective;
use cooperator_api::common::condition;
use cooperator_api::node_pool::ProviderRef;
use cooperator_api::provider::Provider;
use cooperator_core::market::{ExchangeRate, HostId, Offer, OfferId, Seller};
use cooperator_core::time::{SignedDuration, Timestamp, later};
use cooperator_providers::{self as providers, Driver, Query};
use kube::ResourceExt as _;

use crate::domain::{Hold, parse_time};

/// How old an answer may be. Many claims at once look at one market; what is gone by then is refused and tried elsewhere.
const FRESH: SignedDuration = SignedDuration::from_secs(20);

/// What Providers offered last, and which of them may not be asked yet, by namespace and name.
#[derive(Default)]
pub struct Market {
    seen: Mutex<HashMap<(String, String), Seen>>,
    resting: Mutex<HashMap<(String, String), Timestamp>>,
}

struct Seen {
    at: Timestamp,
    query: Query,
    offers: Vec<Offer>,
}

impl Market {
    /// What a Provider offers now, or did a moment ago.
    ///
    /// # Errors
    /// [`providers::Error`]
    pub async fn offers(
        &self,
        provider: &Provider,
        driver: &dyn Driver,
        query: &Query,
        now: Timestamp,
    ) -> Result<Vec<Offer>, providers::Error> {
        let name = provider.name_any();
        let entry = (provider.namespace().unwrap_or_default(), name.clone());
        if let Some(offers) = self.recent(&entry, query, now) {
            return Ok(offers);
        }
        let mut offers = driver.offers(query).await?;
        offers.iter_mut().for_each(|offer| offer.provider.clone_from(&name));
        let seen = Seen { at: now, query: query.clone(), offers: offers.clone() };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(entry, seen);
        Ok(offers)
    }

    /// An offer was taken, or could not be: whoever looks next asks anew.
    pub fn forget(&self, namespace: &str, provider: &str) {
        let entry = (namespace.to_owned(), provider.to_owned());
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry);
    }

    /// An order came too early: the Provider is left alone for so long.
    pub fn rest(&self, namespace: &str, provider: &str, after: Duration, now: Timestamp) {
        let until = later(now, SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX));
        let entry = (namespace.to_owned(), provider.to_owned());
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(entry, until);
    }

    /// For how long a Provider is still left alone.
    pub fn rests(&self, namespace: &str, provider: &str, now: Timestamp) -> Option<Duration> {
        let entry = (namespace.to_owned(), provider.to_owned());
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, until| now < *until);
        resting.get(&entry).map(|until| until.duration_since(now).unsigned_abs())
    }

    fn recent(&self, entry: &(String, String), query: &Query, now: Timestamp) -> Option<Vec<Offer>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.get(entry).filter(|seen| seen.query == *query)?;
        (now.duration_since(last.at) < FRESH).then(|| last.offers.clone())
    }
}

/// Pure: a Provider as placement sees it.
///
/// # Errors
/// [`Hold`] with reason CurrencyMismatch where nothing says what its prices are in the treasury's currency.
pub fn seller(
    provider: &Provider,
    reference: &ProviderRef,
    collective: &Collective,
    now: Timestamp,
) -> Result<Seller, Hold> {
    let status = provider.status.clone().unwrap_or_default();
    let blocked =
        status.blocked_hosts.iter().filter(|block| parse_time(&block.until).is_some_and(|until| now < until));
    let (hosts, offers): (Vec<&str>, Vec<&str>) =
        blocked.map(|block| block.host.as_str()).partition(|target| !target.starts_with(OFFER));
    let blocked_hosts: BTreeSet<HostId> = hosts.into_iter().map(HostId::from).collect();
    let blocked_offers: BTreeSet<OfferId> =
        offers.into_iter().filter_map(|target| target.strip_prefix(OFFER)).map(OfferId::from).collect();
    Ok(Seller {
        kind: provider.spec.type_.name().to_owned(),
        weight: u32::try_from(reference.weight).unwrap_or(1),
        exchange: exchange(provider, collective)?,
        closed: closed(provider, now),
        most_per_hour: None,
        blocked_hosts,
        blocked_offers,
    })
}

/// What stands before an offer in a list of blocked hosts.
pub const OFFER: &str = "offer:";

/// From the Provider's currency into the treasury's.
///
/// # Errors
/// [`Hold`] with reason CurrencyMismatch.
pub fn exchange(provider: &Provider, collective: &Collective) -> Result<ExchangeRate, Hold> {
    let (theirs, ours) = (&provider.spec.currency, &collective.spec.treasury.currency);
    match &provider.spec.exchange_rate {
        Some(rate) => rate.parse().map_err(|error| {
            Hold::new("CurrencyMismatch", format!("Provider `{}`: {error}", provider.name_any()))
        }),
        None if theirs == ours => Ok(ExchangeRate::ONE),
        None => {
            let message = format!(
                "Provider `{}` bills in {theirs} and the treasury is in {ours}: set spec.exchangeRate to the {ours} that a {theirs} costs",
                provider.name_any()
            );
            Err(Hold::new("CurrencyMismatch", message))
        }
    }
}

/// Why nothing is rented of it now.
fn closed(provider: &Provider, now: Timestamp) -> Option<String> {
    if let Some(pause) = paused(provider, now) {
        return Some(pause);
    }
    let status = provider.status.as_ref()?;
    let ready = status.conditions.iter().find(|found| found.type_ == condition::READY)?;
    (ready.status == "False").then(|| format!("{}: {}", ready.reason, ready.message))
}

/// Until when nothing is rented of it, since many of its machines failed.
pub fn paused(provider: &Provider, now: Timestamp) -> Option<String> {
    let until = provider.status.as_ref()?.paused_until.as_deref()?;
    (now < parse_time(until)?).then(|| format!("paused until {until} after many machines failed"))
}
