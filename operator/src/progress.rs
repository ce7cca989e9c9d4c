//! Where runs report: `POST /v1/namespaces/<ns>/<plural>/<name>/runs/<uid>/progress`, with the token of the attempt.
//!
//! Any replica answers: the report goes straight into the object's status, under a field manager of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use cooperator_api::base_model::BaseModel;
use cooperator_api::common::{Attempt, Progress};
use cooperator_api::dataset::Dataset;
use cooperator_api::fine_tune::FineTune;
use cooperator_contract::progress::Progress as Report;
use cooperator_core::digest::Digest;
use cooperator_core::time::{Clock, Timestamp, whole_second};
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use subtle::ConstantTimeEq as _;

/// Field manager of `status.progress`.
const MANAGER: &str = "cooperator-progress";
/// Between two writes for one run; what comes sooner is taken and not written, the last report excepted.
const INTERVAL: SignedDuration = SignedDuration::from_secs(5);
/// The same where people wait for what is new: another phase, or the first step of one.
const NEWS: SignedDuration = SignedDuration::from_secs(1);
/// Largest report, in bytes.
const LIMIT: usize = 16 * 1024;

type Refusal = (StatusCode, &'static str);

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
) -> Result<StatusCode, Refusal> {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.ok_or(UNKNOWN)?;
    // They become part of a path at the API server: a `/` that was written as %2F would lead elsewhere.
    if ![&namespace, &name].into_iter().all(|text| is_name(text)) {
        return Err(UNKNOWN);
    }
    let run = Run { namespace, name, uid, token, report };
    match plural.as_str() {
        "basemodels" => desk.take::<BaseModel>(run, |model| model.status.map(|status| status.attempts)).await,
        "datasets" => desk.take::<Dataset>(run, |dataset| dataset.status.map(|status| status.attempts)).await,
        "finetunes" => desk.take::<FineTune>(run, |tune| tune.status.map(|status| status.attempts)).await,
        _ => Err(UNKNOWN),
    }
}

/// One answer for whatever is wrong with run or token, so that nothing can be probed.
const UNKNOWN: Refusal = (StatusCode::UNAUTHORIZED, "no run of yours\n");

/// Whether Kubernetes could have an object of this name.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(|byte| is_plain(byte) || byte == b'-' || byte == b'.')
        && text.bytes().next().is_some_and(is_plain)
}

struct Run<'a> {
    namespace: String,
    name: String,
    uid: String,
    token: &'a str,
    report: Report,
}

impl Desk {
    async fn take<K>(
        &self,
        run: Run<'_>,
        attempts: impl FnOnce(K) -> Option<Vec<Attempt>>,
    ) -> Result<StatusCode, Refusal>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let away = (StatusCode::SERVICE_UNAVAILABLE, "the API server does not answer\n");
        let api: Api<K> = Api::namespaced(self.client.clone(), &run.namespace);
        let object = api.get_opt(&run.name).await.map_err(|_| away)?.ok_or(UNKNOWN)?;
        if object.uid().as_deref() != Some(run.uid.as_str()) {
            return Err(UNKNOWN);
        }
        admit(&attempts(object).unwrap_or_default(), run.token, run.report.attempt)?;
        let now = self.clock.now();
        if !self.due(&run.uid, now, &run.report) {
            return Ok(StatusCode::ACCEPTED);
        }
        let patch = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": run.name },
            "status": { "progress": progress(&run.report, now) },
        });
        api.patch_status(&run.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch))
            .await
            .map_err(|_| away)?;
        Ok(StatusCode::NO_CONTENT)
    }

    /// Whether a report of this run is written now; then it counts as written.
    fn due(&self, uid: &str, now: Timestamp, report: &Report) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, written| now.duration_since(written.at) < INTERVAL);
        let has_stepped = report.steps.is_some_and(|steps| steps.done > 0);
        if let Some(before) = written.get(uid) {
            let is_news = before.phase != report.phase || (has_stepped && !before.has_stepped);
            let is_due = is_news && now.duration_since(before.at) >= NEWS;
            if !is_due && report.progress_percentage < 100 {
                return false;
            }
        }
        written.insert(uid.to_owned(), Written { at: now, phase: report.phase.clone(), has_stepped });
        true
    }
}

/// The newest attempt may report, with its own token. An older one is told that it is.
fn admit(attempts: &[Attempt], token: &str, number: u32) -> Result<(), Refusal> {
    let hash = Digest::of(token.as_bytes()).hex();
    let known = attempts.iter().find(|attempt| u32::try_from(attempt.number) == Ok(number)).ok_or(UNKNOWN)?;
    if !bool::from(hash.as_bytes().ct_eq(known.token_sha256.as_bytes())) {
        return Err(UNKNOWN);
    }
    let newest = attempts.iter().map(|attempt| attempt.number).max();
    if newest != Some(known.number) || known.ended_at.is_some() {
        return Err((StatusCode::CONFLICT, "this attempt is over: a newer one has begun, or it has ended\n"));
    }
    Ok(())
}

fn progress(report: &Report, now: Timestamp) -> Progress {
    let Report {
        attempt: _,
        phase,
        progress_percentage,
        estimated_remaining_seconds,
        steps,
        loss,
        tokens_per_second,
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
        last_updated_time: Some(whole_second(now).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use cooperator_contract::progress::Steps;

    use super::*;

    fn attempt(number: i32, token: &str, ended: bool) -> Attempt {
        Attempt {
            number,
            token_sha256: Digest::of(token.as_bytes()).hex(),
            ended_at: ended.then(|| "2026-11-24T12:00:00Z".to_owned()),
            ..Attempt::default()
        }
    }

    #[test]
    fn only_the_newest_attempt_reports_and_only_with_its_own_token() {
        let attempts = [attempt(1, "one", true), attempt(2, "two", false)];
        assert_eq!(admit(&attempts, "two", 2), Ok(()));
        assert_eq!(admit(&attempts, "one", 2), Err(UNKNOWN));
        assert_eq!(admit(&attempts, "two", 3), Err(UNKNOWN));
        assert_eq!(admit(&attempts, "one", 1).unwrap_err().0, StatusCode::CONFLICT);
    }

    #[test]
    fn only_what_can_be_a_name_is_looked_for() {
        for text in ["addresses-v1", "smollm2-135m", "with.dot", "0"] {
            assert!(is_name(text), "{text}");
        }
        for text in ["", ".", "..", "a/b", "../senators", "a?watch=1", "a#", "A", "a%2Fb", "a\n", "-a"] {
            assert!(!is_name(text), "{text}");
        }
    }

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
