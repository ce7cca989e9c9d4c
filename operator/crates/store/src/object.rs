//! Single objects: read, write, look, list, delete.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use cooperator_contract::broker::Request;
use cooperator_core::digest::Digest;

use crate::{Error, Result, Store};

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Key without the store's prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

impl Store {
    /// All bytes of an object. For what fits in memory; else [`Store::get_to_file`].
    ///
    /// # Errors
    /// [`Error::NotFound`], or as the storage answers.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        let what = &self.uri(key);
        let wish = || Request::Get { key: key.to_owned() };
        self.permitted(what, wish, async |permit| {
            let request = self.client.get_object().bucket(&self.location.bucket).key(self.full(key));
            let sent = request.customize().interceptor(permit).send().await;
            let answer = sent.map_err(|error| Error::from_sdk(what, &error))?;
            let body = answer.body.collect().await.map_err(|error| Error::broken_off(what, &error))?;
            Ok(body.into_bytes())
        })
        .await
    }

    /// Writes an object, or writes over it: a key has a single writer.
    ///
    /// # Errors
    /// As the storage answers.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let what = &self.uri(key);
        let wish =
            || Request::Put { key: key.to_owned(), size: bytes.len() as u64, sha256: Digest::of(&bytes) };
        self.permitted(what, wish, async |permit| {
            let request = self.client.put_object().bucket(&self.location.bucket).key(self.full(key));
            let request = request.body(ByteStream::from(bytes.clone()));
            let sent = request.customize().interceptor(permit).send().await;
            sent.map_err(|error| Error::from_sdk(what, &error))?;
            Ok(())
        })
        .await
    }

    /// Size of an object in bytes, or none when it is not there.
    ///
    /// # Errors
    /// As the storage answers, [`Error::NotFound`] aside.
    pub async fn head(&self, key: &str) -> Result<Option<u64>> {
        let what = &self.uri(key);
        let wish = || Request::Head { key: key.to_owned() };
        let found = self
            .permitted(what, wish, async |permit| {
                let request = self.client.head_object().bucket(&self.location.bucket).key(self.full(key));
                let sent = request.customize().interceptor(permit).send().await;
                let answer = sent.map_err(|error| Error::from_sdk(what, &error))?;
                Ok(unsigned(answer.content_length()))
            })
            .await;
        match found {
            Ok(size) => Ok(Some(size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every object whose key begins with `prefix`, sorted by key. All pages or an error: a listing that breaks off
    /// never passes for a whole one.
    ///
    /// # Errors
    /// As the storage answers.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let what = &self.uri(prefix);
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let wish = || Request::List { prefix: prefix.to_owned(), continuation: next.clone() };
            let page = self
                .permitted(what, wish, async |permit| {
                    let request = self.client.list_objects_v2().bucket(&self.location.bucket);
                    let request = request.prefix(self.full(prefix)).set_continuation_token(next.clone());
                    let sent = request.customize().interceptor(permit).send().await;
                    sent.map_err(|error| Error::from_sdk(what, &error))
                })
                .await?;
            for entry in page.contents() {
                let Some(key) = entry.key().and_then(|key| key.strip_prefix(&self.location.prefix)) else {
                    continue;
                };
                objects.push(Object { key: key.to_owned(), size: unsigned(entry.size()) });
            }
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// As the storage answers, [`Error::NotFound`] aside.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let what = &self.uri(key);
        let wish = || Request::Delete { key: key.to_owned() };
        let done = self
            .permitted(what, wish, async |permit| {
                let request = self.client.delete_object().bucket(&self.location.bucket).key(self.full(key));
                let sent = request.customize().interceptor(permit).send().await;
                sent.map_err(|error| Error::from_sdk(what, &error))?;
                Ok(())
            })
            .await;
        match done {
            Err(Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    /// Removes every object whose key begins with `prefix`, and says how many there were. An empty prefix is the
    /// whole store.
    ///
    /// # Errors
    /// As [`Store::list`] and [`Store::delete`]; calling it again goes on where it stopped.
    pub async fn delete_all(&self, prefix: &str) -> Result<u64> {
        let mut removed = 0;
        for object in self.list(prefix).await? {
            self.delete(&object.key).await?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// S3 counts bytes in signed numbers.
fn unsigned(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}
