//! The server behind the gateway: says what a test tells it to, and remembers what it saw.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body as AxumBody;
use axum::extract::{Request as AxumRequest, State};
use axum::response::{IntoResponse, Response as AxumResponse};
use bytes::Bytes;
use cooperator_contract::usage::ADAPTER_HEADER;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// What the server behind the gateway does with every request.
#[derive(Clone, Debug)]
pub struct Script {
    /// Status; above 299 `pieces` are ignored.
    pub status: u16,
    /// Text, piece by piece.
    pub pieces: Vec<&'static str>,
    /// Prompt and generated tokens it says it counted.
    pub usage: Option<(Value, Value)>,
    /// Before each piece.
    pub pace: Duration,
    /// Breaks the connection after so many pieces.
    pub breaks_after: Option<usize>,
    /// The adapter it says it answers with; empty: it says nothing.
    pub adapter: String,
    /// Answers just this, byte for byte, instead of what is above.
    pub raw: Option<Raw>,
}

/// An answer, byte for byte.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Status.
    pub status: u16,
    /// Its Content-Type.
    pub kind: &'static str,
    /// The body, in pieces.
    pub pieces: Vec<Bytes>,
    /// Whether the connection breaks after them.
    pub breaks: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            status: 200,
            pieces: vec!["Fellow", " citizens", ","],
            usage: Some((json!(11), json!(3))),
            pace: Duration::ZERO,
            breaks_after: None,
            adapter: String::new(),
            raw: None,
        }
    }
}

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub headers: Vec<HeaderMap>,
    pub bodies: Vec<Value>,
    /// Pieces it has written.
    pub written: usize,
    /// Requests whose caller left in the middle.
    pub left: usize,
}

#[derive(Clone, Default)]
pub struct Server {
    pub script: Arc<Mutex<Script>>,
    pub seen: Arc<Mutex<Seen>>,
}

/// Counts a caller that leaves before the end.
struct Leaving(Server, bool);

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.1 {
            self.0.seen.lock().unwrap().left += 1;
        }
    }
}

pub async fn serve_model(State(server): State<Server>, request: AxumRequest) -> AxumResponse {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    let script = server.script.lock().unwrap().clone();
    {
        let mut seen = server.seen.lock().unwrap();
        seen.headers.push(parts.headers);
        seen.bodies.push(body.clone());
    }
    if let Some(raw) = script.raw {
        return byte_for_byte(raw);
    }
    let status = StatusCode::from_u16(script.status).unwrap();
    if !status.is_success() {
        let error = json!({"error": {"message": "the prompt has 2000 tokens, the most is 1024"}});
        return (status, [("retry-after", "7")], error.to_string()).into_response();
    }
    let usage = script
        .usage
        .clone()
        .map(|(input, output)| json!({"prompt_tokens": input, "completion_tokens": output}));
    let adapter = [(ADAPTER_HEADER, script.adapter.clone())];
    if body["stream"] == true {
        let stream = events(server, script, usage);
        let kind = [("content-type", "text/event-stream")];
        return (kind, adapter, AxumBody::from_stream(stream)).into_response();
    }
    let mut leaving = Leaving(server, false);
    tokio::time::sleep(script.pace).await;
    leaving.1 = true;
    let text = script.pieces.concat();
    let answer =
        json!({"id": "1", "choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage});
    ([("content-type", "application/json")], adapter, answer.to_string()).into_response()
}

fn byte_for_byte(raw: Raw) -> AxumResponse {
    let pieces = futures::stream::iter(raw.pieces.into_iter().map(Ok));
    // Later than what is before it, so that it is sent.
    let end = futures::stream::iter(raw.breaks.then_some(())).then(|()| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("broken on purpose"))
    });
    let status = StatusCode::from_u16(raw.status).unwrap();
    let body = AxumBody::from_stream(pieces.chain(end));
    (status, [("content-type", raw.kind)], body).into_response()
}

fn events(
    server: Server,
    script: Script,
    usage: Option<Value>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut leaving = Leaving(server.clone(), false);
        let event = |value: Value| Ok(Bytes::from(format!("data: {value}\n\n")));
        let first = json!({"choices": [{"delta": {"role": "assistant", "content": ""}}], "usage": null});
        if tx.send(event(first)).await.is_err() {
            return;
        }
        for (index, piece) in script.pieces.iter().enumerate() {
            if script.breaks_after == Some(index) {
                leaving.1 = true;
                let _ = tx.send(Err(std::io::Error::other("broken on purpose"))).await;
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(script.pace) => {}
                () = tx.closed() => return,
            }
            let chunk = json!({"choices": [{"delta": {"content": piece}}], "usage": null});
            if tx.send(event(chunk)).await.is_err() {
                return;
            }
            server.seen.lock().unwrap().written += 1;
        }
        leaving.1 = true;
        let stop = json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": null});
        let _ = tx.send(event(stop)).await;
        if let Some(usage) = usage {
            let _ = tx.send(event(json!({"choices": [], "usage": usage}))).await;
        }
        let _ = tx.send(Ok(Bytes::from_static(b"data: [DONE]\n\n"))).await;
    });
    tokio_stream::wrappers::ReceiverStream::new(rx)
}
