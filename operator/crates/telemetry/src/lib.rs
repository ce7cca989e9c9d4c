//! Logs, traces and metric names of every binary of ours.
//!
//! [`init`] first, before any thread is spawned that should log, and keep its [`Guard`] until the end: dropping it
//! sends the last spans. Logs go to stderr, one JSON object a line, filtered by `RUST_LOG` (default `info`). Spans are
//! exported over OTLP/HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and nowhere else; without it,
//! [`current_traceparent`] is none.

mod export;
pub mod metrics;
#[cfg(test)]
mod tests;
mod trace_context;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

pub use trace_context::{current_traceparent, set_parent};

/// Environment variable with the base URL of an OTLP/HTTP receiver; OpenTelemetry's own name.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What can go wrong when telemetry starts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process has a subscriber already.
    #[error("logging is set up already: call telemetry::init once")]
    Twice,
    /// The exporter cannot be built from its environment variables.
    #[error(
        "spans cannot be exported to OTEL_EXPORTER_OTLP_ENDPOINT ({0}); correct it, or unset it to export none"
    )]
    Export(String),
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people at a terminal.
    Text,
}

/// Settings of [`init`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How logs are written.
    pub log_format: LogFormat,
}

/// Keeps telemetry going; sends what is left when dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the export of spans"]
pub struct Guard {
    export: Option<(SdkTracerProvider, export::Runtime)>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((provider, runtime)) = self.export.take() {
            // Best effort: the logs are out already, and nobody is left to tell.
            let _unsent = provider.shutdown_with_timeout(std::time::Duration::from_secs(3));
            runtime.end();
        }
    }
}

/// Starts logs and traces for the whole process, and makes ring its TLS provider.
///
/// # Errors
/// [`Error::Twice`], [`Error::Export`].
pub fn init(service: &'static str, options: Options) -> Result<Guard, Error> {
    install_crypto();
    let endpoint = std::env::var(OTLP_ENDPOINT).ok().filter(|endpoint| !endpoint.is_empty());
    let (subscriber, guard) = subscriber(service, &options, endpoint.as_deref())?;
    subscriber.try_init().map_err(|_| Error::Twice)?;
    Ok(guard)
}

/// Makes ring the process's TLS provider, so that every client finds one. May be called again.
pub fn install_crypto() {
    // An error means that one is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

fn subscriber(
    service: &'static str,
    options: &Options,
    endpoint: Option<&str>,
) -> Result<(impl Subscriber + Send + Sync + use<>, Guard), Error> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let logs: Box<dyn Layer<_> + Send + Sync> = match options.log_format {
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr).boxed()
        }
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).boxed(),
    };
    let export = endpoint.map(|endpoint| provider(service, endpoint)).transpose()?;
    let spans = export
        .as_ref()
        .map(|(provider, _)| tracing_opentelemetry::layer().with_tracer(provider.tracer("cooperator")));
    let subscriber = Registry::default().with(spans).with(logs).with(filter);
    Ok((subscriber, Guard { export }))
}

fn provider(service: &'static str, endpoint: &str) -> Result<(SdkTracerProvider, export::Runtime), Error> {
    let runtime = export::Runtime::start().map_err(|error| Error::Export(error.to_string()))?;
    let exporter = runtime.exporter(endpoint).map_err(Error::Export)?;
    let resource = Resource::builder().with_service_name(service).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    Ok((provider, runtime))
}
