//! Counts what a server's answer used. Pure.
//!
//! The server's own `usage` counts where it is given: its two numbers that have a price; a total beside them has none,
//! and servers put other things into it. Where it is not given, or the caller left before it came, we count: of a
//! stream, one event with content is one token (servers send a token an event, or hold some back and send them as one:
//! the count never exceeds what was sent), also of what follows a usage that came too early; of an answer in one
//! piece, 4 bytes of text are one token.

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

/// What a server says it used, whatever stands there. A negative, broken or too large number is none.
fn counted(usage: &Value) -> Counted {
    let number = |field| usage.get(field).and_then(Value::as_u64);
    Counted { input: number("prompt_tokens"), output: number("completion_tokens") }
}

/// Counts an answer in one piece. None if it is no JSON object with choices, or says that it failed.
pub fn answer(body: &[u8]) -> Option<Counted> {
    #[derive(Deserialize)]
    struct Answer {
        choices: Option<serde::de::IgnoredAny>,
        usage: Option<Value>,
        error: Option<serde::de::IgnoredAny>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    if answer.choices.is_none() || answer.error.is_some() {
        return None;
    }
    let mut counted = answer.usage.as_ref().map(counted).unwrap_or_default();
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
    /// Events with content since the server last said it.
    since: u64,
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
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
        let choices = chunk.choices.unwrap_or_default();
        self.finished |= choices.iter().any(|choice| choice.finish_reason.is_some());
        let has_content = choices.iter().any(Choice::has_content);
        let said = chunk.usage.as_ref().map(counted);
        if let Some(new) = said {
            self.counted.input = new.input.or(self.counted.input);
            self.counted.output = new.output.or(self.counted.output);
        }
        match said.and_then(|new| new.output) {
            Some(_) => self.since = 0,
            None => self.since += u64::from(has_content),
        }
        match has_content {
            true => Event::Content,
            false if choices.is_empty() && said.is_some() => Event::Usage,
            false => Event::Other,
        }
    }

    /// Generated tokens, if the server said how many: those it counted, and what came after.
    pub fn output(&self) -> Option<u64> {
        self.counted.output.map(|output| output.saturating_add(self.since))
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
