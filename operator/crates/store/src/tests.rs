mod brokered;
mod presigned;

use std::path::PathBuf;

use bytes::Bytes;
use cooperator_core::digest::Digest;
use proptest::prelude::*;

use crate::multipart::{PART, part_size};
use crate::testing::{Fault, Rule, Server};
use crate::{Credentials, Error, Store};

const BUCKET: &str = "works";

fn store_with_prefix(server: &Server) -> Store {
    let mut location = server.location(BUCKET);
    location.prefix = "collective/".to_owned();
    let key = Credentials::new("GKtest", "very-secret");
    server.trust(&key);
    Store::connect(&location, key)
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    (folder, file)
}

#[tokio::test]
async fn what_is_put_is_got_below_the_prefix() {
    let server = Server::start().await;
    let store = store_with_prefix(&server);
    store.put("a b/ü+.txt", Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(server.keys(BUCKET), ["collective/a b/ü+.txt"]);
    assert_eq!(store.get("a b/ü+.txt").await.unwrap(), "hello");
    assert_eq!(store.head("a b/ü+.txt").await.unwrap(), Some(5));
    assert_eq!(store.uri("x"), "s3://works/collective/x");
    store.delete("a b/ü+.txt").await.unwrap();
    assert_eq!(store.head("a b/ü+.txt").await.unwrap(), None);
    store.delete("a b/ü+.txt").await.unwrap();
}

#[tokio::test]
async fn a_listing_has_all_pages_and_only_its_prefix() {
    let server = Server::start().await;
    let store = store_with_prefix(&server);
    for index in 0..250 {
        server.set_object(BUCKET, &format!("collective/usage/{index:03}"), "x");
    }
    server.set_object(BUCKET, "elsewhere/usage/1", "x");
    let listed = store.list("usage/").await.unwrap();
    assert_eq!(listed.len(), 250);
    assert_eq!((listed[249].key.as_str(), listed[249].size), ("usage/249", 1));
    assert_eq!(store.delete_all("usage/").await.unwrap(), 250);
    assert_eq!(server.keys(BUCKET), ["elsewhere/usage/1"]);
}

#[tokio::test]
async fn errors_are_told_apart_in_one_line_without_the_secret() {
    let server = Server::start().await;
    let store = store_with_prefix(&server).with_attempts(2);
    let missing = store.get("none").await.unwrap_err();
    assert!(missing.is_not_found());
    assert_eq!(missing.to_string(), "s3://works/collective/none: not found in object storage");

    server.fault(Rule::new(Fault::Status(403)));
    let forbidden = store.get("none").await.unwrap_err();
    assert!(matches!(forbidden, Error::Forbidden { .. }), "{forbidden:?}");
    server.heal();

    server.fault(Rule::new(Fault::Status(503)));
    let away = store.get("none").await.unwrap_err();
    assert!(matches!(away, Error::Unavailable { attempts: 2, .. }), "{away:?}");
    for error in [missing, forbidden, away] {
        let text = format!("{error} {error:?}");
        assert!(!text.contains('\n') && !text.contains("very-secret"), "{text}");
    }
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let mut location = Server::start().await.location(BUCKET);
    location.endpoint = "http://127.0.0.1:9".to_owned();
    let nobody = Store::connect(&location, Credentials::new("a", "b")).with_attempts(1);
    assert!(nobody.get("x").await.unwrap_err().is_transient());
}

#[tokio::test]
async fn what_passes_by_itself_is_retried() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    server.fault(Rule::new(Fault::Status(503)).times(2));
    store.put("key", Bytes::from_static(b"value")).await.unwrap();
    server.fault(Rule::new(Fault::Truncate).method("GET").times(1));
    assert_eq!(store.get("key").await.unwrap(), "value");
    assert_eq!(server.calls().len(), 5);
}

#[tokio::test]
async fn a_blob_is_sent_once_and_checked_when_read() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    let digest = store.put_blob(Bytes::from_static(b"works")).await.unwrap();
    store.put_blob(Bytes::from_static(b"works")).await.unwrap();
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("PUT")).count(), 1);
    assert_eq!(store.get_blob(&digest).await.unwrap(), "works");
    server.fault(Rule::new(Fault::Corrupt).method("GET").times(1));
    let error = store.get_blob(&digest).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { expected, .. } if expected == digest), "{error:?}");
}

#[tokio::test]
async fn a_manifest_is_read_back_only_by_its_digest() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    let key = |digest: &Digest| format!("manifests/{}.json", digest.hex());
    let digest = store.put_manifest(key, &vec!["a", "b"]).await.unwrap();
    let read: Vec<String> = store.get_manifest(&key(&digest), &digest).await.unwrap();
    assert_eq!(read, ["a", "b"]);
    let other = store.get_manifest::<u32>(&key(&digest), &digest).await.unwrap_err();
    assert!(matches!(other, Error::Malformed { .. }), "{other:?}");
    server.set_object(BUCKET, &key(&digest), "[]");
    let changed = store.get_manifest::<Vec<String>>(&key(&digest), &digest).await.unwrap_err();
    assert!(matches!(changed, Error::Corrupt { .. }), "{changed:?}");
}

#[tokio::test]
async fn a_large_file_goes_in_parts_and_comes_back_the_same() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    let (_folder, file) = scratch();
    let bytes: Vec<u8> = (0..PART + PART / 2).map(|index| (index % 251) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    server.fault(Rule::new(Fault::Status(500)).on("partNumber=2").times(1));
    let digest = store.put_blob_file(&file).await.unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    assert_eq!(server.open_uploads(), 0);
    let back = file.with_extension("back");
    store.get_blob_file(&digest, &back).await.unwrap();
    assert_eq!(std::fs::read(&back).unwrap(), bytes);
    let calls = server.calls().len();
    store.get_blob_file(&digest, &back).await.unwrap();
    assert_eq!(server.calls().len(), calls, "nothing is fetched twice");
}

#[tokio::test]
async fn an_upload_that_fails_for_good_leaves_no_parts() {
    let server = Server::start().await;
    let store = server.store(BUCKET).with_attempts(2);
    let (_folder, file) = scratch();
    std::fs::write(&file, vec![1; PART as usize + 1]).unwrap();
    server.fault(Rule::new(Fault::Status(500)).on("partNumber=2"));
    assert!(store.put_file("big", &file).await.unwrap_err().is_transient());
    assert_eq!(server.open_uploads(), 0);
    assert!(server.keys(BUCKET).is_empty());
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    let (_folder, file) = scratch();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 253) as u8).collect();
    server.set_object(BUCKET, "big", bytes.clone());
    server.fault(Rule::new(Fault::Truncate).method("GET").times(2));
    let digest = store.get_to_file("big", &file, None).await.unwrap();
    assert_eq!((digest, std::fs::read(&file).unwrap()), (Digest::of(&bytes), bytes));
}

#[tokio::test]
async fn a_left_over_of_something_else_is_thrown_away() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    let (_folder, file) = scratch();
    let part = file.parent().unwrap().join("file.part");
    std::fs::write(&part, b"XXXX").unwrap();
    server.set_object(BUCKET, "key", "0123456789");
    let expected = Digest::of(b"0123456789");
    store.get_to_file("key", &file, Some(&expected)).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"0123456789");
    assert!(!part.exists());
}

#[tokio::test]
async fn a_corrupt_download_leaves_nothing() {
    let server = Server::start().await;
    let store = server.store(BUCKET);
    let (folder, file) = scratch();
    server.set_object(BUCKET, "key", "0123456789");
    let error = store.get_to_file("key", &file, Some(&Digest::of(b"other"))).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_check_writes_reads_and_removes() {
    let server = Server::start().await;
    let store = server.store(BUCKET).with_attempts(1);
    store.check().await.unwrap();
    assert!(server.keys(BUCKET).is_empty());
    server.fault(Rule::new(Fault::Status(403)).method("PUT"));
    assert!(matches!(store.check().await.unwrap_err(), Error::Forbidden { .. }));
}

proptest! {
    #[test]
    fn parts_stay_within_the_bounds_of_s3(size in PART..(5_u64 << 40)) {
        let part = part_size(size);
        prop_assert!(part >= PART && size.div_ceil(part) <= 10_000);
    }
}
