//! The HTTP endpoints. No prompt and no answer is ever logged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cooperator_contract::run::ServeTask;
use cooperator_contract::usage::ADAPTER_HEADER;
use cooperator_core::time::{Clock, SystemClock};
use cooperator_models::chat::ChatTemplate;
use cooperator_models::tokenizer::Tokenizer;
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::{Engine, Event, FinishReason, Refused, Request};
use crate::metrics::{Answer, CONTENT_TYPE, Metrics};
use crate::openai::ApiError;
use crate::openai::answer::{Endpoint, Frame};
use crate::openai::request::{self, Checked, Prompt};

/// What a full queue tells its clients to wait, seconds.
const RETRY_AFTER: u32 = 1;
/// Bytes of a body beyond those that the prompt can need.
const BODY_BASE: usize = 64 << 10;
/// Bytes of a body for each token of prompt allowed: escaped JSON of long tokens.
const BODY_PER_TOKEN: usize = 32;

/// A loaded model behind its engine.
#[derive(Debug)]
pub struct Serving {
    /// The engine.
    pub engine: Engine,
    /// The tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The chat template, if the model has one.
    pub chat: Option<ChatTemplate>,
    /// Positions the model knows.
    pub context: usize,
}

/// What all handlers share.
#[derive(Debug)]
pub struct App {
    task: ServeTask,
    serving: OnceLock<Serving>,
    draining: AtomicBool,
    created: i64,
    metrics: Metrics,
}

impl App {
    /// Not ready yet.
    pub fn new(task: ServeTask) -> Self {
        let created = SystemClock.now().as_second();
        let (serving, draining) = (OnceLock::new(), AtomicBool::new(false));
        Self { task, serving, draining, created, metrics: Metrics::default() }
    }

    /// Makes it ready; a second call changes nothing.
    pub fn serve(&self, serving: Serving) {
        let _already = self.serving.set(serving);
    }

    /// From here on not ready; requests already here go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether new requests should come here; if not, why.
    ///
    /// # Errors
    /// [`ApiError`], 503.
    pub fn ready(&self) -> Result<&Serving, ApiError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(ApiError::unavailable("the server is shutting down: try another replica"));
        }
        self.working()
    }

    /// The model, if it can answer. A draining server still answers who has not heard of it yet.
    ///
    /// # Errors
    /// [`ApiError`], 503.
    pub fn working(&self) -> Result<&Serving, ApiError> {
        let serving = self.serving.get();
        let serving =
            serving.ok_or_else(|| ApiError::unavailable("the model is being loaded: try again soon"))?;
        if !serving.engine.is_alive() {
            return Err(ApiError::unavailable("the engine has ended: the server will be restarted"));
        }
        Ok(serving)
    }

    /// The model behind, once loaded.
    pub fn serving(&self) -> Option<&Serving> {
        self.serving.get()
    }

    /// Largest request body, bytes.
    pub fn body_limit(&self) -> usize {
        BODY_BASE + BODY_PER_TOKEN * self.task.max_input_tokens as usize
    }

    /// Names the weights: the adapter, or the base model where there is none.
    fn fingerprint(&self) -> String {
        let digest = self.task.adapter.unwrap_or(self.task.base_model).hex();
        format!("fp_{}", digest.get(..12).unwrap_or_default())
    }
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let limit = app.body_limit();
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(models))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(limit))
        .with_state(app)
}

async fn healthz(State(app): State<Arc<App>>) -> Response {
    let dead = app.serving().is_some_and(|serving| !serving.engine.is_alive());
    if dead {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the engine has ended\n").into_response();
    }
    "ok\n".into_response()
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.ready() {
        Ok(_) => "ok\n".into_response(),
        Err(error) => (error.status, format!("{}\n", error.message)).into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let in_flight = app.serving().map_or(0, |serving| serving.engine.in_flight());
    app.metrics.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], app.metrics.render()).into_response()
}

async fn models(State(app): State<Arc<App>>) -> Response {
    let model = json!({"id": app.task.model_name, "object": "model", "created": app.created,
        "owned_by": "cooperator"});
    axum::Json(json!({"object": "list", "data": [model]})).into_response()
}

async fn chat(State(app): State<Arc<App>>, body: Result<Bytes, BytesRejection>) -> Response {
    answer(app, Endpoint::Chat, body).await
}

async fn completions(State(app): State<Arc<App>>, body: Result<Bytes, BytesRejection>) -> Response {
    answer(app, Endpoint::Completions, body).await
}

async fn answer(app: Arc<App>, endpoint: Endpoint, body: Result<Bytes, BytesRejection>) -> Response {
    let mut response = match try_answer(&app, endpoint, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    if let Some(adapter) = app.task.adapter
        && let Ok(value) = HeaderValue::try_from(adapter.to_string())
    {
        response.headers_mut().insert(ADAPTER_HEADER, value);
    }
    let label = Answer { endpoint: endpoint.label(), code: response.status().as_u16() };
    app.metrics.requests.get_or_create(&label).inc();
    response
}

async fn try_answer(
    app: &Arc<App>,
    endpoint: Endpoint,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    app.working()?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(app.body_limit()),
        _ => ApiError::body("the request body could not be read"),
    })?;
    let checked = match endpoint {
        Endpoint::Chat => request::chat(&body, rand::random())?,
        Endpoint::Completions => request::completion(&body, rand::random())?,
    };
    if checked.model != app.task.model_name {
        return Err(ApiError::model(&checked.model, &app.task.model_name));
    }
    let (stream, include_usage) = (checked.stream, checked.include_usage);
    // Tokenising a long prompt takes a while: not on the threads that answer everybody.
    let shared = Arc::clone(app);
    let prepared = tokio::task::spawn_blocking(move || shared.prepare(endpoint, checked)).await;
    let request = prepared.map_err(|_| ApiError::internal())??;
    let prompt_tokens = request.prompt.len();
    let events = app.working()?.engine.submit(request).map_err(|refused| match refused {
        Refused::Full => ApiError::busy(RETRY_AFTER),
        Refused::Ended => ApiError::internal(),
    })?;
    app.metrics.prompt_tokens.inc_by(prompt_tokens as u64);
    let prefix = if endpoint == Endpoint::Chat { "chatcmpl" } else { "cmpl" };
    let frame = Frame {
        endpoint,
        id: format!("{prefix}-{:032x}", rand::random::<u128>()),
        created: SystemClock.now().as_second(),
        model: app.task.model_name.clone(),
        fingerprint: app.fingerprint(),
        prompt_tokens,
        include_usage,
    };
    let events = watched(Arc::clone(app), arrived, events);
    if stream {
        return Ok(Sse::new(chunks(frame, events)).into_response());
    }
    whole(&frame, events).await
}

impl App {
    /// Tokenises and checks the bounds.
    fn prepare(&self, endpoint: Endpoint, checked: Checked) -> Result<Request, ApiError> {
        let serving = self.working()?;
        let param = if endpoint == Endpoint::Chat { "messages" } else { "prompt" };
        let bad = |message: String| ApiError::invalid(param, message);
        let prompt = match checked.prompt {
            Prompt::Chat(messages) => {
                let Some(chat) = &serving.chat else {
                    return Err(bad(cooperator_models::chat::ChatError::NoTemplate.to_string()));
                };
                let text = chat.render(&messages, true).map_err(|error| bad(error.to_string()))?;
                serving.tokenizer.encode_with_markers(&text).map_err(|error| bad(error.to_string()))?
            }
            Prompt::Text(text) => serving.tokenizer.encode(&text).map_err(|error| bad(error.to_string()))?,
            Prompt::Tokens(tokens) => tokens,
        };
        if prompt.is_empty() {
            return Err(bad(format!("{param} holds no token: give some text")));
        }
        let vocabulary = serving.tokenizer.size();
        if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
            return Err(bad(format!("token {token} is outside the vocabulary of {vocabulary}")));
        }
        let max_tokens = self.output_bound(serving.context, prompt.len(), checked.max_tokens, param)?;
        Ok(Request { prompt, max_tokens, sampling: checked.sampling, stops: checked.stops })
    }

    /// How many tokens may be generated.
    fn output_bound(
        &self,
        context: usize,
        prompt: usize,
        asked: Option<u32>,
        param: &'static str,
    ) -> Result<u32, ApiError> {
        let most_input = self.task.max_input_tokens as usize;
        if prompt > most_input || prompt >= context {
            let bound = most_input.min(context - 1);
            let message =
                format!("the prompt has {prompt} tokens, at most {bound} are read here: shorten it");
            return Err(ApiError::context(message, param));
        }
        let most_output = self.task.max_output_tokens;
        if let Some(asked) = asked.filter(|asked| *asked > most_output) {
            let message = format!("max_tokens is {asked}; it must be at most {most_output}");
            return Err(ApiError::invalid("max_tokens", message));
        }
        let room = u32::try_from(context - prompt).unwrap_or(u32::MAX);
        if let Some(asked) = asked.filter(|asked| *asked > room) {
            let message = format!(
                "the prompt has {prompt} tokens and max_tokens is {asked}; together at most {context}: lower one"
            );
            return Err(ApiError::context(message, "max_tokens"));
        }
        Ok(asked.unwrap_or(most_output.min(room)))
    }
}

/// Counts what passes by.
fn watched(
    app: Arc<App>,
    arrived: Instant,
    events: mpsc::Receiver<Event>,
) -> impl Stream<Item = Event> + Send + use<> {
    let mut first = true;
    ReceiverStream::new(events).inspect(move |event| {
        if std::mem::take(&mut first) {
            app.metrics.first_token.observe(arrived.elapsed().as_secs_f64());
        }
        if let Event::Done { tokens, .. } = event {
            app.metrics.completion_tokens.inc_by(u64::from(*tokens));
        }
    })
}

/// The answer in one piece.
async fn whole(frame: &Frame, events: impl Stream<Item = Event>) -> Result<Response, ApiError> {
    let mut text = String::new();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::Text(piece) => text.push_str(&piece),
            Event::Done { reason, tokens } => {
                return Ok(axum::Json(frame.whole(&text, reason, tokens)).into_response());
            }
            Event::Failed => break,
        }
    }
    Err(ApiError::internal())
}

/// The answer as server-sent events. A stream without `[DONE]` is one that failed.
fn chunks(
    frame: Frame,
    events: impl Stream<Item = Event> + Send,
) -> impl Stream<Item = Result<SseEvent, std::convert::Infallible>> + Send {
    let data = |value: &serde_json::Value| SseEvent::default().data(value.to_string());
    let first = stream::iter(frame.first().map(|chunk| data(&chunk)));
    let rest = events.flat_map(move |event| {
        stream::iter(match event {
            Event::Text(text) => vec![data(&frame.text(&text))],
            Event::Done { reason, tokens } => finish(&frame, reason, tokens),
            Event::Failed => vec![data(&ApiError::internal().to_json())],
        })
    });
    first.chain(rest).map(Ok)
}

fn finish(frame: &Frame, reason: FinishReason, tokens: u32) -> Vec<SseEvent> {
    let chunks = frame.last(reason, tokens);
    let mut events: Vec<SseEvent> =
        chunks.iter().map(|chunk| SseEvent::default().data(chunk.to_string())).collect();
    events.push(SseEvent::default().data("[DONE]"));
    events
}
