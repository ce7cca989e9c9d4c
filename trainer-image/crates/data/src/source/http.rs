//! Files over HTTP: streamed to disk, hashed, gone on with after a break.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cooperator_core::backoff::Backoff;
use cooperator_core::digest::Hasher;
use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::address::shown;
use super::guard::{Guard, MAX_REDIRECTS, Refused, Resolver, system};
use super::{FetchedFile, SourceError, place};

/// Delays between the attempts of one call.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// Attempts of one call in a row without a new byte: about half a minute of patience.
const ATTEMPTS: u32 = 7;
/// Largest answer that is read into memory.
const MAX_ANSWER: usize = 16 << 20;

/// An HTTP client that only goes where [`Guard`] lets it.
pub(super) struct Http {
    client: Client,
    guard: Guard,
    token: Option<String>,
    backoff: Backoff,
}

/// A file on its way.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    written: u64,
    etag: Option<String>,
}

/// One attempt that did not succeed.
enum Failure {
    /// It may, next time.
    Again(String),
    /// It never will.
    Never(SourceError),
}

impl Http {
    pub(super) fn new(guard: Guard, token: Option<&str>, backoff: Backoff) -> Result<Self, SourceError> {
        Self::resolving(guard, token, backoff, Arc::new(Resolver::new(guard, system)))
    }

    /// As [`Http::new`], with names resolved by `resolver`.
    pub(super) fn resolving(
        guard: Guard,
        token: Option<&str>,
        backoff: Backoff,
        resolver: Arc<impl Resolve + 'static>,
    ) -> Result<Self, SourceError> {
        // Somebody may have installed one already: that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = redirect::Policy::custom(move |attempt| match guard.refuses(attempt.url()) {
            Some(cause) => attempt.error(Refused::Guard(cause)),
            None if attempt.previous().len() > MAX_REDIRECTS => attempt.error(Refused::Redirects),
            None => attempt.follow(),
        });
        let client = Client::builder()
            .redirect(policy)
            // The query of an address may be a signature: whoever it redirects to need not know it.
            .referer(false)
            .dns_resolver(resolver)
            // A proxy would resolve names where the guard does not see it.
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60))
            .user_agent(concat!("cooperator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SourceError::Unavailable {
                what: "HTTP client".to_owned(),
                attempts: 1,
                cause: cause_of(error),
            })?;
        Ok(Self { client, guard, token: token.map(str::to_owned), backoff })
    }

    /// A small answer as JSON.
    pub(super) async fn json(&self, url: &Url) -> Result<serde_json::Value, SourceError> {
        let mut failures = 0;
        loop {
            match self.try_json(url).await {
                Ok(value) => return Ok(value),
                Err(failure) => self.wait(url, failure, &mut failures).await?,
            }
        }
    }

    async fn try_json(&self, url: &Url) -> Result<serde_json::Value, Failure> {
        let mut answer = self.send(url, self.get(url)).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| Failure::Again(cause_of(error)))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_ANSWER {
                return Err(unreadable(url, format!("the answer is larger than {MAX_ANSWER} bytes")));
            }
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| unreadable(url, format!("the answer is no JSON ({error})")))
    }

    /// Brings the file at `url` below `into`.
    pub(super) async fn file(&self, url: &Url, name: &str, into: &Path) -> Result<FetchedFile, SourceError> {
        let path = place(into, name).await?;
        let file = File::create(&path).await.map_err(|error| SourceError::disk(&path, error))?;
        let mut partial = Partial { path, file, hasher: Hasher::new(), written: 0, etag: None };
        let (mut failures, mut furthest) = (0, 0);
        loop {
            let failure = match self.append(url, &mut partial).await {
                Ok(()) => break,
                Err(failure) => failure,
            };
            // To begin again and stop a little later is no way on, however often it is done.
            if partial.written > furthest {
                (failures, furthest) = (0, partial.written);
            }
            self.wait(url, failure, &mut failures).await?;
        }
        let Partial { path, mut file, hasher, written, .. } = partial;
        file.flush().await.map_err(|error| SourceError::disk(&path, error))?;
        Ok(FetchedFile { name: name.to_owned(), path, digest: hasher.finish(), bytes: written })
    }

    async fn append(&self, url: &Url, partial: &mut Partial) -> Result<(), Failure> {
        let mut request = self.get(url);
        // Without a version of the file, another one could be glued to the first half.
        match (&partial.etag, partial.written) {
            (Some(etag), written) if written > 0 => {
                request = request.header(RANGE, format!("bytes={written}-")).header(IF_RANGE, etag);
            }
            (None, written) if written > 0 => partial.restart().await.map_err(Failure::Never)?,
            _ => {}
        }
        let mut answer = self.send(url, request).await?;
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            // Bytes of another place than was asked for would be glued to those we have.
            if partial.written == 0 || begins_at(&answer) != Some(partial.written) {
                let cause = "the server sent another part of the file than was asked for; serve it whole";
                return Err(unreadable(url, cause.to_owned()));
            }
        } else if partial.written > 0 {
            partial.restart().await.map_err(Failure::Never)?;
        }
        let etag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok());
        partial.etag = etag.filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        while let Some(piece) = answer.chunk().await.map_err(|error| Failure::Again(cause_of(error)))? {
            let written = partial.file.write_all(&piece).await;
            written.map_err(|error| Failure::Never(SourceError::disk(&partial.path, error)))?;
            partial.hasher.update(&piece);
            partial.written += piece.len() as u64;
        }
        Ok(())
    }

    fn get(&self, url: &Url) -> RequestBuilder {
        let request = self.client.get(url.clone());
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, Failure> {
        if let Some(cause) = self.guard.refuses(url) {
            return Err(refused(url, cause));
        }
        let answer = request.send().await.map_err(|error| match refusal(&error) {
            Some(Refused::Guard(cause)) => refused(url, cause),
            Some(cause) => unreadable(url, format!("{cause}; name the address they end at")),
            None => Failure::Again(cause_of(error)),
        })?;
        let (what, status) = (shown(url.as_str()), answer.status());
        match status.as_u16() {
            200 | 206 => Ok(answer),
            404 | 410 => {
                let hint = "check the address, and the token if it is not public".to_owned();
                Err(Failure::Never(SourceError::NotFound { what, hint }))
            }
            401 | 403 | 407 => {
                let hint = "put a token that may read it into the source's secretRef".to_owned();
                Err(Failure::Never(SourceError::Forbidden { what, cause: status.to_string(), hint }))
            }
            408 | 429 | 500.. => Err(Failure::Again(status.to_string())),
            _ => Err(unreadable(url, format!("the server answered {status}"))),
        }
    }

    async fn wait(&self, url: &Url, failure: Failure, failures: &mut u32) -> Result<(), SourceError> {
        let cause = match failure {
            Failure::Never(error) => return Err(error),
            Failure::Again(cause) => cause,
        };
        *failures += 1;
        let what = shown(url.as_str());
        if *failures >= ATTEMPTS {
            return Err(SourceError::Unavailable { what, attempts: *failures, cause });
        }
        let delay = self.backoff.jittered(*failures, rand::random());
        tracing::debug!(what, cause, ?delay, "download is tried again");
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

impl Partial {
    async fn restart(&mut self) -> Result<(), SourceError> {
        let again = File::create(&self.path).await;
        self.file = again.map_err(|error| SourceError::disk(&self.path, error))?;
        (self.hasher, self.written, self.etag) = (Hasher::new(), 0, None);
        Ok(())
    }
}

fn unreadable(url: &Url, cause: String) -> Failure {
    Failure::Never(SourceError::Unreadable { what: shown(url.as_str()), cause })
}

fn refused(url: &Url, cause: &str) -> Failure {
    Failure::Never(SourceError::Forbidden {
        what: shown(url.as_str()),
        cause: cause.to_owned(),
        hint: "use a public https address, or put the files into the bucket and name them by s3://"
            .to_owned(),
    })
}

/// At which byte the part of a file that an answer holds begins.
fn begins_at(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// The guard's own words, where it was the guard.
fn refusal(error: &reqwest::Error) -> Option<Refused> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Some(*refused);
        }
        source = cause.source();
    }
    None
}

/// An error and its causes in one line, without the URL, which may hold a signature.
fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
