//! Client: looks for machines without a claim, and for claims that do not know of a machine.

use std::time::Duration;

use cooperator_api::node_claim::NodeClaim;
use cooperator_api::provider::Provider;
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use cooperator_kit::answer::{is_absent, is_conflict};
use cooperator_providers::{Driver, Error as VendorError};
use cooperator_rental::collect::NoPass;
use cooperator_rental::{Live, Record, Strays, Verdict};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::node_claim;
use crate::pipeline::Error;
use crate::rent::{self, Rent};

/// What a pass came to.
#[derive(Debug)]
pub struct Collected {
    /// Machines without a claim, as they are now.
    pub strays: Strays,
    /// When the next pass should follow, if sooner than usual.
    pub again: Option<Duration>,
    /// Machines of ours that are there and have a claim.
    pub machines: usize,
}

/// One pass over a Provider's machines. The inner error: the vendor did not list them, and nothing is concluded.
///
/// # Errors
/// [`Error`] where claims cannot be read or written.
pub async fn collect(
    rent: &Rent,
    provider: &Provider,
    driver: &dyn Driver,
) -> Result<Result<Collected, VendorError>, Error> {
    let tenant = rent.tenant().await?;
    let strays = super::status::strays(provider)?;
    let mut known = Vec::new();
    let clock = &*rent.pipeline.clock;
    let claims = async {
        known = all(rent, provider).await?;
        let named = known.iter().filter_map(|(claim, record)| Some((tenant.name(&claim.uid()?)?, record)));
        Ok::<_, Error>(Live::of(&provider.name_any(), named))
    };
    let pass =
        cooperator_rental::collect(driver, tenant, &strays, claims, &rent::limits(provider), clock).await;
    let pass = match pass {
        Ok(pass) => pass,
        Err(NoPass::Read(error)) => return Err(error),
        Err(NoPass::List(error)) => return Ok(Err(error)),
    };
    for error in &pass.errors {
        tracing::warn!(provider = provider.name_any(), %error, "a machine without a claim is dealt with again in the next pass");
    }
    let now = clock.now();
    for verdict in &pass.found {
        tell(rent, provider, &known, verdict, now).await?;
    }
    let rented = known.iter().filter(|(_, record)| !record.is_closed());
    let prices = rented.clone().filter_map(|(claim, _)| {
        claim.status.as_ref()?.offer.as_ref()?.price_per_hour.parse::<PricePerHour>().ok()
    });
    let price = prices.map(PricePerHour::micros).fold(0, u64::saturating_add);
    rent.gauges.set(rented.count(), PricePerHour::from_micros(price));
    let fresh = pass.strays.machines.len().saturating_sub(strays.machines.len());
    rent.gauges.strays(provider.spec.type_, fresh);
    let here = known.iter().filter(|(claim, _)| claim.namespace() == provider.namespace());
    let open =
        here.filter(|(_, record)| record.open().is_some_and(|launch| launch.provider == provider.name_any()));
    let machines = open.count();
    Ok(Ok(Collected { strays: pass.strays, again: pass.again, machines }))
}

/// Every claim of the cluster and its record. An account can be shared by Providers of several namespaces, and a machine
/// whose claim is elsewhere is no orphan: what those hold counts as held here.
async fn all(rent: &Rent, provider: &Provider) -> Result<Vec<(NodeClaim, Record)>, Error> {
    let api: Api<NodeClaim> = Api::all(rent.pipeline.client.clone());
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(cooperator_kit::PAGE);
    loop {
        let read = |source| Error::Read { what: "every NodeClaim".into(), source: Box::new(source) };
        let list = api.list(&page).await.map_err(read)?;
        for claim in list.items {
            let mut record = node_claim::record(&claim)?;
            if claim.namespace() != provider.namespace() {
                record.launches.iter_mut().for_each(|launch| launch.provider = provider.name_any());
            }
            found.push((claim, record));
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Gives a claim of this namespace the machine that it does not know it has. It is refused if the claim has changed since
/// it was read.
async fn tell(
    rent: &Rent,
    provider: &Provider,
    known: &[(NodeClaim, Record)],
    verdict: &Verdict,
    now: Timestamp,
) -> Result<(), Error> {
    let owns = |claim: &NodeClaim| claim.uid().is_some_and(|uid| verdict.instance.name.is_of(&uid));
    let mut here = known.iter().filter(|(claim, _)| claim.namespace() == provider.namespace());
    let Some((claim, record)) = here.find(|(claim, _)| owns(claim)) else { return Ok(()) };
    let mut record = record.clone();
    if !record.found(&provider.name_any(), &verdict.instance, now) {
        return Ok(());
    }
    let before = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
    let launches = node_claim::launches(&record, before, None)?;
    let name = claim.name_any();
    let patch = json!({
        "metadata": { "resourceVersion": claim.resource_version() }, "status": { "launches": launches },
    });
    let api: Api<NodeClaim> =
        Api::namespaced(rent.pipeline.client.clone(), &claim.namespace().unwrap_or_default());
    match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) || is_conflict(&error) => Ok(()),
        Err(error) => Err(Error::write(format!("NodeClaim `{name}`"))(error)),
    }
}
