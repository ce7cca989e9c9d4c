//! Pure: what status says of a Provider.

use cooperator_api::collective::Collective;
use cooperator_api::common::condition;
use cooperator_api::provider::{Cheapest, Provider, ProviderStatus};
use cooperator_core::market::Offer;
use cooperator_core::time::{Timestamp, whole_second};
use cooperator_providers::Error as VendorError;
use cooperator_rental::Strays;
use kube::ResourceExt as _;
use serde_json::json;

use super::orphans::Collected;
use crate::domain::{Finding, Hold, parse_time};
use crate::pipeline::Error;
use crate::rent;

/// What was seen of a vendor.
#[derive(Debug, Default)]
pub struct Seen {
    /// Why it was not asked.
    pub hold: Option<Hold>,
    /// What it offers.
    pub offers: Option<Result<Vec<Offer>, VendorError>>,
    /// What of ours is there.
    pub collected: Option<Result<Collected, VendorError>>,
}

impl Seen {
    fn error(&self) -> Option<&VendorError> {
        let offers = self.offers.as_ref().and_then(|offers| offers.as_ref().err());
        let errors =
            offers.into_iter().chain(self.collected.as_ref().and_then(|collected| collected.as_ref().err()));
        // That it was asked too often says nothing of it.
        errors.into_iter().find(|error| !matches!(error, VendorError::Throttled { .. }))
    }
}

/// The strays that status holds.
///
/// # Errors
/// [`Error::Domain`] if somebody has written something else there.
pub fn strays(provider: &Provider) -> Result<Strays, Error> {
    let status = provider.status.clone().unwrap_or_default();
    let earlier = status.strayed_earlier.unwrap_or_else(|| "0".into());
    serde_json::from_value(json!({ "machines": status.strays, "earlier": earlier })).map_err(|error| {
        let name = provider.name_any();
        Error::Domain(format!(
            "Provider `{name}`: status.strays cannot be read ({error}): put back what was there"
        ))
    })
}

/// Everything of status but the conditions, and what others write.
///
/// # Errors
/// [`Error::Domain`] where something of it cannot be written down.
pub fn status(
    provider: &Provider,
    collective: Option<&Collective>,
    seen: &Seen,
    now: Timestamp,
) -> Result<ProviderStatus, Error> {
    let before = provider.status.clone().unwrap_or_default();
    let mut status = ProviderStatus {
        observed_generation: provider.metadata.generation,
        conditions: Vec::new(),
        failures: Vec::new(),
        paused_until: None,
        blocked_hosts: Vec::new(),
        ..before
    };
    if let Some(Ok(offers)) = &seen.offers {
        status.offers = Some(i32::try_from(offers.len()).unwrap_or(i32::MAX));
        status.cheapest = collective.and_then(|home| cheapest(provider, home, offers));
    }
    if let Some(Ok(collected)) = &seen.collected {
        let unreadable =
            |error: serde_json::Error| Error::Domain(format!("a stray cannot be written down: {error}"));
        let strays = serde_json::to_value(&collected.strays.machines).map_err(unreadable)?;
        status.strays = serde_json::from_value(strays).map_err(unreadable)?;
        let earlier = collected.strays.earlier;
        status.strayed_earlier = (earlier.pico() != 0).then(|| earlier.to_string());
        status.machines = Some(i32::try_from(collected.machines).unwrap_or(i32::MAX));
    }
    // An hour is enough for people, and a write without news each time is not.
    let fresh = status.last_seen.as_deref().and_then(parse_time);
    if seen.hold.is_none()
        && seen.error().is_none()
        && fresh.is_none_or(|at| now.duration_since(at).as_secs() >= 600)
    {
        status.last_seen = Some(whole_second(now).to_string());
    }
    Ok(status)
}

fn cheapest(provider: &Provider, home: &Collective, offers: &[Offer]) -> Option<Cheapest> {
    let rate = rent::exchange(provider, home).ok()?;
    let offer = offers.iter().min_by_key(|offer| (offer.terms.hourly, offer.id.clone()))?;
    let gpus =
        offer.gpus.as_ref().map(|gpus| format!("{}x {}, ", gpus.count, gpus.model)).unwrap_or_default();
    let description =
        format!("{gpus}{} cpu, {} GiB, {}", offer.cpu_millis / 1000, offer.memory_mib / 1024, offer.region);
    Some(Cheapest { description, price_per_hour: rate.price(offer.terms.hourly).ok()?.to_string() })
}

/// What is found.
pub fn findings(
    provider: &Provider,
    collective: Option<&Collective>,
    seen: &Seen,
    now: Timestamp,
) -> Vec<Finding> {
    let no = |hold: &Hold| vec![Finding::held(condition::READY, hold)];
    if let Some(hold) = &seen.hold {
        return no(hold);
    }
    let Some(home) = collective else {
        let name = &provider.spec.collective_ref.name;
        let message = format!("Collective `{name}` does not exist in this namespace: create it");
        return no(&Hold::new("CollectiveNotFound", message));
    };
    if let Err(hold) = rent::exchange(provider, home) {
        return no(&hold);
    }
    match (seen.error(), rent::paused(provider, now)) {
        (Some(error), _) => no(&refusal(provider, error)),
        (None, Some(pause)) => no(&Hold::new("Paused", format!("it answers, and is {pause}"))),
        (None, None) => vec![Finding::yes(condition::READY, "Reachable", "it answers")],
    }
}

fn refusal(provider: &Provider, error: &VendorError) -> Hold {
    let secret = provider.spec.secret_ref.as_ref().map_or("", |secret| &secret.name);
    match error {
        VendorError::Unauthorized { .. } => {
            let key = rent::secret_key(provider.spec.type_);
            Hold::new("CredentialsInvalid", format!("{error}: Secret `{secret}`, key `{key}`"))
        }
        VendorError::HostKey { .. } => Hold::new("HostKeyMismatch", error.to_string()),
        VendorError::AccountLimit { .. } => Hold::new("AccountLimit", error.to_string()),
        _ => {
            let since = provider.status.as_ref().and_then(|status| status.last_seen.clone());
            let since = since.map_or_else(|| "never so far".to_owned(), |at| format!("last at {at}"));
            Hold::new("Unreachable", format!("{error}; it answered {since}"))
        }
    }
}
