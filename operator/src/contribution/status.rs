//! Pure: whether a Contribution is accepted.

use cooperator_api::collective::Collective;
use cooperator_api::common::condition::ACCEPTED;
use cooperator_api::contribution::Contribution;
use cooperator_core::consent::Decision;

use crate::domain::{Finding, Terms};

/// The one condition of a Contribution. `datasets` are the names of the Datasets whose newest version holds it.
pub fn finding(contribution: &Contribution, collective: Option<&Collective>, datasets: &[String]) -> Finding {
    let Some(collective) = collective else {
        let name = &contribution.spec.collective_ref.name;
        let message = format!("Collective `{name}` does not exist in this namespace: create it");
        return Finding::no(ACCEPTED, "CollectiveNotFound", message);
    };
    match Terms::of(collective).map(|terms| terms.decide(contribution)) {
        Err(error) => Finding::no(ACCEPTED, "PolicyInvalid", error.to_string()),
        Ok(Decision::Refused { reason, message }) => Finding::no(ACCEPTED, reason.to_string(), message),
        Ok(Decision::Accepted) if datasets.is_empty() => Finding::yes(
            ACCEPTED,
            "ConsentGiven",
            "licence and grants pass the policy; no Dataset holds it yet",
        ),
        Ok(Decision::Accepted) => {
            let message = format!("licence and grants pass the policy; held by {}", datasets.join(", "));
            Finding::yes(ACCEPTED, "ConsentGiven", message)
        }
    }
}
