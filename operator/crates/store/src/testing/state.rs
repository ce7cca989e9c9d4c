//! What the server holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use cooperator_core::digest::Digest;

use super::fault::{Fault, Rule};

/// Parts of an upload by number.
type Parts = BTreeMap<u32, Bytes>;

/// Buckets, uploads, calls and faults.
#[derive(Debug, Default)]
pub(super) struct State {
    objects: BTreeMap<(String, String), Bytes>,
    pub(super) uploads: BTreeMap<String, Parts>,
    pub(super) calls: Vec<String>,
    pub(super) rules: Vec<Rule>,
    /// Secret parts of access keys by their ids, for presigned URLs.
    pub(super) keys: BTreeMap<String, String>,
    begun: u64,
}

impl State {
    pub(super) fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.objects.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    pub(super) fn put(&mut self, bucket: &str, key: &str, bytes: Bytes) {
        self.objects.insert((bucket.to_owned(), key.to_owned()), bytes);
    }

    pub(super) fn delete(&mut self, bucket: &str, key: &str) {
        self.objects.remove(&(bucket.to_owned(), key.to_owned()));
    }

    pub(super) fn list(&self, bucket: &str, prefix: &str) -> Vec<(String, usize)> {
        let of_bucket =
            self.objects.iter().filter(|((held, key), _)| held == bucket && key.starts_with(prefix));
        of_bucket.map(|((_, key), bytes)| (key.clone(), bytes.len())).collect()
    }

    pub(super) fn begin_upload(&mut self) -> String {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), Parts::new());
        id
    }

    /// The upload's bytes become the object; false when there is no such upload.
    pub(super) fn complete(&mut self, bucket: &str, key: &str, upload: &str) -> bool {
        let Some(parts) = self.uploads.remove(upload) else { return false };
        let bytes: Vec<u8> = parts.into_values().flatten().collect();
        self.put(bucket, key, bytes.into());
        true
    }

    /// Notes the call and says how it goes wrong, if it does.
    pub(super) fn strike(&mut self, method: &str, target: &str) -> Option<Fault> {
        self.calls.push(format!("{method} {target}"));
        self.rules.iter_mut().find_map(|rule| rule.strike(method, target))
    }
}

/// A version of an object: S3 quotes it.
pub(super) fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Digest::of(bytes).hex()[..32])
}
