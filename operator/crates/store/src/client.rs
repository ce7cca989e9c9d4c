//! A bucket and prefix opened with a key or by a broker, and the retry loop around every call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder as ConfigBuilder, Credentials as SdkCredentials, Region,
    RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use cooperator_contract::run::StorageLocation;
use cooperator_core::backoff::Backoff;

use crate::access::Access;
use crate::broker::Broker;
use crate::{Credentials, Error, Result};

/// Between two attempts of one call.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Attempts of one call unless said otherwise: about ten seconds of patience.
const ATTEMPTS: u32 = 8;

/// A Collective's part of object storage. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) location: StorageLocation,
    pub(crate) access: Access,
    attempts: u32,
}

impl Store {
    /// Opens `location` with a key. Nothing is sent yet: an endpoint that cannot be reached, or is no URL, is an
    /// error of the first call ([`Store::check`] makes one).
    pub fn connect(location: &StorageLocation, credentials: Credentials) -> Self {
        let key = SdkCredentials::new(
            credentials.access_key_id(),
            credentials.secret_access_key(),
            None,
            None,
            "cooperator",
        );
        let config =
            settings(location).credentials_provider(key).http_client(http_client(&location.endpoint));
        Self::open(location, config, Access::Key(credentials))
    }

    /// Opens `location` without a key: the broker at `url` is asked for a URL before each call, as `attempt` with its
    /// `token`, and the URL is used again until it has nearly run out. Calls go where those URLs lead, not to the
    /// endpoint of `location`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no HTTP client can be made.
    pub fn brokered(location: &StorageLocation, url: &str, token: &str, attempt: u32) -> Result<Self> {
        let broker = Arc::new(Broker::new(url, token, attempt)?);
        // URLs may lead anywhere, so TLS must be there.
        let config = settings(location).allow_no_auth().http_client(http_client("https://"));
        Ok(Self::open(location, config, Access::Broker(broker)))
    }

    /// The same store by another endpoint, such as the one by which machines outside the cluster reach it.
    #[must_use]
    pub fn at(&self, endpoint: &str) -> Self {
        let mut location = self.location.clone();
        endpoint.clone_into(&mut location.endpoint);
        match &self.access {
            Access::Key(key) => Self::connect(&location, key.clone()).with_attempts(self.attempts),
            Access::Broker(_) => Self { location, ..self.clone() },
        }
    }

    fn open(location: &StorageLocation, config: ConfigBuilder, access: Access) -> Self {
        let client = Client::from_conf(config.build());
        Self { client, location: location.clone(), access, attempts: ATTEMPTS }
    }

    /// The same store with another patience: how often a call that may pass is tried in all, at least once.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Where it is.
    pub const fn location(&self) -> &StorageLocation {
        &self.location
    }

    /// `s3://bucket/prefix+key`: for statuses, provenance and errors.
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.location.bucket, self.location.prefix)
    }

    /// The key as the bucket knows it.
    pub(crate) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.location.prefix)
    }

    /// Runs `call` until it succeeds, fails for good, or was tried often enough.
    pub(crate) async fn retried<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut failures = 0;
        loop {
            let error = match call().await {
                Err(error) if error.is_transient() => error,
                done => return done,
            };
            failures += 1;
            if failures >= self.attempts {
                return Err(error.after(failures));
            }
            let delay = BACKOFF.jittered(failures, rand::random());
            tracing::debug!(%error, ?delay, "storage call is tried again");
            tokio::time::sleep(delay).await;
        }
    }

    /// Puts, reads and deletes a tiny object: whether the key may do what a Collective needs.
    ///
    /// # Errors
    /// As the first of the three calls that fails; [`Error::Corrupt`] when other bytes come back.
    pub async fn check(&self) -> Result<()> {
        const KEY: &str = ".cooperator/check";
        let bytes =
            bytes::Bytes::from_static(b"Cooperator checks that it can write, read and delete here.\n");
        self.put(KEY, bytes.clone()).await?;
        let found = self.get(KEY).await?;
        if found != bytes {
            use cooperator_core::digest::Digest;
            let (expected, found) = (Digest::of(&bytes), Digest::of(&found));
            return Err(Error::Corrupt { what: self.uri(KEY), expected, found });
        }
        self.delete(KEY).await
    }
}

/// What every client is set to.
fn settings(location: &StorageLocation) -> ConfigBuilder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(60))
        .build();
    ConfigBuilder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(location.region.clone()))
        .endpoint_url(&location.endpoint)
        // Virtual-host names need DNS that an S3 inside a cluster does not have.
        .force_path_style(true)
        // Retried here, so that one policy holds for a call and the body it streams.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // Stores other than AWS refuse the trailing checksums the SDK would add by itself.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

/// Plain HTTP needs no TLS set-up, and must not fail on a machine without root certificates.
fn http_client(endpoint: &str) -> SharedHttpClient {
    if endpoint.starts_with("http://") {
        return HttpBuilder::new().build_http();
    }
    HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
