//! URLs that carry their own permission, for machines that must not have the Collective's key.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use crate::{Error, Result, Store};

/// Longest life of a presigned URL.
const MOST: Duration = Duration::from_secs(15 * 60);

/// What a presigned URL lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read the object.
    Get,
    /// Write the object.
    Put,
}

impl Store {
    /// A URL with which anyone can do `verb` to `key` for `lifetime`, 1 s to 15 min. It is a secret: keep it out of
    /// logs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a lifetime out of bounds or an endpoint that is no URL.
    pub async fn presign(&self, key: &str, verb: Verb, lifetime: Duration) -> Result<String> {
        let invalid = |cause: String| Error::Invalid { what: self.uri(key), cause };
        if lifetime < Duration::from_secs(1) || lifetime > MOST {
            return Err(invalid(format!("a presigned URL lives 1 s to 900 s, not {} s", lifetime.as_secs())));
        }
        let config = PresigningConfig::expires_in(lifetime).map_err(|error| invalid(error.to_string()))?;
        let (bucket, key) = (&self.location.bucket, self.full(key));
        let signed = match verb {
            Verb::Get => self.client.get_object().bucket(bucket).key(key).presigned(config).await.ok(),
            Verb::Put => self.client.put_object().bucket(bucket).key(key).presigned(config).await.ok(),
        };
        // The SDK's error may repeat what it signed, so only the place is told.
        let signed =
            signed.ok_or_else(|| invalid("it could not be signed; check endpoint and region".to_owned()))?;
        Ok(signed.uri().to_owned())
    }
}
