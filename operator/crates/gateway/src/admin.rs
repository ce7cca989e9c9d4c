//! The second port, for the cluster only: health, readiness, metrics, usage since the start.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::call::Gateway;

type Shared = Arc<(Arc<Gateway>, Registry)>;

/// `/healthz`, `/readyz`, `/metrics`, `/internal/usage`.
pub fn router(gateway: Arc<Gateway>, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/internal/usage", get(usage))
        .with_state(Arc::new((gateway, registry)))
}

/// Not healthy once the log has stopped: only a new start reads what is on disk.
async fn healthz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match shared.0.wal.stopped() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "the usage log cannot be written\n"),
    }
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    let gateway = &shared.0;
    if !gateway.live.is_live(Instant::now()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no touch with the cluster\n");
    }
    match gateway.wal.admits() {
        true => (StatusCode::OK, "ok\n"),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, "the usage log is full: object storage does not take it\n")
        }
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let (gateway, registry) = &*shared;
    gateway.metrics.waiting.set(gateway.wal.waiting());
    gateway.metrics.pending.set(i64::try_from(gateway.wal.pending()).unwrap_or(i64::MAX));
    let mut text = String::new();
    let status = match encode(&mut text, registry) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (status, [(header::CONTENT_TYPE, kind)], text)
}

async fn usage(State(shared): State<Shared>) -> impl IntoResponse {
    Json(serde_json::json!({ "deployments": shared.0.metrics.usage() }))
}
