//! What a caller is told when a call is refused: one line in the shape of OpenAI's errors. No answer holds a key, a
//! prompt or an address inside the cluster, nor what was sent where a name must stand: a key lands there by mistake.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No key, or one that is wrong, revoked, expired or another Collective's: never said which.
    #[error("no valid API key: send a key of this Collective as `Authorization: Bearer coop_...`")]
    Unauthorized,
    /// No such model, or not for this key: never said which.
    #[error("the model does not exist or the key does not open it: GET /v1/models lists those it opens")]
    Model,
    /// No such path.
    #[error("no such path: POST /v1/chat/completions or /v1/completions, GET /v1/models")]
    Path,
    /// Wrong method.
    #[error("method not allowed here: use {0}")]
    Method(&'static str),
    /// A header that says two things, or none.
    #[error("{0}")]
    Header(&'static str),
    /// A body that is not said to be JSON.
    #[error("body must be plain JSON: send it with Content-Type application/json and no Content-Encoding")]
    MediaType,
    /// A field that breaks a rule.
    #[error("{message}")]
    Field {
        /// Which field.
        param: &'static str,
        /// What, bound, way out.
        message: String,
        /// OpenAI's code, where it has one.
        code: Option<&'static str>,
    },
    /// A field that is passed to no server.
    #[error("fields that this API does not have are not passed on: leave {0} out")]
    Unknown(String),
    /// A body that is no JSON object.
    #[error("body is not a JSON object ({0}): send one with Content-Type application/json")]
    Json(String),
    /// A body above the bound.
    #[error("body is larger than {0} bytes: shorten the prompt")]
    TooLarge(usize),
    /// A body that did not arrive in time.
    #[error("body did not arrive within {0} s: send it at once")]
    Slow(u64),
    /// A bound a minute.
    #[error("more than {bound} {what} a minute: wait {retry_after} s")]
    RateLimited {
        /// `requests` or `tokens`.
        what: &'static str,
        /// The bound.
        bound: u32,
        /// Whole seconds, at least 1.
        retry_after: u64,
    },
    /// Prepaid money does not cover the worst case of this request.
    #[error(
        "the key's prepaid budget does not cover this request (it may cost up to {0}): lower max_tokens or raise spec.budget of the ApiKey"
    )]
    Quota(String),
    /// The server could not be reached or failed.
    #[error("the model's server did not answer: try again")]
    Upstream,
    /// The server's own checks refused the request, such as its count of prompt tokens.
    #[error("{message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its text, one line of bounded length.
        message: String,
        /// Its code, where it has one.
        code: Option<String>,
    },
    /// The server is busy; its own wait is passed on.
    #[error("the model's server is busy: wait {0} s")]
    Busy(u64),
    /// The gateway cannot take work now.
    #[error("the gateway cannot take this now ({0}): try again")]
    Unavailable(&'static str),
}

impl ApiError {
    /// A field that breaks a rule.
    pub fn field(param: &'static str, message: impl Into<String>) -> Self {
        Self::Field { param, message: message.into(), code: None }
    }

    /// HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Model | Self::Path => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Field { .. } | Self::Unknown(_) | Self::Json(_) | Self::Header(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Refused { status, .. } => *status,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited { .. } | Self::Quota(_) | Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limit_error",
            Self::Quota(_) => "insufficient_quota",
            Self::Upstream | Self::Busy(_) | Self::Unavailable(_) => "server_error",
            _ => "invalid_request_error",
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Unauthorized => Some("invalid_api_key"),
            Self::Model => Some("model_not_found"),
            Self::RateLimited { .. } => Some("rate_limit_exceeded"),
            Self::Quota(_) => Some("insufficient_quota"),
            Self::Upstream => Some("upstream_unavailable"),
            Self::Busy(_) => Some("upstream_busy"),
            Self::Unavailable(_) => Some("gateway_unavailable"),
            Self::Field { code, .. } => *code,
            Self::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    const fn param(&self) -> Option<&'static str> {
        match self {
            Self::Field { param, .. } => Some(param),
            Self::Model => Some("model"),
            _ => None,
        }
    }

    /// Whole seconds after which another try makes sense.
    const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Busy(retry_after) => Some(*retry_after),
            Self::Unavailable(_) => Some(5),
            _ => None,
        }
    }

    /// `{"error":{"message","type","param","code"}}`.
    pub fn body(&self) -> Bytes {
        let error = serde_json::json!({
            "message": self.to_string(), "type": self.kind(), "param": self.param(), "code": self.code(),
        });
        serde_json::json!({ "error": error }).to_string().into()
    }

    /// The whole answer.
    pub fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthorized) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
