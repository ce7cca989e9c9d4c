//! Client: requests for certificates by rented machines, answered from what their claims say.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::Timestamp;
use cooperator_join::approve::Expectation;
use cooperator_join::{Claim, Decision};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::join::claim_of;
use crate::bootstrap::csr::{self, Claims, reconcile_csr};
use crate::domain::parse_time;
use crate::pipeline::Error;
use crate::rent::Rent;

/// Answers one request, or leaves it to others.
///
/// # Errors
/// [`csr::Error`]: nothing is lost by calling again.
pub async fn answer(
    request: Arc<CertificateSigningRequest>,
    rent: Arc<Rent>,
) -> Result<Action, csr::Error<Error>> {
    let now = rent.pipeline.clock.now();
    let decision = reconcile_csr(&rent.pipeline.client, &request, &Books(&rent), now).await?;
    if let Decision::Deny { claim, reason } = &decision {
        let claim = claim.as_ref().map(ToString::to_string);
        tracing::warn!(request = request.name_any(), claim, %reason, "a request for a certificate is denied");
    }
    // A request that is not decided is either nobody's of ours or was decided by another: it is not looked at again.
    Ok(match decision {
        Decision::Ignore => Action::await_change(),
        Decision::Approve(_) | Decision::Deny { .. } => Action::requeue(Duration::from_secs(600)),
    })
}

/// Claims as they stand at the API server.
struct Books<'a>(&'a Rent);

impl Books<'_> {
    async fn all(&self) -> Result<Vec<NodeClaim>, Error> {
        let api: Api<NodeClaim> = Api::all(self.0.pipeline.client.clone());
        let read = |source| Error::Read { what: "every NodeClaim".into(), source: Box::new(source) };
        Ok(api.list(&kube::api::ListParams::default()).await.map_err(read)?.items)
    }
}

#[async_trait]
impl Claims for Books<'_> {
    type Error = Error;

    async fn expectations(&self) -> Result<Vec<Expectation>, Error> {
        Ok(self.all().await?.iter().filter_map(expectation).collect())
    }

    async fn record(&self, claim: &Claim, request_uid: &str) -> Result<(), Error> {
        let all = self.all().await?;
        let found = all.iter().find(|known| known.uid().as_ref() == Some(&claim.uid));
        let gone = || Error::Domain(format!("NodeClaim {claim} is gone: no certificate is given for it"));
        let known = found.ok_or_else(gone)?;
        let bootstrap =
            known.status.as_ref().and_then(|status| status.bootstrap.as_ref()).ok_or_else(gone)?;
        match bootstrap.csr.as_deref() {
            Some(before) if before == request_uid => return Ok(()),
            Some(_) => return Err(Error::Domain(format!("NodeClaim {claim} has its certificate"))),
            None => {}
        }
        let patch = json!({
            "metadata": { "resourceVersion": known.resource_version() },
            "status": { "bootstrap": { "csr": request_uid } },
        });
        let api: Api<NodeClaim> = Api::namespaced(self.0.pipeline.client.clone(), &claim.namespace);
        let patched = api.patch_status(&claim.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.map(drop).map_err(Error::write(format!("NodeClaim {claim}")))
    }
}

/// Pure: what a claim's machine may ask for. One that is to end may ask for nothing.
fn expectation(claim: &NodeClaim) -> Option<Expectation> {
    if super::wish::is_ending(claim) {
        return None;
    }
    let status = claim.status.as_ref()?;
    let bootstrap = status.bootstrap.as_ref()?;
    let own = claim_of(claim);
    Some(Expectation {
        token_id: bootstrap.token_id.clone(),
        expires: parse_time(&bootstrap.expires_at).unwrap_or(Timestamp::MIN),
        node_name: status.node_name.clone()?,
        group: own.group(),
        claim: own,
        approved: bootstrap.csr.clone(),
    })
}
