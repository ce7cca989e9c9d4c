//! An in-process S3 for tests: path-style GET, PUT, HEAD, DELETE, ranges, `ListObjectsV2`, multipart. Presigned URLs are
//! checked for all that they sign, other signatures only for being there; buckets need not be made. [`Server::fault`]
//! makes chosen calls go wrong.

mod answer;
mod fault;
mod signature;
mod state;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cooperator_contract::run::StorageLocation;
use cooperator_core::time::{Clock, SystemClock};

pub use fault::{Fault, Rule};

use self::state::State;
use crate::{Credentials, Store};

/// The key of [`Server::store`].
const KEY: (&str, &str) = ("GKtest", "test-secret");

/// What the server and its handle share.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    shared: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        Self::start_at(Arc::new(SystemClock)).await
    }

    /// Starts a server to which it is the time of `clock`: by it presigned URLs run out.
    ///
    /// # Panics
    /// When no port can be had.
    #[allow(clippy::unwrap_used)]
    pub async fn start_at(clock: Arc<dyn Clock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { state: Arc::default(), clock };
        let router = answer::router(shared.clone());
        let task = tokio::spawn(async move {
            // The accept loop ends only with the task.
            let _ended = axum::serve(listener, router).await;
        });
        let server = Self { address, shared, task };
        server.trust(&Credentials::new(KEY.0, KEY.1));
        server
    }

    /// Takes URLs presigned with this key.
    pub fn trust(&self, key: &Credentials) {
        let (id, secret) = (key.access_key_id().to_owned(), key.secret_access_key().to_owned());
        self.state().keys.insert(id, secret);
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A bucket of this server, no prefix.
    pub fn location(&self, bucket: &str) -> StorageLocation {
        StorageLocation {
            endpoint: self.endpoint(),
            region: "garage".to_owned(),
            bucket: bucket.to_owned(),
            prefix: String::new(),
        }
    }

    /// A [`Store`] on a bucket of this server.
    pub fn store(&self, bucket: &str) -> Store {
        Store::connect(&self.location(bucket), Credentials::new(KEY.0, KEY.1))
    }

    /// Bytes of an object, if it is there.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.state().object(bucket, key)
    }

    /// Puts an object there, or changes one behind a client's back.
    pub fn set_object(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        self.state().put(bucket, key, bytes.into());
    }

    /// Keys of a bucket, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.state().list(bucket, "").into_iter().map(|(key, _)| key).collect()
    }

    /// Multipart uploads begun, neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Every call so far, written `PUT bucket/key`, in the order of arrival.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// From here on, calls that match `rule` go wrong.
    pub fn fault(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// From here on, all goes well again.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
