//! What a settlement needs of object storage: four calls, so that tests can stand in for it and make it fail.

use std::future::Future;
use std::path::Path;

use bytes::Bytes;
use cooperator_core::digest::Digest;
use cooperator_store::{Error, Store};

/// A Collective's part of object storage. Keys are those of [`cooperator_contract::layout`].
pub trait Objects: Sync {
    /// Keys that begin with `prefix`, sorted.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// The bytes of `key`, checked against their digest.
    fn get(&self, key: &str, digest: &Digest) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// The bytes of `key` into a file, checked against their digest.
    fn fetch(
        &self,
        key: &str,
        digest: &Digest,
        file: &Path,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes an object.
    fn put(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Objects for Store {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(Self::list(self, prefix).await?.into_iter().map(|object| object.key).collect())
    }

    async fn get(&self, key: &str, digest: &Digest) -> Result<Bytes, Error> {
        self.get_verified(key, digest).await
    }

    async fn fetch(&self, key: &str, digest: &Digest, file: &Path) -> Result<(), Error> {
        self.get_to_file(key, file, Some(digest)).await?;
        Ok(())
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        Self::put(self, key, bytes).await
    }
}
