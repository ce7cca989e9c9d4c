//! Requests as clients write them, checked into one form. What is not supported and would change the answer is
//! refused by name; what would not (such as `user`) is ignored.

use cooperator_models::chat::Message;
use cooperator_models::sampling::SamplingOptions;
use serde::Deserialize;
use serde_json::Value;

use super::ApiError;

/// Stop strings in a request, as OpenAI bounds them.
const MAX_STOPS: usize = 4;
/// Bytes of one stop string.
const MAX_STOP_BYTES: usize = 256;
/// Tokens of a completion that gives no bound, as OpenAI has it.
const DEFAULT_COMPLETION_TOKENS: u32 = 16;

/// What both endpoints share.
#[derive(Clone, Debug, Deserialize)]
struct Common {
    model: String,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    max_tokens: Option<i64>,
    #[serde(default)]
    stop: Option<OneOrMany>,
    #[serde(default)]
    n: Option<i64>,
    #[serde(default)]
    presence_penalty: Option<f64>,
    #[serde(default)]
    frequency_penalty: Option<f64>,
    #[serde(default)]
    logit_bias: Option<Value>,
    #[serde(default)]
    logprobs: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Debug, Deserialize)]
struct Chat {
    #[serde(flatten)]
    common: Common,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    max_completion_tokens: Option<i64>,
    #[serde(default)]
    tools: Option<Value>,
    #[serde(default)]
    functions: Option<Value>,
    #[serde(default)]
    response_format: Option<Value>,
    #[serde(default)]
    top_logprobs: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct ChatMessage {
    role: String,
    content: Content,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Completion {
    #[serde(flatten)]
    common: Common,
    prompt: PromptField,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    best_of: Option<i64>,
    #[serde(default)]
    suffix: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PromptField {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

/// What to go on from.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Messages for the chat template.
    Chat(Vec<Message>),
    /// Text.
    Text(String),
    /// Tokens.
    Tokens(Vec<u32>),
}

/// A request in the one form that is worked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Which model.
    pub model: String,
    /// What to go on from.
    pub prompt: Prompt,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the stream ends with the usage.
    pub include_usage: bool,
    /// Most tokens asked for; none: as many as may be.
    pub max_tokens: Option<u32>,
    /// How tokens are chosen.
    pub sampling: SamplingOptions,
    /// Stop strings.
    pub stops: Vec<String>,
}

/// Reads the body of `/v1/chat/completions`. `entropy` seeds a request that gives no seed.
///
/// # Errors
/// [`ApiError`], 400.
pub fn chat(body: &[u8], entropy: u64) -> Result<Checked, ApiError> {
    let Chat { common, messages, max_completion_tokens, tools, functions, response_format, top_logprobs } =
        parse(body)?;
    for (field, value) in [("tools", &tools), ("functions", &functions), ("top_logprobs", &top_logprobs)] {
        refuse_set(field, value)?;
    }
    if response_format.is_some_and(|format| format["type"] != "text") {
        return Err(unsupported("response_format", "only type `text`"));
    }
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages must hold at least one message"));
    }
    let messages = messages.into_iter().map(message).collect::<Result<_, _>>()?;
    let max_tokens = max_completion_tokens.or(common.max_tokens);
    let field = if max_completion_tokens.is_some() { "max_completion_tokens" } else { "max_tokens" };
    let max_tokens = max_tokens.map(|tokens| token_bound(field, tokens)).transpose()?;
    common.check(Prompt::Chat(messages), max_tokens, entropy)
}

/// Reads the body of `/v1/completions`.
///
/// # Errors
/// [`ApiError`], 400.
pub fn completion(body: &[u8], entropy: u64) -> Result<Checked, ApiError> {
    let Completion { common, prompt, echo, best_of, suffix } = parse(body)?;
    if echo == Some(true) {
        return Err(unsupported("echo", "only false"));
    }
    if best_of.is_some_and(|best_of| best_of != 1) {
        return Err(unsupported("best_of", "only 1"));
    }
    refuse_set("suffix", &suffix)?;
    let one = "one prompt a request";
    let prompt = match prompt {
        PromptField::Text(text) => Prompt::Text(text),
        PromptField::Texts(texts) => match <[String; 1]>::try_from(texts) {
            Ok([text]) => Prompt::Text(text),
            Err(_) => return Err(unsupported("prompt", one)),
        },
        PromptField::Tokens(tokens) => Prompt::Tokens(tokens),
        PromptField::ManyTokens(many) => match <[Vec<u32>; 1]>::try_from(many) {
            Ok([tokens]) => Prompt::Tokens(tokens),
            Err(_) => return Err(unsupported("prompt", one)),
        },
    };
    let max_tokens = match common.max_tokens {
        Some(tokens) => token_bound("max_tokens", tokens)?,
        None => DEFAULT_COMPLETION_TOKENS,
    };
    common.check(prompt, Some(max_tokens), entropy)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let text: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
        ApiError::body(format!("the body is not a request of this endpoint: {text}"))
    })
}

fn message(message: ChatMessage) -> Result<Message, ApiError> {
    let content = match message.content {
        Content::Text(text) => text,
        Content::Parts(parts) => {
            let text = |part: Part| match part.text {
                Some(text) if part.kind == "text" => Ok(text),
                _ => Err(unsupported("messages", "only content parts of type `text`")),
            };
            parts.into_iter().map(text).collect::<Result<Vec<_>, _>>()?.concat()
        }
    };
    Ok(Message { role: message.role, content })
}

fn token_bound(field: &'static str, tokens: i64) -> Result<u32, ApiError> {
    let bound = u32::try_from(tokens).ok().filter(|tokens| *tokens >= 1);
    bound.ok_or_else(|| ApiError::invalid(field, format!("{field} is {tokens}; it must be at least 1")))
}

fn unsupported(field: &'static str, possible: &str) -> ApiError {
    ApiError::invalid(field, format!("{field}: {possible} is supported here"))
}

/// Refuses a field that asks for something; `null`, `false`, `0` and empty ones do not.
fn refuse_set(field: &'static str, value: &Option<Value>) -> Result<(), ApiError> {
    let asks = match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(values)) => !values.is_empty(),
        Some(Value::Object(values)) => !values.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Bool(true)) => true,
    };
    if asks {
        Err(ApiError::invalid(field, format!("{field} is not supported here: leave it out")))
    } else {
        Ok(())
    }
}

fn within(field: &'static str, value: Option<f64>, most: f64) -> Result<f32, ApiError> {
    let value = value.unwrap_or(1.0);
    if (0.0..=most).contains(&value) {
        return Ok(value as f32);
    }
    Err(ApiError::invalid(field, format!("{field} is {value}; it must be between 0 and {most}")))
}

impl Common {
    fn check(self, prompt: Prompt, max_tokens: Option<u32>, entropy: u64) -> Result<Checked, ApiError> {
        if self.n.is_some_and(|n| n != 1) {
            let n = self.n.unwrap_or_default();
            return Err(ApiError::invalid(
                "n",
                format!("n is {n}; only 1 is supported: send several requests"),
            ));
        }
        for (field, penalty) in
            [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            if penalty.is_some_and(|penalty| penalty != 0.0) {
                return Err(unsupported(field, "only 0"));
            }
        }
        refuse_set("logit_bias", &self.logit_bias)?;
        refuse_set("logprobs", &self.logprobs)?;
        let stops = match self.stop {
            None => Vec::new(),
            Some(OneOrMany::One(stop)) => vec![stop],
            Some(OneOrMany::Many(stops)) => stops,
        };
        if stops.len() > MAX_STOPS || stops.iter().any(|stop| stop.len() > MAX_STOP_BYTES) {
            let bound = format!("stop holds at most {MAX_STOPS} strings of {MAX_STOP_BYTES} bytes");
            return Err(ApiError::invalid("stop", bound));
        }
        Ok(Checked {
            model: self.model,
            prompt,
            stream: self.stream.unwrap_or(false),
            include_usage: self.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            max_tokens,
            sampling: SamplingOptions {
                temperature: within("temperature", self.temperature, 2.0)?,
                top_p: within("top_p", self.top_p, 1.0)?,
                seed: self.seed.map_or(entropy, i64::cast_unsigned),
            },
            stops,
        })
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
