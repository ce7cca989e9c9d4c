use cooperator_api::contribution::Contribution;
use serde_json::json;

use super::reconcile::reconcile;
use crate::settle;
use crate::testing::{Cluster, HOME};

fn work(license: &str, allowed: bool) -> serde_json::Value {
    json!({
        "metadata": { "name": "addresses" },
        "spec": {
            "collectiveRef": { "name": HOME }, "memberRef": { "name": "lincoln" }, "license": license,
            "source": { "storageUri": "s3://presidents/incoming/lincoln/" },
            "grants": [{ "use": "GenerativeTraining", "allowed": allowed }],
        },
    })
}

async fn accepted(license: &str, allowed: bool) -> (String, String) {
    let cluster = Cluster::new().await;
    cluster.coop("contributions", work(license, allowed));
    settle!(cluster, Contribution, "contributions", "addresses", reconcile);
    let contribution: Contribution = cluster.read("contributions", "addresses");
    let found = contribution.status.unwrap().conditions.remove(0);
    assert_eq!(found.type_, "Accepted");
    (found.status, found.reason)
}

#[tokio::test]
async fn a_work_that_passes_the_policy_is_accepted() {
    assert_eq!(accepted("PDDL-1.0", true).await, ("True".into(), "ConsentGiven".into()));
}

#[tokio::test]
async fn a_licence_or_grant_that_does_not_pass_is_named() {
    assert_eq!(accepted("GPL-3.0-only", true).await, ("False".into(), "LicenseNotAllowed".into()));
    assert_eq!(accepted("CC0-1.0", false).await, ("False".into(), "GrantDenied".into()));
}
