//! Content by its sha256: blobs and manifests. Whoever reads checks.

use std::path::Path;

use bytes::Bytes;
use cooperator_contract::{canonical, layout};
use cooperator_core::digest::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transfer::digest_of;
use crate::{Error, Result, Store};

impl Store {
    /// Stores bytes under their digest; nothing is sent when they are there already.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest> {
        let digest = Digest::of(&bytes);
        let key = layout::blob(&digest);
        if self.head(&key).await? != Some(bytes.len() as u64) {
            self.put(&key, bytes).await?;
        }
        Ok(digest)
    }

    /// The bytes with this digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], or as the storage answers.
    pub async fn get_blob(&self, digest: &Digest) -> Result<Bytes> {
        self.get_verified(&layout::blob(digest), digest).await
    }

    /// Stores a file's bytes under their digest; nothing is sent when they are there already.
    ///
    /// # Errors
    /// As [`Store::put_file`].
    pub async fn put_blob_file(&self, file: &Path) -> Result<Digest> {
        let (digest, size) = digest_of(file).await?;
        let key = layout::blob(&digest);
        if self.head(&key).await? != Some(size) {
            self.put_file(&key, file).await?;
        }
        Ok(digest)
    }

    /// Brings the bytes with this digest into a file. Nothing is fetched when the file has them already.
    ///
    /// # Errors
    /// As [`Store::get_to_file`].
    pub async fn get_blob_file(&self, digest: &Digest, file: &Path) -> Result<()> {
        let there = tokio::fs::try_exists(file).await.map_err(|error| Error::file(file, error))?;
        if there && digest_of(file).await?.0 == *digest {
            return Ok(());
        }
        self.get_to_file(&layout::blob(digest), file, Some(digest)).await?;
        Ok(())
    }

    /// Writes a manifest in its canonical form under the key that `key_of` makes of its digest. Write it after all
    /// that it names.
    ///
    /// # Errors
    /// As [`Store::put`]; [`Error::Malformed`] if `manifest` cannot be JSON.
    pub async fn put_manifest<T>(
        &self,
        key_of: impl FnOnce(&Digest) -> String,
        manifest: &T,
    ) -> Result<Digest>
    where
        T: Serialize + Sync,
    {
        let bytes = canonical(manifest).map_err(|error| Error::Malformed {
            what: "manifest to write".to_owned(),
            cause: error.to_string(),
        })?;
        let digest = Digest::of(&bytes);
        self.put(&key_of(&digest), bytes.into()).await?;
        Ok(digest)
    }

    /// Reads a manifest and checks it against its digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Malformed`], or as the storage answers.
    pub async fn get_manifest<T: DeserializeOwned>(&self, key: &str, digest: &Digest) -> Result<T> {
        let bytes = self.get_verified(key, digest).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::Malformed { what: self.uri(key), cause: error.to_string() })
    }

    /// The bytes of `key` if they have this digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], or as the storage answers.
    pub async fn get_verified(&self, key: &str, digest: &Digest) -> Result<Bytes> {
        let bytes = self.get(key).await?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(Error::Corrupt { what: self.uri(key), expected: *digest, found });
        }
        Ok(bytes)
    }
}
