//! Whether the process works: `/healthz`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cooperator_telemetry::metrics::{self, Metrics};
use futures::{Stream, StreamExt as _};

/// How often a controller shows that it polls its watches.
const BEAT: Duration = Duration::from_secs(5);
/// Silence after which a controller counts as wedged. Longer than the longest backoff of its watches.
pub(crate) const SILENCE: Duration = Duration::from_secs(120);

/// Heartbeats of the controllers. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Beats>>);

#[derive(Debug, Default)]
struct Beats {
    ready: bool,
    last: BTreeMap<&'static str, Instant>,
}

impl Health {
    /// Not ready, no controllers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process can do its part: lead, or wait to.
    pub fn set_ready(&self) {
        self.beats().ready = true;
    }

    /// A trigger for a controller that never triggers: being polled is the heartbeat. It beats while the controller
    /// polls its watches, busy or idle, and falls silent when it does not.
    pub(crate) fn heart(&self, controller: &'static str) -> impl Stream<Item = ()> + Send + use<> {
        let (heart, health) = (Heart { health: self.clone(), controller }, self.clone());
        health.beat(controller, Instant::now());
        let ticks = futures::stream::unfold(heart, |heart| async move {
            tokio::time::sleep(BEAT).await;
            heart.health.beat(heart.controller, Instant::now());
            Some(((), heart))
        });
        ticks.filter(|()| std::future::ready(false))
    }

    /// Controllers silent for too long at `now`.
    pub(crate) fn silent(&self, now: Instant) -> Vec<&'static str> {
        let beats = self.beats();
        let silent = |last: &Instant| now.saturating_duration_since(*last) > SILENCE;
        beats.last.iter().filter(|(_, last)| silent(last)).map(|(name, _)| *name).collect()
    }

    /// A controller that has not ended let something be heard of it. While its watches fail, that is their errors: what
    /// is polled again and again, with pauses between, hardly comes to the heart.
    pub(crate) fn heard(&self, controller: &'static str) {
        if let Some(last) = self.beats().last.get_mut(controller) {
            *last = Instant::now();
        }
    }

    fn beat(&self, controller: &'static str, now: Instant) {
        self.beats().last.insert(controller, now);
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A controller that ended is not wedged.
struct Heart {
    health: Health,
    controller: &'static str,
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.health.beats().last.remove(self.controller);
    }
}

/// Answers `/healthz` (500 names the wedged controllers), `/readyz` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(render).with_state(metrics))
}

async fn healthz(State(health): State<Health>) -> Response {
    let silent = health.silent(Instant::now());
    if silent.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("no longer polling their watches: {}\n", silent.join(", "));
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

async fn readyz(State(health): State<Health>) -> Response {
    if health.beats().ready {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    }
}

async fn render(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_wedged_and_an_end_is_not() {
        let health = Health::new();
        let heart = Box::pin(health.heart("collective"));
        let now = Instant::now();
        assert!(health.silent(now).is_empty());
        assert_eq!(health.silent(now + SILENCE + BEAT), ["collective"]);
        drop(heart);
        health.heard("collective");
        assert!(health.silent(now + SILENCE + BEAT).is_empty());
    }

    #[tokio::test]
    async fn it_is_ready_when_told_so() {
        let health = Health::new();
        assert_eq!(readyz(State(health.clone())).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        health.set_ready();
        assert_eq!(readyz(State(health.clone())).await.status(), StatusCode::OK);
        assert_eq!(healthz(State(health)).await.status(), StatusCode::OK);
    }
}
