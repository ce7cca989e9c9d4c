//! Objects to files and back, without holding them in memory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use cooperator_contract::broker::Request;
use cooperator_core::digest::{Digest, Hasher};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::access::Permit;
use crate::{Error, Result, Store};

/// Read at once when a file is hashed.
const CHUNK: usize = 1 << 20;

/// A download on its way: `<file>.part`, and the digest of what is in it.
struct Partial {
    path: PathBuf,
    file: File,
    written: u64,
    hasher: Hasher,
    /// Version of the object the bytes came from: a later range must be of the same.
    etag: Option<String>,
}

impl Store {
    /// Brings an object into a file and returns its digest.
    ///
    /// It is written to `<file>.part` and renamed when whole. After a broken connection it goes on where it
    /// stopped; with `expected`, also after a crash (what is in the `.part` file counts, and the digest decides).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`] when `expected` is another digest (nothing is left behind);
    /// [`Error::File`]; or as the storage answers.
    pub async fn get_to_file(&self, key: &str, file: &Path, expected: Option<&Digest>) -> Result<Digest> {
        let what = self.uri(key);
        let resumed = Partial::open(file, expected.is_some()).await?;
        let had = resumed.written;
        let (path, found) = self.fill(key, &what, resumed).await?;
        match expected {
            Some(expected) if found != *expected => {
                remove(&path).await?;
                if had > 0 {
                    // The left-over may have been of something else: once more, from nothing.
                    return Box::pin(self.get_to_file(key, file, Some(expected))).await;
                }
                Err(Error::Corrupt { what, expected: *expected, found })
            }
            _ => {
                fs::rename(&path, file).await.map_err(|error| Error::file(file, error))?;
                Ok(found)
            }
        }
    }

    /// Appends what is missing, over as many connections as it takes.
    async fn fill(&self, key: &str, what: &str, partial: Partial) -> Result<(PathBuf, Digest)> {
        let partial = tokio::sync::Mutex::new(partial);
        let wish = || Request::Get { key: key.to_owned() };
        self.permitted(what, wish, async |permit| partial.lock().await.append(self, key, what, permit).await)
            .await?;
        let Partial { path, mut file, hasher, .. } = partial.into_inner();
        let synced = async {
            file.flush().await?;
            file.sync_all().await
        };
        synced.await.map_err(|error| Error::file(&path, error))?;
        Ok((path, hasher.finish()))
    }
}

impl Partial {
    async fn open(target: &Path, resume: bool) -> Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let opened = File::options().create(true).read(true).append(true).open(&path).await;
        let mut file = opened.map_err(|error| Error::file(&path, error))?;
        if !resume {
            file.set_len(0).await.map_err(|error| Error::file(&path, error))?;
        }
        let mut hasher = Hasher::new();
        let written = hash(&mut file, &mut hasher).await.map_err(|error| Error::file(&path, error))?;
        Ok(Self { path, file, written, hasher, etag: None })
    }

    async fn append(&mut self, store: &Store, key: &str, what: &str, permit: Permit) -> Result<()> {
        let mut request = store.client.get_object().bucket(&store.location.bucket).key(store.full(key));
        if self.written > 0 {
            request = request.range(format!("bytes={}-", self.written)).set_if_match(self.etag.clone());
        }
        let answer = match request.customize().interceptor(permit).send().await {
            Ok(answer) => answer,
            // Nothing lies beyond what we have: it is whole already (or too long, which the digest tells).
            Err(error) if self.written > 0 && status(&error) == Some(416) => return Ok(()),
            Err(error) if self.written > 0 && status(&error) == Some(412) => {
                self.restart().await?;
                return Err(Error::broken_off(what, &error));
            }
            Err(error) => return Err(Error::from_sdk(what, &error)),
        };
        self.receive(answer, what).await
    }

    async fn receive(&mut self, answer: GetObjectOutput, what: &str) -> Result<()> {
        // A store that ignores ranges sends the whole object again.
        if self.written > 0 && answer.content_range().is_none() {
            self.restart().await?;
        }
        self.etag = answer.e_tag().map(str::to_owned);
        let mut body = answer.body;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| Error::broken_off(what, &error))?;
            self.file.write_all(&piece).await.map_err(|error| Error::file(&self.path, error))?;
            self.hasher.update(&piece);
            self.written += piece.len() as u64;
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).await.map_err(|error| Error::file(&self.path, error))?;
        (self.written, self.hasher, self.etag) = (0, Hasher::new(), None);
        Ok(())
    }
}

/// Digest and size of a file.
pub(crate) async fn digest_of(path: &Path) -> Result<(Digest, u64)> {
    let hashed = async {
        let mut hasher = Hasher::new();
        let size = hash(&mut File::open(path).await?, &mut hasher).await?;
        Ok((hasher.finish(), size))
    };
    hashed.await.map_err(|error| Error::file(path, error))
}

async fn hash(file: &mut File, hasher: &mut Hasher) -> std::io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok(size);
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

async fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file(path, error)),
        _ => Ok(()),
    }
}

fn status<E>(error: &aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
