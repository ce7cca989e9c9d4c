//! The fields a request may have, and what may stand in each: those of OpenAI's API that reach the text, and the ways
//! to sample that common servers add. No other is passed on: servers have fields that name hosts to connect to, give
//! a request the first place in the queue, or bring a chat template of the caller's, past every bound checked here.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// What may stand in a field; `null` may in all.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Checked elsewhere.
    Elsewhere,
    Flag,
    Text,
    List,
    Object,
    /// A string or an object.
    Choice,
    /// A flag or a whole number up to this.
    FlagOrUpTo(i64),
    Number(f64, f64),
    Whole(i64, i64),
    Stops,
    Bias,
    Switches,
}

/// Stop strings, and bytes of one.
const MOST_STOPS: usize = 4;
const MOST_STOP_BYTES: usize = 256;
/// What a chat template may be told: others reach past it, into the server's own calls of it.
const SWITCHES: [&str; 2] = ["enable_thinking", "thinking"];
/// Tokens that a bias may name, and how strong it may be.
const MOST_BIASES: usize = 1024;
const MOST_BIAS: f64 = 100.0;

static FIELDS: [(&str, Kind); 43] = [
    ("model", Kind::Elsewhere),
    ("messages", Kind::Elsewhere),
    ("prompt", Kind::Elsewhere),
    ("max_tokens", Kind::Elsewhere),
    ("max_completion_tokens", Kind::Elsewhere),
    ("n", Kind::Elsewhere),
    ("best_of", Kind::Elsewhere),
    ("stream", Kind::Elsewhere),
    ("stream_options", Kind::Elsewhere),
    ("temperature", Kind::Number(0.0, 2.0)),
    ("top_p", Kind::Number(0.0, 1.0)),
    ("top_k", Kind::Whole(-1, 1_000_000)),
    ("min_p", Kind::Number(0.0, 1.0)),
    ("presence_penalty", Kind::Number(-2.0, 2.0)),
    ("frequency_penalty", Kind::Number(-2.0, 2.0)),
    ("repetition_penalty", Kind::Number(0.0, 10.0)),
    ("seed", Kind::Whole(i64::MIN, i64::MAX)),
    ("stop", Kind::Stops),
    ("stop_token_ids", Kind::List),
    ("min_tokens", Kind::Whole(0, u32::MAX as i64)),
    ("ignore_eos", Kind::Flag),
    ("skip_special_tokens", Kind::Flag),
    ("logit_bias", Kind::Bias),
    ("logprobs", Kind::FlagOrUpTo(20)),
    ("top_logprobs", Kind::Whole(0, 20)),
    ("echo", Kind::Flag),
    ("suffix", Kind::Text),
    ("tools", Kind::List),
    ("tool_choice", Kind::Choice),
    ("parallel_tool_calls", Kind::Flag),
    ("functions", Kind::List),
    ("function_call", Kind::Choice),
    ("response_format", Kind::Object),
    ("documents", Kind::List),
    ("chat_template_kwargs", Kind::Switches),
    ("reasoning_effort", Kind::Text),
    ("verbosity", Kind::Text),
    ("user", Kind::Text),
    ("safety_identifier", Kind::Text),
    ("prompt_cache_key", Kind::Text),
    ("service_tier", Kind::Text),
    ("metadata", Kind::Object),
    ("store", Kind::Flag),
];

/// Checks every field but those that are checked elsewhere; `other` is the prompt field of the other endpoint.
///
/// # Errors
/// [`ApiError::Field`] naming the field and what may stand there, [`ApiError::Unknown`].
pub fn check(fields: &Map<String, Value>, other: &str) -> Result<(), ApiError> {
    for (name, value) in fields {
        let known = FIELDS.iter().find(|field| field.0 == name.as_str() && field.0 != other);
        let Some(&(name, kind)) = known else { return Err(unknown(name)) };
        if let Some(wanted) = kind.refuses(value) {
            return Err(ApiError::field(name, format!("{name} must be {wanted}")));
        }
    }
    Ok(())
}

/// A name is said again only where it looks like one: anything else may be a key or a prompt in the wrong place.
fn unknown(name: &str) -> ApiError {
    let shown = (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    ApiError::Unknown(if shown { format!("`{name}`") } else { "one of them".to_owned() })
}

impl Kind {
    /// What must stand there, if this may not.
    fn refuses(self, value: &Value) -> Option<String> {
        let number = |low: f64, high: f64| value.as_f64().is_some_and(|n| (low..=high).contains(&n));
        let whole = |low: i64, high: i64| value.as_i64().is_some_and(|n| (low..=high).contains(&n));
        let (fits, wanted) = match self {
            _ if value.is_null() => return None,
            Self::Elsewhere => return None,
            Self::Flag => (value.is_boolean(), "true or false".to_owned()),
            Self::Text => (value.is_string(), "a string".to_owned()),
            Self::List => (value.is_array(), "a list".to_owned()),
            Self::Object => (value.is_object(), "an object".to_owned()),
            Self::Choice => (value.is_string() || value.is_object(), "a string or an object".to_owned()),
            Self::FlagOrUpTo(most) => (
                value.is_boolean() || whole(0, most),
                format!("true, false or a whole number from 0 to {most}"),
            ),
            Self::Number(low, high) => (number(low, high), format!("a number from {low} to {high}")),
            Self::Whole(low, high) => (whole(low, high), format!("a whole number from {low} to {high}")),
            Self::Stops => (
                stops(value),
                format!(
                    "a string, or a list of at most {MOST_STOPS}, each of at most {MOST_STOP_BYTES} bytes"
                ),
            ),
            Self::Bias => (
                biases(value),
                format!("an object of at most {MOST_BIASES} numbers from -{MOST_BIAS} to {MOST_BIAS}"),
            ),
            Self::Switches => {
                (switches(value), format!("an object of {}, true or false", SWITCHES.join(" or ")))
            }
        };
        (!fits).then_some(wanted)
    }
}

fn stops(value: &Value) -> bool {
    let one = |value: &Value| value.as_str().is_some_and(|stop| stop.len() <= MOST_STOP_BYTES);
    one(value) || value.as_array().is_some_and(|stops| stops.len() <= MOST_STOPS && stops.iter().all(one))
}

fn biases(value: &Value) -> bool {
    let one = |value: &Value| value.as_f64().is_some_and(|bias| bias.abs() <= MOST_BIAS);
    value.as_object().is_some_and(|biases| biases.len() <= MOST_BIASES && biases.values().all(one))
}

fn switches(value: &Value) -> bool {
    let one = |(name, value): (&String, &Value)| SWITCHES.contains(&name.as_str()) && value.is_boolean();
    value.as_object().is_some_and(|switches| switches.iter().all(one))
}
