//! A model that answers at once: what is measured before it is what stands before it.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

/// Events with text in a stream.
const EVENTS: usize = 16;
/// Tokens of the prompt, as the model counts them.
const PROMPT_TOKENS: u64 = 12;

type Body = BoxBody<Bytes, Infallible>;

/// What it answers: the same each time, made once.
struct Answers {
    whole: Bytes,
    events: Vec<Bytes>,
}

/// Listens on loopback until the process ends.
///
/// # Errors
/// When no port is free.
pub async fn listen() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answers));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream, answers: &'static Answers) {
    // A connection that breaks is the other side's end of a run.
    drop(stream.set_nodelay(true));
    let service =
        service_fn(move |request| async move { Ok::<_, Infallible>(answers.answer(request).await) });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

impl Answers {
    fn new() -> Self {
        let head = |object: &str| json!({"id": "chatcmpl-1", "object": object, "created": 1_795_000_000, "model": "mock"});
        let with = |object: &str, field: &str, value: serde_json::Value, usage: serde_json::Value| {
            let mut answer = head(object);
            answer[field] = value;
            answer["usage"] = usage;
            answer
        };
        let text = "word ".repeat(EVENTS);
        let (input, output) = (PROMPT_TOKENS, EVENTS as u64);
        let usage =
            json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        let message =
            json!([{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]);
        let whole = with("chat.completion", "choices", message, usage.clone());
        let event = |delta: serde_json::Value, reason: serde_json::Value| {
            let choices = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
            with("chat.completion.chunk", "choices", choices, serde_json::Value::Null)
        };
        let mut events = vec![event(json!({"role": "assistant", "content": ""}), serde_json::Value::Null)];
        events.extend((0..EVENTS).map(|_| event(json!({"content": "word "}), serde_json::Value::Null)));
        events.push(event(json!({}), json!("stop")));
        events.push(with("chat.completion.chunk", "choices", json!([]), usage));
        let mut events: Vec<Bytes> = events.iter().map(|event| format!("data: {event}\n\n").into()).collect();
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        Self { whole: whole.to_string().into(), events }
    }

    async fn answer(&'static self, request: Request<Incoming>) -> Response<Body> {
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let (body, kind) = if streams(&body) {
            let frames = self.events.iter().map(|event| Ok::<_, Infallible>(Frame::data(event.clone())));
            (StreamBody::new(stream::iter(frames)).boxed(), "text/event-stream")
        } else {
            (Full::new(self.whole.clone()).boxed(), "application/json")
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// Whether a stream is asked for. Both ways in which the sides write it.
fn streams(body: &[u8]) -> bool {
    [&br#""stream":true"#[..], &br#""stream": true"#[..]]
        .iter()
        .any(|wanted| body.windows(wanted.len()).any(|window| window == *wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_with_the_usage_and_done() {
        let answers = Answers::new();
        assert_eq!(answers.events.len(), EVENTS + 4);
        let usage = String::from_utf8(answers.events[EVENTS + 2].to_vec()).unwrap();
        assert!(usage.contains(r#""completion_tokens":16"#), "{usage}");
        assert_eq!(answers.events.last().unwrap().as_ref(), b"data: [DONE]\n\n");
    }

    #[test]
    fn a_stream_is_told_however_it_is_written() {
        assert!(streams(br#"{"stream":true}"#) && streams(br#"{"stream": true, "n": 1}"#));
        assert!(!streams(br#"{"stream":false}"#) && !streams(b"{}"));
    }
}
