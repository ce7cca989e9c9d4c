//! Messages of a chat: who speaks, and text alone.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// Who may speak.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// Bytes that a message brings into the prompt at most.
///
/// # Errors
/// [`ApiError::Field`] for what is no message of text.
pub fn bytes(message: &Value) -> Result<u64, ApiError> {
    let Value::Object(fields) = message else { return Err(shape()) };
    let role = match fields.get("role") {
        Some(Value::String(role)) => role.as_str(),
        _ => return Err(shape()),
    };
    if !ROLES.contains(&role) {
        let text = format!("messages: a role must be one of {}", ROLES.join(", "));
        return Err(ApiError::field("messages", text));
    }
    if fields.get("name").is_some_and(|name| !name.is_string() && !name.is_null()) {
        return Err(ApiError::field("messages", "messages: a name must be a string"));
    }
    match fields.get("content") {
        Some(Value::String(_)) => {}
        // An assistant may have called tools instead.
        None | Some(Value::Null) if role == "assistant" && calls(fields) => {}
        Some(Value::Array(parts)) if !parts.is_empty() && parts.iter().all(is_text) => {}
        _ => return Err(shape()),
    }
    // All of the message: names and tool calls reach the prompt too.
    Ok(fields.values().map(text_bytes).sum())
}

fn shape() -> ApiError {
    let text =
        "messages must be objects with a string `role` and text `content`: images and audio are not taken";
    ApiError::field("messages", text)
}

fn calls(fields: &Map<String, Value>) -> bool {
    let some = |field| fields.get(field).is_some_and(|value: &Value| value.is_array() || value.is_object());
    some("tool_calls") || some("function_call")
}

fn is_text(part: &Value) -> bool {
    part.get("type").and_then(Value::as_str) == Some("text") && part.get("text").is_some_and(Value::is_string)
}

/// Bytes of all texts in a value; what is not text counts as it is written.
fn text_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() as u64 + text_bytes(value)).sum()
        }
        other => other.to_string().len() as u64,
    }
}
