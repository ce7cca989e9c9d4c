//! What a call asks for, checked before anything is spent on it. Pure.
//!
//! The body is parsed once and written anew for the server from what was parsed: whatever another parser might make
//! of duplicate keys, the server sees exactly what was checked here.

mod fields;
mod messages;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::snapshot::RouteLimits;

/// Which API is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
}

impl Endpoint {
    /// Its path, here and on the server.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }

    const fn prompt_field(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completions => "prompt",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Chat => Self::Completions,
            Self::Completions => Self::Chat,
        }
    }
}

/// A parsed body, not yet checked against a route.
#[derive(Debug)]
pub struct Request {
    endpoint: Endpoint,
    fields: Map<String, Value>,
    model: String,
}

/// A request that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Body for the server.
    pub body: Bytes,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the caller wants the usage in the stream.
    pub wants_usage: bool,
    /// Prompt tokens that it cannot exceed: reserved before the call, never billed above.
    pub most_input: u64,
    /// Prompt tokens by rule of thumb (4 bytes a token), billed only where the server does not count them.
    pub likely_input: u64,
    /// Generated tokens that it cannot exceed.
    pub most_output: u64,
}

/// Bytes of a prompt a token holds at most, on average over a whole prompt: what is longer than this many times
/// `maxInputTokens` cannot fit whatever the tokenizer, and is refused here; the server counts exactly.
const MOST_BYTES_A_TOKEN: u64 = 32;
/// Tokens a chat template may add to a message, and to the whole.
const TEMPLATE_TOKENS: u64 = 32;

impl Request {
    /// Parses a body.
    ///
    /// # Errors
    /// [`ApiError::Json`] or [`ApiError::Field`] for `model`.
    pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, ApiError> {
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            // Position only: serde_json's text may quote the body.
            ApiError::Json(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let model = match fields.get("model") {
            Some(Value::String(model)) if !model.is_empty() && model.len() <= 256 => model.clone(),
            _ => {
                return Err(ApiError::field(
                    "model",
                    "model must be a string of 1 to 256 bytes: GET /v1/models lists those there are",
                ));
            }
        };
        Ok(Self { endpoint, fields, model })
    }

    /// The model it names.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Checks it against the bounds of a route and makes the body for the server.
    ///
    /// # Errors
    /// [`ApiError::Field`] naming the field and the bound, [`ApiError::Unknown`].
    pub fn check(mut self, limits: &RouteLimits) -> Result<Checked, ApiError> {
        for field in ["n", "best_of"] {
            self.exactly_one(field)?;
        }
        let (bytes, messages) = self.prompt()?;
        let most_input = u64::from(limits.max_input_tokens);
        if bytes > most_input.saturating_mul(MOST_BYTES_A_TOKEN) {
            return Err(ApiError::Field {
                param: self.endpoint.prompt_field(),
                message: format!(
                    "{} is longer than {most_input} tokens, the most this model takes: shorten it",
                    self.endpoint.prompt_field()
                ),
                code: Some("context_length_exceeded"),
            });
        }
        // A token holds a byte at least, so a prompt has no more tokens than bytes.
        let overhead = TEMPLATE_TOKENS * (messages + 1);
        let most_input = most_input.min(bytes.saturating_add(overhead));
        let most_output = self.max_tokens(limits.max_output_tokens)?;
        let stream = self.flag("stream")?;
        let wants_usage = self.stream_options(stream)?;
        fields::check(&self.fields, self.endpoint.other().prompt_field())?;
        self.fields.insert("max_tokens".to_owned(), json!(most_output));
        self.fields.remove("max_completion_tokens");
        let body = Value::Object(self.fields).to_string().into();
        let likely_input = bytes.div_ceil(4).clamp(1, most_input.max(1));
        Ok(Checked { body, stream, wants_usage, most_input, likely_input, most_output })
    }

    fn exactly_one(&self, field: &'static str) -> Result<(), ApiError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if value.as_u64() == Some(1) => Ok(()),
            Some(_) => {
                Err(ApiError::field(field, format!("{field} must be 1: send several requests instead")))
            }
        }
    }

    fn flag(&self, field: &'static str) -> Result<bool, ApiError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(ApiError::field(field, format!("{field} must be true or false"))),
        }
    }

    /// The bound on generated tokens: the least of what the caller names, else the route's.
    fn max_tokens(&self, bound: u32) -> Result<u64, ApiError> {
        let mut least = u64::from(bound);
        for field in ["max_tokens", "max_completion_tokens"] {
            match self.fields.get(field) {
                None | Some(Value::Null) => {}
                Some(value) => match value.as_u64().filter(|n| (1..=u64::from(bound)).contains(n)) {
                    Some(tokens) => least = least.min(tokens),
                    None => {
                        let message =
                            format!("{field} must be a whole number from 1 to {bound}, this model's bound");
                        return Err(ApiError::field(field, message));
                    }
                },
            }
        }
        Ok(least)
    }

    /// Sets `include_usage`, which metering needs, and says whether the caller asked for it.
    fn stream_options(&mut self, stream: bool) -> Result<bool, ApiError> {
        const FIELD: &str = "stream_options";
        let asked = match self.fields.get(FIELD) {
            None | Some(Value::Null) => None,
            Some(Value::Object(options)) if stream => Some(options.get("include_usage").cloned()),
            Some(Value::Object(_)) => {
                return Err(ApiError::field(FIELD, "stream_options is for stream: true only: leave it out"));
            }
            Some(_) => return Err(ApiError::field(FIELD, "stream_options must be an object")),
        };
        let wants = match asked.flatten() {
            None | Some(Value::Null) => false,
            Some(Value::Bool(wants)) => wants,
            Some(_) => {
                return Err(ApiError::field(FIELD, "stream_options.include_usage must be true or false"));
            }
        };
        if stream {
            self.fields.insert(FIELD.to_owned(), json!({ "include_usage": true }));
        } else {
            self.fields.remove(FIELD);
        }
        Ok(wants)
    }

    /// Bytes of the prompt and number of messages.
    fn prompt(&self) -> Result<(u64, u64), ApiError> {
        let mut bytes = 0;
        let messages = match (self.endpoint, self.fields.get(self.endpoint.prompt_field())) {
            (Endpoint::Completions, Some(Value::String(prompt))) => {
                bytes += prompt.len() as u64;
                1
            }
            (Endpoint::Completions, _) => {
                return Err(ApiError::field(
                    "prompt",
                    "prompt must be one string: send several requests instead",
                ));
            }
            (Endpoint::Chat, Some(Value::Array(list))) if !list.is_empty() => {
                for message in list {
                    bytes += messages::bytes(message)?;
                }
                list.len() as u64
            }
            (Endpoint::Chat, _) => {
                return Err(ApiError::field("messages", "messages must be a list of at least one message"));
            }
        };
        // What a template may write into the prompt besides the messages.
        for field in ["tools", "functions", "response_format", "suffix", "documents", "chat_template_kwargs"]
        {
            bytes += self.fields.get(field).map_or(0, |value| value.to_string().len() as u64);
        }
        Ok((bytes, messages))
    }
}
