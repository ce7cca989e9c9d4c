//! Errors in OpenAI's shape: `{"error": {message, type, param, code}}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// OpenAI's `code`.
    pub code: Option<&'static str>,
    /// The field at fault.
    pub param: Option<&'static str>,
    /// One line: what, the bound, the way out.
    pub message: String,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, param: None, message: message.into(), retry_after: None }
    }

    /// 400 for a field.
    pub fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        let base = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param: Some(param), code: Some("invalid_value"), ..base }
    }

    /// 400 for a body that is no such request.
    pub fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 413.
    pub fn too_large(most: usize) -> Self {
        let message = format!("the request body is larger than {most} bytes: shorten the prompt");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    /// 400 for a prompt longer than the model, or this Deployment, reads.
    pub fn context(message: impl Into<String>, param: &'static str) -> Self {
        let base = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param: Some(param), code: Some("context_length_exceeded"), ..base }
    }

    /// 404 for another model's name.
    pub fn model(asked: &str, served: &str) -> Self {
        let asked: String = asked.chars().filter(|c| !c.is_control()).take(80).collect();
        let message = format!("the model `{asked}` does not exist here; this server has `{served}`");
        let base = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        Self { param: Some("model"), code: Some("model_not_found"), ..base }
    }

    /// 429 with `Retry-After`.
    pub fn busy(retry_after: u32) -> Self {
        let message = format!("all places in the queue are taken: try again in {retry_after} s");
        let base = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("queue_full"), retry_after: Some(retry_after), ..base }
    }

    /// 503 while loading or draining.
    pub fn unavailable(why: &'static str) -> Self {
        let base = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", why);
        Self { code: Some("unavailable"), retry_after: Some(2), ..base }
    }

    /// 500.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the answer could not be generated")
    }

    /// The body.
    pub fn to_json(&self) -> serde_json::Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.to_json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
