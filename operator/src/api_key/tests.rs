use cooperator_api::api_key::ApiKey;
use cooperator_core::api_key::Key;
use cooperator_core::digest::Digest;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::build;
use super::reconcile::reconcile;
use crate::settle;
use crate::testing::{Cluster, HOME};

async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    cluster.coop("apikeys", json!({
        "metadata": { "name": "reader" },
        "spec": { "collectiveRef": { "name": HOME }, "consumer": "a-reading-room", "secretRef": { "name": "reader-key" } },
    }));
    cluster
}

fn object(cluster: &Cluster) -> ApiKey {
    cluster.read("apikeys", "reader")
}

fn key(cluster: &Cluster) -> Key {
    build::key(&cluster.find::<Secret>("v1", "secrets", "reader-key").unwrap()).unwrap()
}

fn reason(cluster: &Cluster, type_: &str) -> (String, String) {
    let status = object(cluster).status.unwrap();
    let found = status.conditions.iter().find(|found| found.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

#[tokio::test]
async fn a_key_is_minted_once_shown_in_its_secret_and_known_by_its_hash() {
    let cluster = cluster().await;
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    let status = object(&cluster).status.unwrap();
    let key = key(&cluster);
    assert_eq!(status.sha256, Some(Digest::of(key.expose().as_bytes()).hex()));
    assert!(key.expose().starts_with(&status.prefix.unwrap()));
    assert_eq!(reason(&cluster, "Ready"), ("True".into(), "Minted".into()));
    assert_eq!(cluster.writes(), ["POST secrets/reader-key", "STATUS apikeys/reader"]);
}

#[tokio::test]
async fn a_crash_between_secret_and_status_mints_no_second_key() {
    let cluster = cluster().await;
    cluster.cut_after(1);
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    assert!(cluster.was_cut());
    let secrets = cluster.writes().iter().filter(|write| write.contains("secrets/")).count();
    assert_eq!(secrets, 1, "{:?}", cluster.writes());
    assert_eq!(
        object(&cluster).status.unwrap().sha256,
        Some(Digest::of(key(&cluster).expose().as_bytes()).hex())
    );
}

#[tokio::test]
async fn a_key_whose_secret_was_deleted_goes_on_working_and_is_not_minted_again() {
    let cluster = cluster().await;
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    let hash = object(&cluster).status.unwrap().sha256;
    cluster.remove("v1", "secrets", "reader-key");
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    assert_eq!(object(&cluster).status.unwrap().sha256, hash);
    assert!(cluster.find::<Secret>("v1", "secrets", "reader-key").is_none());
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_neither_read_nor_written() {
    let cluster = cluster().await;
    cluster.put(
        "v1",
        "secrets",
        json!({ "metadata": { "name": "reader-key" }, "data": { "apiKey": "eA==" } }),
    );
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    assert_eq!(reason(&cluster, "Ready"), ("False".into(), "SecretTaken".into()));
    assert_eq!(object(&cluster).status.unwrap().sha256, None);
}

#[tokio::test]
async fn a_revoked_key_and_an_expired_one_are_not_ready() {
    let cluster = cluster().await;
    cluster.edit("apikeys", "reader", |key: &mut ApiKey| {
        key.spec.expires_at = Some("2026-11-24T13:00:00Z".into())
    });
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    assert_eq!(reason(&cluster, "Expired"), ("False".into(), "NotExpired".into()));
    cluster.clock.advance(SignedDuration::from_hours(2));
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    assert_eq!(reason(&cluster, "Ready"), ("False".into(), "Expired".into()));
    cluster.edit("apikeys", "reader", |key: &mut ApiKey| key.spec.revoked = true);
    settle!(cluster, ApiKey, "apikeys", "reader", reconcile);
    assert_eq!(reason(&cluster, "Ready"), ("False".into(), "Revoked".into()));
}
