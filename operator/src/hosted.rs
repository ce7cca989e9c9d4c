//! What a run gets and leaves whose host is no node of the cluster ([`cooperator_contract::hosted`]): its run file, and the
//! outcome that a kubelet would have read. Each is given for the token of that very attempt.
//!
//! Any replica answers. An outcome goes straight into the status of the run's pod.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cooperator_api::common::Attempt;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_contract::outcome::{self, Outcome};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use tokio::sync::Semaphore;

use crate::admission::{AWAY, Refusal, Run, UNKNOWN, admitted, bearer};
use crate::domain::newest;
use crate::node_claim;
use crate::pipeline::{Error, Pipeline};
use crate::progress::of_fine_tune;
use crate::runs::RUN_FILE;

/// Largest outcome, in bytes, with room for how it is written.
const LIMIT: usize = 2 * outcome::MAX_BYTES;
/// Answered at once. Whoever shows no token must not keep the API server busy.
const MOST_AT_ONCE: usize = 32;
/// How often an outcome is written while others write to the pod.
const TRIES: usize = 5;

/// There is nothing for this run, or no longer.
const NONE: Refusal = (StatusCode::CONFLICT, "this run has no pod on a container that is rented\n");
/// More at once than is answered.
const BUSY: Refusal = (StatusCode::TOO_MANY_REQUESTS, "too many questions: ask again in a second\n");

#[derive(Clone)]
struct Desk {
    pipeline: Arc<Pipeline>,
    doors: Arc<Semaphore>,
}

/// The endpoint.
pub fn router(pipeline: Arc<Pipeline>) -> Router {
    let run = "/v1/namespaces/{namespace}/{plural}/{name}/runs/{uid}/{attempt}";
    Router::new()
        .route(&format!("{run}/{}", cooperator_contract::hosted::FILE), get(file))
        .route(&format!("{run}/{}", cooperator_contract::hosted::OUTCOME), post(end))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(Desk { pipeline, doors: Arc::new(Semaphore::new(MOST_AT_ONCE)) })
}

/// Namespace, plural, name, uid and attempt.
type Segments = (String, String, String, String, u32);

async fn file(
    State(desk): State<Desk>,
    Path(run): Path<Segments>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _door = desk.doors.try_acquire().map_err(|_| BUSY)?;
    let attempt = desk.attempt(&run, &headers).await?;
    let map: Option<ConfigMap> = desk.pipeline.get(&run.0, &attempt.job).await.map_err(away)?;
    let text = map.and_then(|map| map.data?.remove(RUN_FILE)).ok_or(NONE)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

async fn end(
    State(desk): State<Desk>,
    Path(run): Path<Segments>,
    headers: HeaderMap,
    Json(outcome): Json<Outcome>,
) -> Result<StatusCode, Refusal> {
    let _door = desk.doors.try_acquire().map_err(|_| BUSY)?;
    let attempt = desk.attempt(&run, &headers).await?;
    for _ in 0..TRIES {
        let pod = desk.pod(&run.0, &attempt).await?;
        let Some(status) = node_claim::ended(&pod, &outcome, desk.pipeline.clock.now()) else {
            return Ok(StatusCode::NO_CONTENT);
        };
        match node_claim::write_status(&desk.pipeline, &pod, &status).await {
            Ok(true) => return Ok(StatusCode::NO_CONTENT),
            Ok(false) => return Err(NONE),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(away(error)),
        }
    }
    Err(AWAY)
}

fn away(error: Error) -> Refusal {
    tracing::debug!(%error, "a run on a container is not answered");
    AWAY
}

impl Desk {
    /// The attempt that asks, if it is the newest and shows its own token.
    async fn attempt(&self, run: &Segments, headers: &HeaderMap) -> Result<Attempt, Refusal> {
        let (namespace, plural, name, uid, number) = run;
        let token = bearer(headers)?;
        if plural != "finetunes" {
            return Err(UNKNOWN);
        }
        let run = Run { namespace, name, uid, attempt: *number };
        let tune: FineTune = admitted(&self.pipeline.client, run, token, of_fine_tune).await?;
        let attempts = of_fine_tune(&tune).unwrap_or_default();
        let own = attempts.iter().find(|attempt| u32::try_from(attempt.number) == Ok(*number));
        own.cloned().ok_or(UNKNOWN)
    }

    /// Its pod, on the virtual node of its claim: of any other pod, a kubelet tells how it ended.
    async fn pod(&self, namespace: &str, attempt: &Attempt) -> Result<Pod, Refusal> {
        let name = attempt.node_claim.as_deref().ok_or(NONE)?;
        let claim: Option<NodeClaim> = self.pipeline.get(namespace, name).await.map_err(away)?;
        let claim = claim.filter(node_claim::has_virtual_node).ok_or(NONE)?;
        let node = claim.status.and_then(|status| status.node_name);
        let job = format!("{}={}", node_claim::JOB, attempt.job);
        let pods = self.pipeline.pods(namespace, &job).await.map_err(away)?;
        let here = pods.iter().filter(|pod| {
            node.is_some() && pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) == node
        });
        newest(here).cloned().ok_or(NONE)
    }
}
