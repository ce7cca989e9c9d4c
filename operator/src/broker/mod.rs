//! Where a run without a key gets access to storage: `POST /v1/namespaces/<ns>/finetunes/<name>/runs/<uid>/storage`, with
//! the token of the attempt. The answer is a URL for each thing asked for, which does that alone, for minutes.
//!
//! Any replica answers. Nothing is kept but what manifests name, which never changes, and how often a run has asked.

mod inputs;
mod rate;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::FineTune;
use cooperator_contract::broker::{Ask, Condition, Granted, MOST_REQUESTS, Request, Scope};
use cooperator_core::digest::Digest;
use cooperator_store::Store;
use kube::ResourceExt as _;
use tokio::sync::Semaphore;

use self::inputs::Inputs;
use self::rate::Rate;
use crate::admission::{self, Run, UNKNOWN, admitted, bearer};
use crate::domain;
use crate::pipeline::Pipeline;
use crate::progress::of_fine_tune;

/// How long a URL works.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Largest question, in bytes: what [`MOST_REQUESTS`] of the longest keys take.
const LIMIT: usize = 128 * 1024;
/// Questions answered at once. Whoever shows no token must not keep the API server busy.
const MOST_AT_ONCE: usize = 32;

#[derive(Clone)]
struct Desk {
    pipeline: Arc<Pipeline>,
    endpoint: Option<String>,
    inputs: Arc<Inputs>,
    rate: Arc<Rate>,
    doors: Arc<Semaphore>,
}

/// The endpoint. URLs lead to `endpoint`, the object storage as rented machines reach it; none: to the Collective's own.
pub fn router(pipeline: Arc<Pipeline>, endpoint: Option<String>) -> Router {
    let (inputs, rate, doors) = (Arc::default(), Arc::default(), Arc::new(Semaphore::new(MOST_AT_ONCE)));
    Router::new()
        .route("/v1/namespaces/{namespace}/{plural}/{name}/runs/{uid}/storage", post(grant))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(Desk { pipeline, endpoint, inputs, rate, doors })
}

/// What is answered instead of URLs.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Who asks may not speak for the run.
    #[error("{said}")]
    Stranger { status: StatusCode, said: &'static str },
    /// More at once, or more a second, than is answered.
    #[error("too many questions: ask again in a second")]
    TooMany,
    /// Not 1 to 64 requests.
    #[error("1 to {MOST_REQUESTS} requests are answered at once")]
    Batch,
    /// Out of the run's scope; says which of the requests, and what is allowed.
    #[error("request {0}: {1}")]
    OutOfScope(usize, String),
    /// What is to be written is there, by another run, and stays as it is.
    #[error("request {0}: another run has published this adapter: it is not written again")]
    Published(usize),
    /// The storage, or what tells of it, is not there now.
    #[error("the storage of this run is not ready")]
    NotReady,
}

impl From<admission::Refusal> for Refusal {
    fn from((status, said): admission::Refusal) -> Self {
        Self::Stranger { status, said: said.trim_end() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Stranger { status, .. } => *status,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Batch => StatusCode::BAD_REQUEST,
            Self::OutOfScope(..) => StatusCode::FORBIDDEN,
            Self::Published(_) => StatusCode::PRECONDITION_FAILED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, format!("{self}\n")).into_response()
    }
}

async fn grant(
    State(desk): State<Desk>,
    Path((namespace, plural, name, uid)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    Json(ask): Json<Ask>,
) -> Result<Json<Granted>, Refusal> {
    let token = bearer(&headers)?;
    if plural != "finetunes" {
        return Err(UNKNOWN.into());
    }
    let _door = desk.doors.try_acquire().map_err(|_| Refusal::TooMany)?;
    let run = Run { namespace: &namespace, name: &name, uid: &uid, attempt: ask.attempt };
    let tune: FineTune = admitted(&desk.pipeline.client, run, token, of_fine_tune).await?;
    if !desk.rate.admits(&uid, desk.pipeline.clock.now()) {
        return Err(Refusal::TooMany);
    }
    if !(1..=MOST_REQUESTS).contains(&ask.requests.len()) {
        return Err(Refusal::Batch);
    }
    let scope = scope(&tune, run).ok_or(Refusal::NotReady)?;
    let conditions = judged(&scope, &ask.requests)?;
    let (own, public) = desk.stores(&namespace, &tune).await?;
    desk.hold(&own, &scope, &conditions).await?;
    let now = desk.pipeline.clock.now();
    let grants = ask.requests.iter().map(|request| public.presign(request, LIFETIME, now));
    let grants = grants.collect::<Result<_, _>>().map_err(|error| {
        tracing::warn!(%error, "a run gets no URL");
        Refusal::NotReady
    })?;
    Ok(Json(Granted { grants }))
}

/// What the attempt may touch: what its FineTune is pinned to. None before that.
fn scope<'a>(tune: &'a FineTune, run: Run<'a>) -> Option<Scope<'a>> {
    let status = tune.status.as_ref()?;
    Some(Scope {
        uid: run.uid,
        attempt: run.attempt,
        base_model: status.base_model_digest.as_ref()?.parse().ok()?,
        dataset: &tune.spec.dataset_ref.name,
        dataset_digest: status.dataset_digest.as_ref()?.parse().ok()?,
    })
}

fn judged(scope: &Scope<'_>, requests: &[Request]) -> Result<Vec<Condition>, Refusal> {
    let each = requests.iter().enumerate();
    each.map(|(at, request)| scope.judge(request).map_err(|why| Refusal::OutOfScope(at + 1, why.to_string())))
        .collect()
}

impl Desk {
    /// The Collective's storage as the operator reaches it, and as it signs for rented machines.
    async fn stores(&self, namespace: &str, tune: &FineTune) -> Result<(Store, Store), Refusal> {
        let not_ready = |error: &dyn std::fmt::Display| {
            tracing::debug!(%error, namespace, name = tune.name_any(), "a run gets no storage");
            Refusal::NotReady
        };
        let home = tune.status.as_ref().and_then(|status| status.collective.as_deref());
        let home = home.ok_or(Refusal::NotReady)?;
        let collective: Option<Collective> =
            self.pipeline.get(namespace, home).await.map_err(|error| not_ready(&error))?;
        let storage = collective.and_then(|collective| collective.status?.storage);
        let bucket = domain::located(&storage.ok_or(Refusal::NotReady)?);
        let own = self.pipeline.store(namespace, &bucket).await.map_err(|error| not_ready(&error))?;
        let public = self.endpoint.as_deref().map_or_else(|| own.clone(), |endpoint| own.at(endpoint));
        Ok((own, public))
    }

    /// Whether what must also hold does.
    async fn hold(&self, store: &Store, scope: &Scope<'_>, conditions: &[Condition]) -> Result<(), Refusal> {
        let mut fresh: Vec<Digest> = Vec::new();
        for (at, condition) in conditions.iter().enumerate() {
            let away = |error: cooperator_store::Error| {
                tracing::debug!(%error, "what a run may read is not known");
                Refusal::NotReady
            };
            let refused = |why: &str| Refusal::OutOfScope(at + 1, why.to_owned());
            match condition {
                Condition::Always => {}
                Condition::Input(digest) => {
                    if !self.inputs.name(store, scope, digest).await.map_err(away)? {
                        return Err(refused("neither the base model nor the dataset version has this blob"));
                    }
                }
                Condition::Unpublished(digest) if fresh.contains(digest) => {}
                Condition::Unpublished(digest) => {
                    if !inputs::may_publish(store, scope.uid, digest).await.map_err(away)? {
                        return Err(Refusal::Published(at + 1));
                    }
                    fresh.push(*digest);
                }
            }
        }
        Ok(())
    }
}
