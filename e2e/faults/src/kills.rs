//! A gateway that is killed again and again while it is being used: what was answered is billed, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use axum::Router;
use axum::extract::Json;
use axum::response::{IntoResponse as _, Response};
use cooperator_api::api_key::SECRET_FIELD;
use cooperator_api::deployment::Deployment;
use cooperator_cli::secret;
use cooperator_cluster::Progress;
use cooperator_contract::layout;
use cooperator_contract::usage::UsageRow;
use cooperator_usage::chunk;
use cooperator_usage::hour::HourReader;
use cooperator_usage::key::{self, SegmentKind};
use kube::Api;
use kube::api::{Patch, PatchParams};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::hands::Hands;
use crate::operator::Operator;
use crate::stage::{NAMESPACE, Stage};
use crate::{Programs, story};

/// Callers at once.
const CALLERS: usize = 16;
/// Shortest and longest life of a gateway that answers, in milliseconds.
const LIFE: std::ops::Range<u64> = 20..300;
/// A call is told by its two counts of tokens: of the prompt at most so many. A prompt has at least as many bytes, or the
/// gateway would bill less than the model says.
const INPUTS: u64 = 2000;
/// Of the answer at most so many; by default a Deployment allows 512.
const OUTPUTS: u64 = 500;

/// What became of all calls.
#[derive(Debug)]
pub struct Report {
    /// Times the gateway was killed.
    pub kills: u32,
    /// Calls begun.
    pub begun: u64,
    /// Calls whose caller got the last byte.
    pub completed: usize,
    /// Rows in the usage log.
    pub rows: usize,
    /// Calls that completed and are in no row.
    pub lost: usize,
    /// Calls that are in two rows.
    pub doubled: usize,
    took: Duration,
}

impl Report {
    /// Whether every completed call was billed once.
    pub const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills of a gateway with {CALLERS} callers: {} calls begun, {} completed, {} rows in the log; \
             {} completed calls lost, {} billed twice; {} s",
            self.kills,
            self.begun,
            self.completed,
            self.rows,
            self.lost,
            self.doubled,
            self.took.as_secs()
        )
    }
}

/// Kills a gateway under load so often.
///
/// # Errors
/// When the story before it, or the gateway, does not come up.
pub async fn kills(programs: &Programs, gateway: &Path, count: u32, seed: u64) -> Result<Report> {
    let began = Instant::now();
    let progress = Progress::new();
    let folder = tempfile::tempdir()?;
    let stage = Stage::set(folder.path()).await?;
    let step = progress.step("A Deployment and a key", None);
    prepare(&stage, programs).await?;
    step.done();
    let model = model().await?;
    point_to(&stage, model).await?;
    let running = Gateway::new(&stage, gateway, "200ms").await?;
    running.start()?;
    running.answers().await?;
    let calls = Arc::new(Calls::default());
    let callers = call(&running, &calls, key(&stage).await?)?;
    let step = progress.step("Kills", None);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for kill in 0..count {
        step.at(kill.into(), count.into());
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE))).await;
        running.kill()?;
        running.start()?;
        running.answers().await?;
    }
    step.done();
    calls.stop.store(true, Ordering::SeqCst);
    callers.join_all().await;
    running.uploads().await?;
    running.stop()?;
    if let Some(refusal) = calls.refusal.get() {
        bail!("a gateway refused a call: {refusal}");
    }
    let begun = calls.next.load(Ordering::SeqCst);
    let most = INPUTS * OUTPUTS;
    ensure!(begun <= most, "{begun} calls cannot be told apart, {most} can: kill less often");
    let rows = rows(&stage).await?;
    Ok(calls.held_against(&rows, count, began.elapsed()))
}

/// Everything that a gateway needs, made by the operator; then the operator goes.
async fn prepare(stage: &Stage, programs: &Programs) -> Result<()> {
    let _operator = Operator::start(&programs.operator, &stage.reach()?, &stage.folder)?;
    let _hands = Hands::work(stage, programs);
    story::prepare(stage).await
}

/// Has the Deployment served from here.
async fn point_to(stage: &Stage, model: SocketAddr) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), NAMESPACE);
    let status = Patch::Merge(json!({"status": {"upstream": format!("http://{model}")}}));
    deployments.patch_status(story::NAME, &PatchParams::default(), &status).await?;
    Ok(())
}

/// The key that opens the story's Deployment.
///
/// # Errors
/// When its Secret cannot be read.
pub async fn key(stage: &Stage) -> Result<String> {
    secret::read(&stage.client, NAMESPACE, "radio-key").await?.text(SECRET_FIELD)
}

/// A model that counts as many tokens as its caller says.
async fn model() -> Result<SocketAddr> {
    async fn answer(Json(body): Json<Value>) -> Response {
        let text = body["messages"][0]["content"].as_str().unwrap_or_default();
        let mut counts = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        let (input, output) = (counts.next().unwrap_or(1), counts.next().unwrap_or(1));
        let usage =
            json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        if body["stream"] == true {
            let piece =
                json!({"choices": [{"index": 0, "delta": {"content": "la"}, "finish_reason": "stop"}]});
            let last = json!({"choices": [], "usage": usage});
            let text = format!("data: {piece}\n\ndata: {last}\n\ndata: [DONE]\n\n");
            return ([("content-type", "text/event-stream")], text).into_response();
        }
        let choice =
            json!({"index": 0, "message": {"role": "assistant", "content": "la"}, "finish_reason": "stop"});
        Json(json!({"object": "chat.completion", "choices": [choice], "usage": usage})).into_response()
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(address)
}

/// What the callers know.
#[derive(Default)]
struct Calls {
    next: AtomicU64,
    completed: Mutex<BTreeSet<u64>>,
    /// The first answer that a good call must not get.
    refusal: OnceLock<StatusCode>,
    stop: AtomicBool,
}

/// Callers, every second of them streams.
fn call(gateway: &Gateway, calls: &Arc<Calls>, key: String) -> Result<JoinSet<()>> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let url = format!("http://{}/v1/chat/completions", gateway.address);
    let (mut callers, filler) = (JoinSet::new(), "la".repeat(usize::try_from(INPUTS)? / 2));
    for caller in 0..CALLERS {
        let (http, url, key, calls) = (http.clone(), url.clone(), key.clone(), calls.clone());
        let filler = filler.clone();
        callers.spawn(async move {
            while !calls.stop.load(Ordering::SeqCst) {
                let number = calls.next.fetch_add(1, Ordering::SeqCst);
                let prompt = format!("{} {} {filler}", input(number), output(number));
                let body = json!({
                    "model": story::NAME, "max_tokens": OUTPUTS, "stream": caller % 2 == 1,
                    "stream_options": if caller % 2 == 1 { json!({"include_usage": true}) } else { Value::Null },
                    "messages": [{"role": "user", "content": prompt}],
                });
                let asked = loop {
                    let asked = ask(&http, &url, &key, &body).await;
                    if !asked.as_ref().is_err_and(is_untaken) || calls.stop.load(Ordering::SeqCst) {
                        break asked;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                };
                match asked.map_err(|error| status(&error)) {
                    Ok(()) => {
                        calls.completed.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                    }
                    Err(Some(refusal)) if refusal.is_client_error() => drop(calls.refusal.set(refusal)),
                    // It broke off: the gateway was killed meanwhile.
                    Err(_) => {}
                }
            }
        });
    }
    Ok(callers)
}

const fn input(number: u64) -> u64 {
    1 + number / OUTPUTS
}

const fn output(number: u64) -> u64 {
    1 + number % OUTPUTS
}

/// Whether no gateway took the call: it is dead, or back but knows no keys yet. Then nothing is billed.
fn is_untaken(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
    refused || status(error) == Some(StatusCode::SERVICE_UNAVAILABLE)
}

/// What was answered instead.
fn status(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<reqwest::Error>()?.status()
}

/// A call, read to its last byte.
async fn ask(http: &reqwest::Client, url: &str, key: &str, body: &Value) -> Result<()> {
    let answer = http.post(url).bearer_auth(key).json(body).send().await?.error_for_status()?;
    let text = answer.text().await?;
    ensure!(body["stream"] != true || text.trim_end().ends_with("[DONE]"), "the stream broke off");
    Ok(())
}

impl Calls {
    fn held_against(&self, rows: &[UsageRow], kills: u32, took: Duration) -> Report {
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        for row in rows {
            *times.entry((row.input_tokens - 1) * OUTPUTS + row.output_tokens - 1).or_default() += 1;
        }
        let completed = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            kills,
            begun: self.next.load(Ordering::SeqCst),
            completed: completed.len(),
            rows: rows.len(),
            lost: completed.iter().filter(|number| !times.contains_key(number)).count(),
            doubled: times.values().filter(|times| **times > 1).count(),
            took,
        }
    }
}

/// Every row in object storage; a row may lie in a chunk and already in its hour, too.
async fn rows(stage: &Stage) -> Result<Vec<UsageRow>> {
    let store = story::store(stage).await?;
    let mut rows: BTreeMap<(String, u64), UsageRow> = BTreeMap::new();
    for object in store.list(layout::USAGE).await? {
        let Some(segment) = key::parse(&object.key) else { continue };
        let bytes = store.get(&object.key).await?;
        let found = match segment.kind {
            SegmentKind::Chunk { .. } => chunk::decode(&bytes)?.1,
            SegmentKind::Hour { .. } => {
                let (mut reader, mut all) = (HourReader::open(bytes)?, Vec::new());
                while let Some(group) = reader.next_group()? {
                    all.extend(group);
                }
                all
            }
        };
        rows.extend(found.into_iter().map(|row| ((row.gateway.clone(), row.sequence), row)));
    }
    Ok(rows.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_its_counts_of_tokens() {
        let numbers: BTreeSet<(u64, u64)> = (0..5000).map(|number| (input(number), output(number))).collect();
        assert_eq!(numbers.len(), 5000);
    }
}
