//! Approves and denies requests for certificates of rented machines.

use async_trait::async_trait;
use cooperator_core::time::{Timestamp, whole_second};
use cooperator_join::approve::{Approval, Decision, Expectation, decide};
use cooperator_join::claim::Claim;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

/// The claims that have a machine which is, or is to be, a node.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Why they could not be read or written.
    type Error: std::error::Error + Send + Sync + 'static;

    /// All of them, read anew: one too few denies a machine its certificate for good.
    async fn expectations(&self) -> Result<Vec<Expectation>, Self::Error>;

    /// Writes down that the request with this uid is the one approved for the claim's token. Fails, by comparing and
    /// swapping, where another is written there: so no token has two certificates, whatever runs beside this.
    async fn record(&self, claim: &Claim, request_uid: &str) -> Result<(), Self::Error>;
}

/// Why a request was not dealt with. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The claims could not be read, or the approval not be written down.
    #[error("the request `{request}`: {source}")]
    Claims {
        /// The name of the request.
        request: String,
        /// Why not.
        source: E,
    },
    /// The API server refused.
    #[error("cannot {what} the request `{request}` for a certificate: {source}")]
    Kube {
        /// What was tried.
        what: &'static str,
        /// The name of the request.
        request: String,
        /// Why not.
        source: Box<kube::Error>,
    },
}

/// Deals with one request: approves it, denies it, or leaves it. A first certificate is written down before it is approved.
/// May be called any number of times for the same request. `now` is the present instant.
///
/// # Errors
/// When the claims cannot be read or written, or the API server refuses, as it does when the request has changed.
pub async fn reconcile_csr<C: Claims>(
    client: &Client,
    csr: &CertificateSigningRequest,
    claims: &C,
    now: Timestamp,
) -> Result<Decision, Error<C::Error>> {
    let failed = |source| Error::Claims { request: csr.name_any(), source };
    let expectations = claims.expectations().await.map_err(failed)?;
    let decision = decide(csr, &expectations, now);
    match &decision {
        Decision::Approve(Approval::First { claim, uid }) => {
            claims.record(claim, uid).await.map_err(failed)?;
            let message = format!("The first certificate of the machine of NodeClaim {claim}.");
            patch(client, csr, "approve", condition("Approved", "CooperatorFirst", &message, now)).await?;
        }
        Decision::Approve(Approval::Renewal(claim)) => {
            let message = format!("The next certificate of the machine of NodeClaim {claim}.");
            patch(client, csr, "approve", condition("Approved", "CooperatorRenewal", &message, now)).await?;
        }
        Decision::Deny { reason, .. } => {
            patch(client, csr, "deny", condition("Denied", reason.word(), &reason.to_string(), now)).await?;
        }
        Decision::Ignore => {}
    }
    Ok(decision)
}

fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    let time = whole_second(now).to_string();
    json!({
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": time, "lastTransitionTime": time,
    })
}

/// Sets the one condition, if the request is still as it was read.
async fn patch<E: std::error::Error + 'static>(
    client: &Client,
    csr: &CertificateSigningRequest,
    what: &'static str,
    condition: Value,
) -> Result<(), Error<E>> {
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let patch = json!({
        "metadata": {"uid": csr.metadata.uid, "resourceVersion": csr.metadata.resource_version},
        "status": {"conditions": [condition]},
    });
    let name = csr.name_any();
    match requests.patch_subresource("approval", &name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Kube { what, request: name, source: Box::new(source) }),
    }
}

#[cfg(test)]
mod tests;
