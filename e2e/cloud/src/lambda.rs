//! Lambda Cloud: `https://cloud.lambda.ai/api/v1`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use crate::call::{Answer, Call, Dialect, bearer};
use crate::vendor::Verb;
use crate::world::World;

mod instances;
mod launch;
#[cfg(test)]
mod tests;

/// Lambda Cloud.
#[derive(Clone, Copy, Debug)]
pub struct Lambda;

impl Dialect for Lambda {
    fn version(&self) -> &'static [&'static str] {
        &["api", "v1"]
    }

    fn verb(&self, method: &Method, path: &[&str], _: &[u8]) -> Verb {
        match (method.as_str(), path) {
            ("GET", ["instance-types"]) => Verb::Offers,
            ("POST", ["instance-operations", "launch"]) => Verb::Create,
            ("POST", ["instance-operations", "terminate"]) => Verb::Delete,
            ("POST", ["instances", _]) => Verb::Update,
            ("GET", ["instances"]) => Verb::List,
            ("GET", ["instances", _]) => Verb::Get,
            _ => Verb::Other,
        }
    }

    /// Bearer, or Basic with the key for a user.
    fn key(&self, headers: &HeaderMap) -> Option<String> {
        bearer(headers).or_else(|| {
            let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            let text = STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok()?;
            String::from_utf8(text).ok()?.split(':').next().map(str::to_owned)
        })
    }

    fn unauthorized(&self, _: bool) -> Answer {
        let message = "API key was invalid, expired, or deleted.";
        error(StatusCode::UNAUTHORIZED, "global/invalid-api-key", message)
    }

    fn throttled(&self, _: Duration) -> Answer {
        error(StatusCode::TOO_MANY_REQUESTS, "global/too-many-requests", "Too many requests.")
    }

    fn broken(&self) -> Answer {
        error(StatusCode::INTERNAL_SERVER_ERROR, "global/internal-error", "An unexpected error occurred.")
    }

    fn answer(&self, world: &mut World, call: &Call) -> Answer {
        match (call.method.as_str(), call.path().as_slice()) {
            ("GET", ["instance-types"]) => instances::types(world, call),
            ("POST", ["instance-operations", "launch"]) => launch::launch(world, call),
            ("POST", ["instance-operations", "terminate"]) => launch::terminate(world, call),
            ("GET", ["instances"]) => instances::list(world, call),
            ("GET", ["instances", id]) => instances::get(world, call, id),
            ("POST", ["instances", id]) => launch::rename(world, call, id),
            ("GET", ["ssh-keys"]) => launch::ssh_keys(world, call),
            ("POST", ["ssh-keys"]) => launch::add_ssh_key(world, call),
            _ => no_such("endpoint"),
        }
    }
}

fn data(value: impl Serialize) -> Answer {
    Answer::ok(&crate::wire::Object::new().with("data", value))
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let suggestion = match code {
        "global/invalid-api-key" => Some("Check your API key or create a new one, then try again."),
        "instance-operations/launch/insufficient-capacity" => {
            Some("Choose an instance type with more availability, or try again later.")
        }
        _ => None,
    };
    Answer::json(status, &json!({ "error": { "code": code, "message": message, "suggestion": suggestion } }))
}

fn invalid(message: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, "global/invalid-parameters", message)
}

fn no_such(what: &str) -> Answer {
    let message = format!("Specified {what} does not exist.");
    error(StatusCode::NOT_FOUND, "global/object-does-not-exist", &message)
}
