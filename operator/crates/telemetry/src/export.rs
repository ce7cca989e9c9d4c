//! The way out of spans. The SDK exports from a thread of its own that has no async runtime, and a process may be busy
//! on every worker of its main one; so the export has a small runtime of its own.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use tokio::runtime::Handle;

/// Longest an export may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime that exports run on.
#[derive(Debug)]
pub(crate) struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    pub(crate) fn start() -> std::io::Result<Self> {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("telemetry").enable_all().build().map(Self)
    }

    /// An exporter to `<endpoint>/v1/traces`.
    pub(crate) fn exporter(&self, endpoint: &str) -> Result<SpanExporter, String> {
        let client =
            reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
        SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { client, runtime: self.0.handle().clone() })
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| error.to_string())
    }

    /// Ends without waiting, so that it may be dropped anywhere.
    pub(crate) fn end(self) {
        self.0.shutdown_background();
    }
}

#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
