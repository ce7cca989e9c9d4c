//! Uploads of files in parts.

use std::io::SeekFrom;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use cooperator_contract::broker::{MOST_BYTES, Request};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::access::Access;
use crate::transfer::digest_of;
use crate::{Error, Result, Store};

/// Files up to this size go in one call; larger ones in parts of at least this size.
pub(crate) const PART: u64 = 16 << 20;
/// S3's bound on the parts of one object.
const MOST_PARTS: u64 = 10_000;
/// Parts on their way at once: what is held in memory is this times the part size.
const AT_ONCE: usize = 4;

impl Store {
    /// Uploads a file; above 16 MiB in parts, four at once, each retried by itself. The object appears whole or not
    /// at all: when a part fails for good, the parts sent are thrown away. A store without a key sends it in one call,
    /// 5 GiB at most.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Invalid`] for a file that is too large, or as the storage answers.
    pub async fn put_file(&self, key: &str, file: &Path) -> Result<()> {
        let metadata = tokio::fs::metadata(file).await.map_err(|error| Error::file(file, error))?;
        if metadata.len() <= PART {
            let bytes = tokio::fs::read(file).await.map_err(|error| Error::file(file, error))?;
            return self.put(key, bytes.into()).await;
        }
        if let Access::Broker(_) = self.access {
            return self.put_whole(key, file, metadata.len()).await;
        }
        let upload = self.begin(key).await?;
        let sent = async {
            let parts = self.send_parts(key, &upload, file, metadata.len()).await?;
            self.complete(key, &upload, parts).await
        };
        let sent = sent.await;
        if sent.is_err() {
            self.abort(key, &upload).await;
        }
        sent
    }

    /// In one call, streamed: a broker grants no parts.
    async fn put_whole(&self, key: &str, file: &Path, size: u64) -> Result<()> {
        let what = &self.uri(key);
        if size > MOST_BYTES {
            let cause =
                format!("{size} bytes without a key, {MOST_BYTES} are the most; keep it in smaller files");
            return Err(Error::Invalid { what: what.clone(), cause });
        }
        let (sha256, size) = digest_of(file).await?;
        let wish = || Request::Put { key: key.to_owned(), size, sha256 };
        self.permitted(what, wish, async |permit| {
            let body = ByteStream::from_path(file).await;
            let body = body.map_err(|error| Error::file(file, std::io::Error::other(error)))?;
            let request = self.client.put_object().bucket(&self.location.bucket).key(self.full(key));
            let sent = request.body(body).customize().interceptor(permit).send().await;
            sent.map_err(|error| Error::from_sdk(what, &error))?;
            Ok(())
        })
        .await
    }

    async fn begin(&self, key: &str) -> Result<String> {
        let what = &self.uri(key);
        self.retried(async || {
            let request =
                self.client.create_multipart_upload().bucket(&self.location.bucket).key(self.full(key));
            let answer = request.send().await.map_err(|error| Error::from_sdk(what, &error))?;
            let id = answer.upload_id().map(str::to_owned);
            id.ok_or_else(|| Error::Refused {
                what: what.clone(),
                cause: "no upload id in the answer".to_owned(),
            })
        })
        .await
    }

    async fn send_parts(
        &self,
        key: &str,
        upload: &str,
        file: &Path,
        size: u64,
    ) -> Result<Vec<CompletedPart>> {
        let step = part_size(size);
        let parts = (0..size.div_ceil(step)).map(|index| async move {
            let bytes = read_at(file, index * step, step.min(size - index * step)).await?;
            // Part numbers begin with 1 and end with 10,000 (`part_size`).
            self.send_part(key, upload, index as i32 + 1, bytes).await
        });
        futures::stream::iter(parts).buffered(AT_ONCE).try_collect().await
    }

    async fn send_part(&self, key: &str, upload: &str, number: i32, bytes: Bytes) -> Result<CompletedPart> {
        let what = &self.uri(key);
        self.retried(async || {
            let request = self.client.upload_part().bucket(&self.location.bucket).key(self.full(key));
            let request = request.upload_id(upload).part_number(number).body(ByteStream::from(bytes.clone()));
            let answer = request.send().await.map_err(|error| Error::from_sdk(what, &error))?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build())
        })
        .await
    }

    async fn complete(&self, key: &str, upload: &str, parts: Vec<CompletedPart>) -> Result<()> {
        let what = &self.uri(key);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        self.retried(async || {
            let request = self.client.complete_multipart_upload().bucket(&self.location.bucket);
            let request = request.key(self.full(key)).upload_id(upload).multipart_upload(parts.clone());
            request.send().await.map_err(|error| Error::from_sdk(what, &error))?;
            Ok(())
        })
        .await
    }

    /// Best effort: what could not be aborted is the bucket's life-cycle rule's to remove.
    async fn abort(&self, key: &str, upload: &str) {
        let what = &self.uri(key);
        let aborted = self
            .retried(async || {
                let request = self.client.abort_multipart_upload().bucket(&self.location.bucket);
                let request = request.key(self.full(key)).upload_id(upload);
                request.send().await.map_err(|error| Error::from_sdk(what, &error))?;
                Ok(())
            })
            .await;
        if let Err(error) = aborted {
            tracing::warn!(%error, "parts of a failed upload stay in object storage");
        }
    }
}

/// The smallest part size of at least [`PART`] that keeps within [`MOST_PARTS`].
pub(crate) fn part_size(size: u64) -> u64 {
    size.div_ceil(MOST_PARTS).max(PART)
}

async fn read_at(path: &Path, offset: u64, length: u64) -> Result<Bytes> {
    let read = async {
        let mut file = File::open(path).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        file.read_exact(&mut bytes).await?;
        Ok(bytes.into())
    };
    read.await.map_err(|error| Error::file(path, error))
}
