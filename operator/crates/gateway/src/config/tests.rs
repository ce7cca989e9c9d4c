use cooperator_api::api_key::ApiKey;
use cooperator_api::collective::Collective;
use cooperator_api::deployment::Deployment;
use cooperator_core::api_key;
use cooperator_core::digest::Digest;
use cooperator_core::time::Timestamp;
use serde_json::{Value, json};

use super::leases::state;
use super::snapshot;
use crate::snapshot::Snapshot;

pub fn collective() -> Collective {
    serde_json::from_value(json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Collective",
        "metadata": {"name": "presidents", "namespace": "history"},
        "spec": {
            "members": [{"name": "lincoln", "subject": {"kind": "User", "name": "l"}, "payout": {"account": "x"}}],
            "policy": {"baseModelLicenses": ["Apache-2.0"], "contributionLicenses": ["CC0-1.0"]},
            "treasury": {"currency": "USD", "split": [{"name": "works", "basisPoints": 10000, "by": "Contribution"}]},
            "gateway": {"replicas": 3},
        },
    }))
    .unwrap()
}

pub fn minted(name: u8) -> api_key::Key {
    api_key::Key::mint([name; api_key::ENTROPY_BYTES])
}

pub fn key(name: u8, change: impl FnOnce(&mut Value)) -> ApiKey {
    let mut object = json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "ApiKey",
        "metadata": {"name": format!("key-{name}"), "namespace": "history", "uid": format!("uid-{name}")},
        "spec": {
            "collectiveRef": {"name": "presidents"}, "consumer": "library", "secretRef": {"name": "s"},
            "budget": {"amount": "10.00"}, "deployments": ["presidents"],
        },
        "status": {"sha256": minted(name).hash().to_string()},
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

pub fn deployment(change: impl FnOnce(&mut Value)) -> Deployment {
    let mut object = json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "presidents", "namespace": "history", "creationTimestamp": "2026-11-24T11:00:00Z"},
        "spec": {
            "fineTuneRef": {"name": "v1"}, "price": {"inputTokensPerMillion": "0.20", "outputTokensPerMillion": "0.80"},
        },
        "status": {"collective": "presidents", "adapterDigest": Digest::of(b"adapter").to_string()},
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

fn opens(snapshot: &Snapshot, name: u8) -> bool {
    snapshot.key(&minted(name).hash(), Timestamp::UNIX_EPOCH).is_some()
}

#[test]
fn a_key_and_a_deployment_become_a_key_and_a_route() {
    let made = snapshot(&collective(), [&key(1, |_| {})], [&deployment(|_| {})]);
    assert_eq!(made.replicas, 3);
    let key = made.key(&minted(1).hash(), Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((key.uid.as_str(), key.budget), ("uid-1", Some("10".parse().unwrap())));
    let route = made.route("presidents").unwrap();
    assert!(route.opens_to(Some(key)) && !route.opens_to(None));
    assert_eq!(route.upstream, "http://presidents-server.history.svc:8000");
    assert_eq!((route.price.tag.input.as_str(), route.price.tag.output.as_str()), ("0.2", "0.8"));
    assert_eq!((route.limits.max_input_tokens, route.created), (1024, 1_795_518_000));
}

#[test]
fn keys_that_are_revoked_deleted_expired_not_minted_or_anothers_open_nothing() {
    let keys = [
        key(1, |key| key["spec"]["revoked"] = json!(true)),
        key(2, |key| key["metadata"]["deletionTimestamp"] = json!("2026-11-24T11:00:00Z")),
        key(3, |key| key["spec"]["expiresAt"] = json!("1970-01-01T00:00:00Z")),
        key(4, |key| key["status"] = json!({})),
        key(5, |key| key["spec"]["collectiveRef"]["name"] = json!("other")),
        key(6, |key| key["status"]["sha256"] = json!("no hash")),
        key(7, |_| {}),
    ];
    let made = snapshot(&collective(), &keys, []);
    assert_eq!((1..=7).filter(|name| opens(&made, *name)).collect::<Vec<_>>(), [7]);
}

#[test]
fn deployments_that_serve_nothing_yet_are_deleted_or_anothers_have_no_route() {
    let without = [
        deployment(|object| object["status"]["adapterDigest"] = Value::Null),
        deployment(|object| object["status"]["collective"] = json!("other")),
        deployment(|object| object["metadata"]["deletionTimestamp"] = json!("2026-11-24T11:00:00Z")),
        deployment(|object| object["status"]["upstream"] = json!("https://user@elsewhere/path")),
    ];
    for object in &without {
        assert!(snapshot(&collective(), [], [object]).route("presidents").is_none());
    }
}

#[test]
fn of_two_deployments_with_one_model_name_the_older_stays() {
    let newer = deployment(|object| {
        object["metadata"]["name"] = json!("a-newcomer");
        object["metadata"]["creationTimestamp"] = json!("2026-11-24T12:00:00Z");
        object["spec"]["modelName"] = json!("presidents");
    });
    let made = snapshot(&collective(), [], [&newer, &deployment(|_| {})]);
    assert_eq!(made.route("presidents").unwrap().deployment, "presidents");
}

#[test]
fn leases_are_read_as_they_were_written() {
    let object = key(1, |key| {
        key["status"]["spent"] = json!({"amount": "1.5", "currency": "USD"});
        key["status"]["leases"] = json!([{"gateway": "g", "granted": "2", "spent": "1.5"}]);
    });
    let state = state(&object).unwrap();
    assert_eq!((state.budget, state.spent), (Some("10".parse().unwrap()), "1.5".parse().unwrap()));
    assert_eq!(state.leases[0].granted, "2".parse().unwrap());
}
