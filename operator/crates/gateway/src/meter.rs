//! Counts what a server's answer used. Pure.
//!
//! The server's own `usage` counts where it is given. Where it is not, or the caller left before it came, we count:
//! of a stream, one event with content is one token (servers send a token an event, or hold some back and send them
//! as one: the count never exceeds what was sent); of an answer in one piece, 4 bytes of text are one token.

use serde::Deserialize;
use serde_json::Value;

/// Tokens as a server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of the prompt.
    pub input: Option<u64>,
    /// Generated.
    pub output: Option<u64>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<Value>,
    completion_tokens: Option<Value>,
}

impl From<Usage> for Counted {
    fn from(usage: Usage) -> Self {
        // A negative, broken or too large number is none: it is counted here instead.
        let number = |value: Option<Value>| value.and_then(|value| value.as_u64());
        Self { input: number(usage.prompt_tokens), output: number(usage.completion_tokens) }
    }
}

/// Counts an answer in one piece. None if it is no JSON object.
pub fn answer(body: &[u8]) -> Option<Counted> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Usage>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let mut counted = answer.usage.map(Counted::from).unwrap_or_default();
    if counted.output.is_none() {
        let body: Value = serde_json::from_slice(body).ok()?;
        let choices = body.get("choices").and_then(Value::as_array).into_iter().flatten();
        let text = choices.filter_map(|choice| {
            choice.pointer("/message/content").or_else(|| choice.get("text")).and_then(Value::as_str)
        });
        let bytes: u64 = text.map(|text| text.len() as u64).sum();
        counted.output = Some(bytes.div_ceil(4));
    }
    Some(counted)
}

/// What one event of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Text for the caller.
    Content,
    /// Anything else for the caller: a role, the reason of the end, a comment.
    Other,
    /// The usage alone, which is for the caller only if he asked.
    Usage,
    /// The server failed in the middle.
    Failed,
    /// `[DONE]`
    Done,
}

/// Counts a stream event by event.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamMeter {
    /// What the server said last.
    pub counted: Counted,
    /// Whether the server said why it stopped.
    pub finished: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    text: Option<String>,
    finish_reason: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<serde::de::IgnoredAny>,
}

impl Choice {
    fn has_content(&self) -> bool {
        let some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let delta = self.delta.as_ref();
        some(&self.text)
            || delta.is_some_and(|delta| {
                some(&delta.content) || some(&delta.reasoning_content) || delta.tool_calls.is_some()
            })
    }
}

impl StreamMeter {
    /// Looks at one event, with its end.
    pub fn event(&mut self, event: &[u8]) -> Event {
        let Some(data) = data(event) else { return Event::Other };
        if data == b"[DONE]" {
            return Event::Done;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return Event::Failed };
        if chunk.error.is_some() {
            return Event::Failed;
        }
        self.finished |= chunk.choices.iter().any(|choice| choice.finish_reason.is_some());
        let alone = chunk.choices.is_empty() && chunk.usage.is_some();
        if let Some(usage) = chunk.usage {
            let new = Counted::from(usage);
            self.counted.input = new.input.or(self.counted.input);
            self.counted.output = new.output.or(self.counted.output);
        }
        match chunk.choices.iter().any(Choice::has_content) {
            true => Event::Content,
            false if alone => Event::Usage,
            false => Event::Other,
        }
    }
}

/// What follows `data:` in an event of one line; our servers write no other.
fn data(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|byte| *byte == b'\n').map(|line| line.trim_ascii());
    lines.find_map(|line| line.strip_prefix(b"data:")).map(|data| data.trim_ascii())
}

/// Length of the first whole event in `bytes`, its blank line included.
pub fn event_length(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        let blank = bytes[line..at].iter().all(|byte| *byte == b'\r');
        line = at + 1;
        if blank {
            return Some(line);
        }
    }
    None
}
