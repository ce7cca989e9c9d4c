//! Where works and models are read from: `s3://`, `https://`, `hf://`, `pvc://`.
//!
//! A [`Reader`] brings every file of a source to the local disk, hashes it, and checks the digest that was asked
//! for. Downloads go on where they stopped and are tried again with exponential backoff; nothing is held in memory.

mod address;
mod error;
mod guard;
mod http;
mod hub;
mod volume;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cooperator_contract::env;
use cooperator_contract::run::{Source, StorageLocation};
use cooperator_core::backoff::Backoff;
use cooperator_core::digest::{Digest, Hasher};
use cooperator_store::{Credentials, Store};

pub use address::{Address, InvalidAddress};
pub use error::SourceError;
pub use guard::Guard;

/// Where claims are mounted.
pub const PVC_ROOT: &str = "/mnt/pvc";
/// The model hub unless `HF_ENDPOINT` says otherwise.
pub const HUB: &str = "https://huggingface.co";
/// Most files in a folder.
pub const MAX_FILES: usize = 100_000;

/// A file on the local disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// Path below the source, parts separated by `/`.
    pub name: String,
    /// Where it lies now.
    pub path: PathBuf,
    /// sha256 of its bytes.
    pub digest: Digest,
    /// Size.
    pub bytes: u64,
}

/// A source as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Sorted by name; at least one.
    pub files: Vec<FetchedFile>,
    /// sha256 of the one file, or of the sorted lines `<hex>  <name>\n` of the folder's files.
    pub digest: Digest,
}

/// Reads sources. One for a whole run.
#[derive(Debug)]
pub struct Reader {
    location: StorageLocation,
    credentials: Credentials,
    guard: Guard,
    hub: String,
    token: Option<String>,
    pvc_root: PathBuf,
    backoff: Backoff,
}

impl Reader {
    /// A reader for `s3://` at the endpoint of `location` with its own or the source's key, and for everything else
    /// that `guard` lets through.
    pub fn new(location: StorageLocation, credentials: Credentials, guard: Guard) -> Self {
        let (hub, pvc_root) = (HUB.to_owned(), PVC_ROOT.into());
        Self { location, credentials, guard, hub, token: None, pvc_root, backoff: http::BACKOFF }
    }

    /// As [`Reader::new`] with what the environment says: `SOURCE_ACCESS_KEY_ID` and `SOURCE_SECRET_ACCESS_KEY`
    /// (else the Collective's key), `SOURCE_TOKEN`, `HF_ENDPOINT`, `COOPERATOR_ALLOW_PRIVATE_SOURCES`.
    pub fn from_env(location: StorageLocation, credentials: Credentials) -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let own = Credentials::from_vars(env::SOURCE_ACCESS_KEY_ID, env::SOURCE_SECRET_ACCESS_KEY);
        let mut reader = Self::new(location, own.unwrap_or(credentials), Guard::from_env());
        reader.token = set(env::SOURCE_TOKEN);
        if let Some(hub) = set("HF_ENDPOINT") {
            reader.hub = hub.trim_end_matches('/').to_owned();
        }
        reader
    }

    /// Another model hub, such as a mirror.
    #[must_use]
    pub fn with_hub(mut self, hub: &str) -> Self {
        hub.trim_end_matches('/').clone_into(&mut self.hub);
        self
    }

    /// Another folder in which claims are mounted.
    #[must_use]
    pub fn with_pvc_root(mut self, root: &Path) -> Self {
        root.clone_into(&mut self.pvc_root);
        self
    }

    /// Brings the files of `source` that `wanted` takes (by name) below the folder `into`, and checks the digest if
    /// the source gives one. Files of a claim stay where they are.
    ///
    /// # Errors
    /// [`SourceError`]; nothing found is [`SourceError::NotFound`].
    #[tracing::instrument(name = "download", skip_all, fields(source = %source.storage_uri))]
    pub async fn fetch(
        &self,
        source: &Source,
        into: &Path,
        wanted: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<Fetched, SourceError> {
        let address: Address = source.storage_uri.parse()?;
        let disk = |error| SourceError::disk(into, error);
        tokio::fs::create_dir_all(into).await.map_err(disk)?;
        let mut files = match &address {
            Address::Bucket { bucket, key } => self.bucket_files(bucket, key, into, &wanted).await?,
            Address::Web(url) => {
                let http = http::Http::new(self.guard, self.token.as_deref(), self.backoff)?;
                vec![http.file(url, &address::file_name(url), into).await?]
            }
            Address::Hub { model, revision } => {
                let http = http::Http::new(self.guard, self.token.as_deref(), self.backoff)?;
                hub::fetch(&http, &self.hub, model, revision, into, &wanted).await?
            }
            Address::Volume { claim, path } => volume::files(&self.pvc_root, claim, path, &wanted).await?,
        };
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let Some(digest) = digest_of(&files) else {
            return Err(SourceError::NotFound {
                what: address.to_string(),
                hint: "no file of a kind that is read lies there; check the path".to_owned(),
            });
        };
        match source.digest {
            Some(expected) if expected != digest => {
                Err(SourceError::DigestMismatch { what: address.to_string(), expected, found: digest })
            }
            _ => Ok(Fetched { files, digest }),
        }
    }

    async fn bucket_files(
        &self,
        bucket: &str,
        key: &str,
        into: &Path,
        wanted: &(impl Fn(&str) -> bool + Sync),
    ) -> Result<Vec<FetchedFile>, SourceError> {
        let location =
            StorageLocation { bucket: bucket.to_owned(), prefix: String::new(), ..self.location.clone() };
        let store = Store::connect(&location, self.credentials.clone());
        if !key.is_empty() && !key.ends_with('/') {
            let name = key.rsplit('/').next().unwrap_or(key).to_owned();
            check_name(&store.uri(key), &name)?;
            return Ok(vec![from_object(&store, key, name, into).await?]);
        }
        let mut names = Vec::new();
        for object in store.list(key).await? {
            let name = object.key.strip_prefix(key).unwrap_or(&object.key).to_owned();
            // A key that ends in `/` is how some tools draw a folder.
            if name.is_empty() || name.ends_with('/') || !wanted(&name) {
                continue;
            }
            check_name(&store.uri(&object.key), &name)?;
            names.push((object.key, name));
        }
        // Before the first is fetched: a bound found at the end has cost all the work.
        check_count(&store.uri(key), names.len())?;
        let mut files = Vec::with_capacity(names.len());
        for (key, name) in names {
            files.push(from_object(&store, &key, name, into).await?);
        }
        Ok(files)
    }
}

async fn from_object(
    store: &Store,
    key: &str,
    name: String,
    into: &Path,
) -> Result<FetchedFile, SourceError> {
    let path = place(into, &name).await?;
    let digest = store.get_to_file(key, &path, None).await?;
    let bytes = tokio::fs::metadata(&path).await.map_err(|error| SourceError::disk(&path, error))?.len();
    Ok(FetchedFile { name, path, digest, bytes })
}

/// Where a file of this (checked) name goes; its folder is made.
async fn place(into: &Path, name: &str) -> Result<PathBuf, SourceError> {
    let path = into.join(name);
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| match error.kind() {
            // Object storage has keys, no folders: `a` and `a/b` may both be there.
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => SourceError::Unreadable {
                what: name.to_owned(),
                cause: "one of its folders is the name of a file too; rename one of them".to_owned(),
            },
            _ => SourceError::disk(folder, error),
        })?;
    }
    Ok(path)
}

/// Refuses names that would leave the folder they are put into.
fn check_name(what: &str, name: &str) -> Result<(), SourceError> {
    if address::is_safe(name) {
        return Ok(());
    }
    let cause = "its name has empty parts, `..`, control characters or more than 200 bytes between slashes; rename it".to_owned();
    Err(SourceError::Unreadable { what: address::shown(what), cause })
}

fn check_count(what: &str, files: usize) -> Result<(), SourceError> {
    if files <= MAX_FILES {
        return Ok(());
    }
    let cause = format!("more than {MAX_FILES} files; pack them into fewer");
    Err(SourceError::Unreadable { what: what.to_owned(), cause })
}

/// None without files.
fn digest_of(files: &[FetchedFile]) -> Option<Digest> {
    match files {
        [] => None,
        [one] => Some(one.digest),
        many => {
            let mut hasher = Hasher::new();
            for file in many {
                hasher.update(format!("{}  {}\n", file.digest.hex(), file.name).as_bytes());
            }
            Some(hasher.finish())
        }
    }
}

#[cfg(test)]
mod tests;
