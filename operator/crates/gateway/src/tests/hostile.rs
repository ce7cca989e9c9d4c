//! Hostile requests, as tables: what is sent byte for byte, and what must come back.
//!
//! Of every case: no answer of 500 and above, no panic, no call of the server and no row where the request is refused,
//! one of each where it is served, and neither a key nor a prompt in an answer or a log.

mod bodies;
mod fields;
mod heads;
mod keys;
mod slow;
mod targets;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::harness::{World, error, key, now, route, secret};
use super::logs::Logs;
use super::raw::Heard;

/// What every prompt here holds, and no answer and no log may.
pub const PROMPT: &str = "canary-7c1d whom nobody may quote";

/// What must come back.
#[derive(Clone, Debug)]
pub enum Wants {
    /// An error of ours with this status, and this in its message.
    Refused(u16, String),
    /// An answer of this status by the HTTP library, without a body; the connection is closed.
    Rejected(u16),
    /// The connection is closed without an answer.
    Closed,
    /// So many answers of 200, each with its call and its row, and no more.
    Served(usize),
    /// An answer of 200 that calls no server.
    Told(String),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Case {
    pub class: &'static str,
    pub name: String,
    pub bytes: Vec<u8>,
    pub wants: Wants,
}

pub fn case(class: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>, wants: Wants) -> Case {
    Case { class, name: name.into(), bytes: bytes.into(), wants }
}

pub fn refused(status: u16, says: &str) -> Wants {
    Wants::Refused(status, says.to_owned())
}

/// A small chat with [`PROMPT`] in it.
pub fn chat() -> Value {
    json!({"model": "presidents", "messages": [{"role": "user", "content": PROMPT}]})
}

/// The same with another value of a field.
pub fn with(field: &str, value: Value) -> Value {
    let mut body = chat();
    body[field] = value;
    body
}

/// Headers that every good request has, each a line.
pub fn good() -> String {
    format!(
        "host: gateway\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        secret("reader")
    )
}

/// A request by its first line, header lines and body; its length is right, and the connection ends with it.
pub fn request(line: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("{line}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A good request but for its body.
pub fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST /v1/chat/completions HTTP/1.1", &good(), body)
}

/// A Collective with a valid, an expired and a narrow key, and one that was revoked.
async fn world() -> World {
    let world = World::new().await;
    let (mut late, mut narrow) = (key("late"), key("narrow"));
    late.expires_at = Some(now());
    narrow.deployments.insert("other".to_owned());
    world.publish([key("reader"), key("revoked")], [route("presidents", world.upstream)]);
    world.publish([key("reader"), late, narrow], [route("presidents", world.upstream)]);
    world
}

/// Runs cases one after another on one gateway, and prints how many of each class there were.
async fn run(cases: Vec<Case>) {
    let world = world().await;
    let (logs, _listening) = Logs::listen();
    tracing::info!("somebody listens");
    let mut classes = BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    for case in &cases {
        *classes.entry(case.class).or_default() += 1;
        let (calls, rows) = (world.calls(), world.rows().len());
        let wanted = if let Wants::Served(count) = case.wants { count } else { 1 };
        let heard = world.say(&case.bytes, wanted).await;
        let done = (world.calls() - calls, world.rows().len() - rows);
        if let Err(what) = judge(case, &heard, done) {
            wrong.push(format!("{}, {}: {what}; heard {:?}", case.class, case.name, cut(&heard.text)));
        }
        quotes_nothing(&heard.text, &case.name);
    }
    assert!(logs.text().contains("somebody listens"));
    quotes_nothing(&logs.text(), "the log");
    only_our_headers(&world);
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    eprintln!("{} hostile requests: {classes:?}", cases.len());
}

fn cut(text: &str) -> String {
    text.chars().take(400).collect()
}

fn judge(case: &Case, heard: &Heard, done: (usize, usize)) -> Result<(), String> {
    let statuses: Vec<u16> = heard.answers.iter().map(|answer| answer.status).collect();
    let (answers, work) = match &case.wants {
        Wants::Refused(status, _) | Wants::Rejected(status) => (vec![*status], 0),
        Wants::Closed => (vec![], 0),
        Wants::Served(count) => (vec![200; *count], *count),
        Wants::Told(_) => (vec![200], 0),
    };
    if statuses != answers {
        return Err(format!("answers {statuses:?} instead of {answers:?}"));
    }
    if done != (work, work) {
        return Err(format!("{} calls of the server and {} rows instead of {work}", done.0, done.1));
    }
    let body = heard.answers.first().map_or("", |answer| answer.body.as_str());
    match &case.wants {
        Wants::Refused(_, says) => {
            let message = error(body.as_bytes())["message"].as_str().unwrap_or_default().to_owned();
            if message.contains(says.as_str()) { Ok(()) } else { Err(format!("no {says:?} in it")) }
        }
        Wants::Rejected(_) if body.is_empty() && heard.closed => Ok(()),
        Wants::Closed if heard.closed && heard.text.is_empty() => Ok(()),
        Wants::Rejected(_) | Wants::Closed => Err("not closed, or with a body".to_owned()),
        Wants::Served(_) => Ok(()),
        Wants::Told(says) if body.contains(says.as_str()) => Ok(()),
        Wants::Told(says) => Err(format!("no {says:?} in it")),
    }
}

/// Neither a key that was sent nor the prompt.
fn quotes_nothing(text: &str, place: &str) {
    for name in ["reader", "late", "narrow", "revoked", "foreign"] {
        assert!(!text.contains(&secret(name)), "{place} holds the key `{name}`");
    }
    assert!(!text.contains("canary-7c1d"), "{place} holds the prompt");
}

/// Whatever callers sent, the server saw these headers alone.
fn only_our_headers(world: &World) {
    for headers in &world.server.seen.lock().unwrap().headers {
        let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-length", "content-type", "host"]);
    }
}
