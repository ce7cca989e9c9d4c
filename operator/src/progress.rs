//! Where runs report: `POST /v1/namespaces/<ns>/<plural>/<name>/runs/<uid>/progress`, with the token of the attempt.
//!
//! Any replica answers: the report goes straight into the object's status, under a field manager of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use cooperator_api::base_model::BaseModel;
use cooperator_api::common::{Attempt, Progress};
use cooperator_api::dataset::Dataset;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::preflight::PreflightStatus;
use cooperator_contract::preflight::Measured;
use cooperator_contract::progress::{Answer, Progress as Report};
use cooperator_core::time::{Clock, Timestamp, whole_second};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::admission::{AWAY, Refusal, Run, UNKNOWN, admitted, bearer};
use crate::domain::count;
use crate::node_claim;

/// Field manager of `status.progress`.
const MANAGER: &str = "cooperator-progress";
/// Between two writes for one run; what comes sooner is taken and not written, the last report excepted.
const INTERVAL: SignedDuration = SignedDuration::from_secs(5);
/// The same where people wait for what is new: another phase, or the first step of one.
const NEWS: SignedDuration = SignedDuration::from_secs(1);
/// Largest report, in bytes.
const LIMIT: usize = 16 * 1024;

#[derive(Clone)]
struct Desk {
    client: Client,
    clock: Arc<dyn Clock>,
    written: Arc<Mutex<HashMap<String, Written>>>,
}

/// What was last written for a run.
struct Written {
    at: Timestamp,
    phase: String,
    has_stepped: bool,
    has_measured: bool,
}

/// The endpoint.
pub fn router(client: Client, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/v1/namespaces/{namespace}/{plural}/{name}/runs/{uid}/progress", post(report))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(Desk { client, clock, written: Arc::default() })
}

async fn report(
    State(desk): State<Desk>,
    Path((namespace, plural, name, uid)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    Json(report): Json<Report>,
) -> Result<(StatusCode, Json<Answer>), Refusal> {
    let token = bearer(&headers)?;
    let run = Run { namespace: &namespace, name: &name, uid: &uid, attempt: report.attempt };
    let (status, stop) = match plural.as_str() {
        "basemodels" => (desk.take(run, token, &report, of_model).await?.0, false),
        "datasets" => (desk.take(run, token, &report, of_dataset).await?.0, false),
        "finetunes" => {
            let (status, tune) = desk.take(run, token, &report, of_fine_tune).await?;
            (status, desk.stops(run, &tune).await?)
        }
        _ => return Err(UNKNOWN),
    };
    Ok((status, Json(Answer { stop })))
}

fn of_model(model: &BaseModel) -> Option<&[Attempt]> {
    model.status.as_ref().map(|status| &status.attempts[..])
}

fn of_dataset(dataset: &Dataset) -> Option<&[Attempt]> {
    dataset.status.as_ref().map(|status| &status.attempts[..])
}

/// Every attempt of a FineTune.
pub fn of_fine_tune(tune: &FineTune) -> Option<&[Attempt]> {
    tune.status.as_ref().map(|status| &status.attempts[..])
}

impl Desk {
    async fn take<K>(
        &self,
        run: Run<'_>,
        token: &str,
        report: &Report,
        attempts: impl FnOnce(&K) -> Option<&[Attempt]>,
    ) -> Result<(StatusCode, K), Refusal>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let object = admitted(&self.client, run, token, attempts).await?;
        let now = self.clock.now();
        if report.heartbeat || !self.due(run.uid, now, report) {
            return Ok((StatusCode::ACCEPTED, object));
        }
        let patch = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": run.name },
            "status": { "progress": progress(report, now) },
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), run.namespace);
        api.patch_status(run.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch))
            .await
            .map_err(|_| AWAY)?;
        Ok((StatusCode::OK, object))
    }

    /// Whether a run on a rented machine is to stop: its pod is deleted, or gone. Anywhere else its kubelet says so.
    async fn stops(&self, run: Run<'_>, tune: &FineTune) -> Result<bool, Refusal> {
        let attempts = of_fine_tune(tune).unwrap_or_default();
        let own = attempts.iter().find(|attempt| u32::try_from(attempt.number) == Ok(run.attempt));
        let Some(job) = own.filter(|own| own.node_claim.is_some()).map(|own| &own.job) else {
            return Ok(false);
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), run.namespace);
        let of_job = ListParams::default().labels(&format!("{}={job}", node_claim::JOB));
        let pods = api.list(&of_job).await.map_err(|_| AWAY)?.items;
        Ok(pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()))
    }

    /// Whether a report of this run is written now; then it counts as written.
    fn due(&self, uid: &str, now: Timestamp, report: &Report) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, written| now.duration_since(written.at) < INTERVAL);
        let has_stepped = report.steps.is_some_and(|steps| steps.done > 0);
        let has_measured = report.preflight.is_some();
        if let Some(before) = written.get(uid) {
            let is_news = before.phase != report.phase || (has_stepped && !before.has_stepped);
            // Told once an attempt, which may end by it.
            let is_due =
                (is_news && now.duration_since(before.at) >= NEWS) || (has_measured && !before.has_measured);
            if !is_due && report.progress_percentage < 100 {
                return false;
            }
        }
        let phase = report.phase.clone();
        written.insert(uid.to_owned(), Written { at: now, phase, has_stepped, has_measured });
        true
    }
}

fn progress(report: &Report, now: Timestamp) -> Progress {
    let Report {
        attempt,
        phase,
        progress_percentage,
        estimated_remaining_seconds,
        steps,
        loss,
        tokens_per_second,
        preflight,
        heartbeat: _,
    } = report.clone();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Progress {
        percentage: i32::from(progress_percentage.min(100)),
        phase,
        step: steps.map(|steps| number(steps.done)),
        steps: steps.map(|steps| number(steps.total)),
        loss,
        tokens_per_second: tokens_per_second.map(number),
        estimated_remaining_seconds: estimated_remaining_seconds.map(number),
        preflight: preflight.map(|measured| measured_by(attempt, measured)),
        last_updated_time: Some(whole_second(now).to_string()),
    }
}

fn measured_by(attempt: u32, measured: Measured) -> PreflightStatus {
    let Measured {
        gflops,
        disk_mib_per_second,
        download_mbit_per_second,
        upload_mbit_per_second,
        model_download_seconds,
    } = measured;
    PreflightStatus {
        attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
        gflops: count(gflops),
        disk_mib_per_second: count(disk_mib_per_second),
        download_mbit_per_second: count(download_mbit_per_second),
        upload_mbit_per_second: count(upload_mbit_per_second),
        model_download_seconds: count(model_download_seconds),
    }
}

#[cfg(test)]
mod tests {
    use cooperator_contract::progress::Steps;

    use super::*;

    fn desk() -> Desk {
        let (service, _handle) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        let clock = Arc::new(cooperator_core::time::SystemClock);
        Desk { client: Client::new(service, "x"), clock, written: Arc::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn a_run_is_written_at_most_every_five_seconds_but_its_last_report_always_is() {
        let desk = desk();
        let mut told = Report { phase: "training".into(), ..Report::default() };
        assert!(desk.due("run", at(100), &told));
        assert!(!desk.due("run", at(104), &told));
        assert!(desk.due("other", at(104), &told));
        told.progress_percentage = 100;
        assert!(desk.due("run", at(104), &told));
        told.progress_percentage = 99;
        assert!(!desk.due("run", at(108), &told));
        assert!(desk.due("run", at(109), &told));
    }

    #[tokio::test]
    async fn what_was_measured_is_written_at_once_and_bears_its_attempt() {
        let desk = desk();
        let mut told = Report { attempt: 2, phase: "preflight".into(), ..Report::default() };
        assert!(desk.due("run", at(100), &told));
        told.preflight =
            Some(Measured { gflops: 30, model_download_seconds: u64::MAX, ..Measured::default() });
        assert!(desk.due("run", at(100), &told));
        assert!(!desk.due("run", at(101), &told));
        let written = progress(&told, at(100)).preflight.unwrap();
        assert_eq!((written.attempt, written.gflops), (2, 30));
        assert_eq!(written.model_download_seconds, i64::MAX);
    }

    #[tokio::test]
    async fn a_new_phase_and_its_first_step_are_written_without_delay_but_once_a_second() {
        let desk = desk();
        let told = |phase: &str, done| Report {
            phase: phase.into(),
            steps: Some(Steps { done, total: 9 }),
            ..Report::default()
        };
        assert!(desk.due("run", at(100), &told("downloading", 0)));
        assert!(!desk.due("run", at(100), &told("training", 0)));
        assert!(desk.due("run", at(101), &told("training", 0)));
        assert!(desk.due("run", at(103), &told("training", 1)));
        assert!(!desk.due("run", at(104), &told("training", 2)));
    }
}
