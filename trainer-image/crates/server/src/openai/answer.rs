//! Answers in OpenAI's shapes, whole and as the chunks of a stream.

use serde_json::{Value, json};

use crate::engine::FinishReason;

/// Which endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
}

impl Endpoint {
    /// Label of the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
        }
    }
}

/// What all parts of one answer share.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Unique name of the answer.
    pub id: String,
    /// Unix seconds.
    pub created: i64,
    /// As the request named it.
    pub model: String,
    /// Which weights answered.
    pub fingerprint: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Whether a stream ends with the usage.
    pub include_usage: bool,
}

impl Frame {
    /// The whole answer.
    pub fn whole(&self, text: &str, reason: FinishReason, tokens: u32) -> Value {
        let choice = match self.endpoint {
            Endpoint::Chat => json!({"index": 0, "message": {"role": "assistant", "content": text},
                "logprobs": null, "finish_reason": reason_name(reason)}),
            Endpoint::Completions => {
                json!({"index": 0, "text": text, "logprobs": null, "finish_reason": reason_name(reason)})
            }
        };
        let object = match self.endpoint {
            Endpoint::Chat => "chat.completion",
            Endpoint::Completions => "text_completion",
        };
        let mut value = self.envelope(object, json!([choice]));
        value["usage"] = self.usage(tokens);
        value
    }

    /// The first chunk of a chat: who speaks. Completions have none.
    pub fn first(&self) -> Option<Value> {
        let delta = json!({"role": "assistant", "content": ""});
        (self.endpoint == Endpoint::Chat).then(|| self.chunk(delta, "", None))
    }

    /// More text.
    pub fn text(&self, text: &str) -> Value {
        self.chunk(json!({"content": text}), text, None)
    }

    /// The end: why, then the usage if it was asked for.
    pub fn last(&self, reason: FinishReason, tokens: u32) -> Vec<Value> {
        let mut chunks = vec![self.chunk(json!({}), "", Some(reason))];
        if self.include_usage {
            let mut usage = self.envelope(self.chunk_object(), json!([]));
            usage["usage"] = self.usage(tokens);
            chunks.push(usage);
        }
        chunks
    }

    fn chunk_object(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Chat => "chat.completion.chunk",
            Endpoint::Completions => "text_completion",
        }
    }

    fn chunk(&self, delta: Value, text: &str, reason: Option<FinishReason>) -> Value {
        let reason = reason.map(reason_name);
        let choice = match self.endpoint {
            Endpoint::Chat => json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}),
            Endpoint::Completions => {
                json!({"index": 0, "text": text, "logprobs": null, "finish_reason": reason})
            }
        };
        let mut value = self.envelope(self.chunk_object(), json!([choice]));
        if self.include_usage {
            value["usage"] = Value::Null;
        }
        value
    }

    fn envelope(&self, object: &str, choices: Value) -> Value {
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model,
            "system_fingerprint": self.fingerprint, "choices": choices})
    }

    fn usage(&self, tokens: u32) -> Value {
        let total = self.prompt_tokens as u64 + u64::from(tokens);
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": tokens, "total_tokens": total})
    }
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}
