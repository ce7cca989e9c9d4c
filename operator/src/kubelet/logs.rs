//! The one route: the log of a pod's container, from its vendor where that keeps one, else what the run has told.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::names;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::provider::Provider;
use cooperator_providers::InstanceId;
use futures::stream;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Deserialize;

use super::text;
use crate::domain::has_ended;
use crate::node_claim::has_virtual_node;
use crate::pipeline::Error;
use crate::rent::Rent;

/// Between two looks at a log that is followed.
const INTERVAL: Duration = Duration::from_secs(5);
/// Most that is kept of a log, in bytes.
const MOST_BYTES: usize = 1 << 20;

type Refusal = (StatusCode, &'static str);
const UNKNOWN: Refusal = (StatusCode::NOT_FOUND, "no such container on a node of this kubelet\n");
const AWAY: Refusal = (StatusCode::SERVICE_UNAVAILABLE, "the log cannot be read now\n");

/// The endpoint.
pub fn router(rent: Arc<Rent>) -> Router {
    Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(answer)).with_state(rent)
}

/// What is asked of a log, as the API server passes it on. What else there is, is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    follow: bool,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
}

async fn answer(
    State(rent): State<Arc<Rent>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let place = Place { rent, namespace, pod, container };
    let (log, is_over) = place.look().await?;
    let first = text::cut(&log, asked.tail_lines, asked.limit_bytes).to_owned();
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    if !asked.follow || asked.limit_bytes.is_some() {
        return Ok((plain, first).into_response());
    }
    let state = Follow { place, shown: log, first: Some(first), is_over };
    let parts = stream::unfold(state, |state| async move { state.next().await });
    Ok((plain, Body::from_stream(parts)).into_response())
}

/// Whose log it is.
struct Place {
    rent: Arc<Rent>,
    namespace: String,
    pod: String,
    container: String,
}

/// A log that is followed.
struct Follow {
    place: Place,
    shown: String,
    first: Option<String>,
    is_over: bool,
}

impl Follow {
    async fn next(mut self) -> Option<(Result<String, std::convert::Infallible>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        while !self.is_over {
            tokio::time::sleep(INTERVAL).await;
            match self.place.look().await {
                Ok((log, is_over)) => {
                    let more = text::fresh(&self.shown, &log).to_owned();
                    (self.shown, self.is_over) = (log, is_over);
                    if !more.is_empty() {
                        return Some((Ok(more), self));
                    }
                }
                // The pod is gone.
                Err(UNKNOWN) => return None,
                Err(_) => {}
            }
        }
        None
    }
}

impl Place {
    /// The log as it is, and whether nothing will be added.
    async fn look(&self) -> Result<(String, bool), Refusal> {
        let Self { rent, namespace, .. } = self;
        let pod: Pod = rent.pipeline.get(namespace, &self.pod).await.map_err(away)?.ok_or(UNKNOWN)?;
        let spec = pod.spec.as_ref().ok_or(UNKNOWN)?;
        if !spec.containers.iter().any(|one| one.name == self.container) {
            return Err(UNKNOWN);
        }
        let name = pod.labels().get(names::LABEL_NODE_CLAIM).ok_or(UNKNOWN)?;
        let claim: Option<NodeClaim> = rent.pipeline.get(namespace, name).await.map_err(away)?;
        let claim = claim.filter(has_virtual_node).ok_or(UNKNOWN)?;
        let status = claim.status.clone().unwrap_or_default();
        if status.node_name != spec.node_name {
            return Err(UNKNOWN);
        }
        let is_over = has_ended(&pod);
        if let Some(mut log) = self.kept(&claim).await? {
            let mut from = log.len().saturating_sub(MOST_BYTES);
            while !log.is_char_boundary(from) {
                from += 1;
            }
            return Ok((log.split_off(from), is_over));
        }
        let tune: Option<FineTune> = match &claim.spec.fine_tune_ref {
            Some(tune) => rent.pipeline.get(namespace, &tune.name).await.map_err(away)?,
            None => None,
        };
        Ok((text::told(tune.as_ref(), &pod), is_over))
    }

    /// What the vendor keeps of the newest container. None: nothing.
    async fn kept(&self, claim: &NodeClaim) -> Result<Option<String>, Refusal> {
        let launches = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
        let newest = launches.iter().rev().find_map(|launch| Some((launch, launch.machine.as_ref()?)));
        let Some((launch, machine)) = newest.filter(|(_, machine)| machine.gone_at.is_none()) else {
            return Ok(None);
        };
        let provider: Option<Provider> =
            self.rent.pipeline.get(&self.namespace, &launch.provider).await.map_err(away)?;
        let Some(provider) = provider else { return Ok(None) };
        let driver = self.rent.drivers.of(&self.rent.pipeline, &provider).await.map_err(away)?;
        let Ok(driver) = driver else { return Ok(None) };
        let id = InstanceId(machine.instance.clone());
        driver.logs(&id).await.map_err(|error| {
            tracing::debug!(%error, %id, "a log is not read");
            AWAY
        })
    }
}

fn away(error: Error) -> Refusal {
    tracing::debug!(%error, "a log is not read");
    AWAY
}
