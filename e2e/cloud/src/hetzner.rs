//! Hetzner Cloud: `https://api.hetzner.cloud/v1`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::call::{Answer, Call, Dialect};
use crate::vendor::{Vendor, Verb};
use crate::wire::Object;
use crate::world::{Instance, World};

mod catalog;
mod create;
mod selector;
mod servers;
#[cfg(test)]
mod tests;

/// Hetzner Cloud.
#[derive(Clone, Copy, Debug)]
pub struct Hetzner;

impl Dialect for Hetzner {
    fn version(&self) -> &'static [&'static str] {
        &["v1"]
    }

    fn verb(&self, method: &Method, path: &[&str], _: &[u8]) -> Verb {
        match (method.as_str(), path) {
            ("GET", ["server_types", ..]) => Verb::Offers,
            ("POST", ["servers"]) => Verb::Create,
            ("GET", ["servers"]) => Verb::List,
            ("GET", ["servers", _]) => Verb::Get,
            ("DELETE", ["servers", _]) => Verb::Delete,
            ("PUT", ["servers", _]) | ("POST", ["servers", _, "actions", _]) => Verb::Update,
            _ => Verb::Other,
        }
    }

    fn unauthorized(&self, _: bool) -> Answer {
        error(StatusCode::UNAUTHORIZED, "unauthorized", "unable to authenticate")
    }

    fn throttled(&self, wait: Duration) -> Answer {
        error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "limit of 3600 requests per hour reached")
            .with("ratelimit-limit", "3600")
            .with("ratelimit-remaining", "0")
            .with("ratelimit-reset", wait.as_secs().max(1).to_string())
    }

    fn broken(&self) -> Answer {
        error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "an internal error occurred")
    }

    fn answer(&self, world: &mut World, call: &Call) -> Answer {
        match (call.method.as_str(), call.path().as_slice()) {
            ("GET", ["server_types"]) => catalog::server_types(world, call),
            ("GET", ["locations"]) => catalog::locations(world, call),
            ("GET", ["datacenters"]) => catalog::data_centers(world, call),
            ("GET", ["ssh_keys"]) => catalog::ssh_keys(world, call),
            ("POST", ["servers"]) => create::create(world, call),
            ("GET", ["servers"]) => servers::list(world, call),
            ("GET", ["servers", id]) => servers::get(world, call, id),
            ("PUT", ["servers", id]) => servers::update(world, call, id),
            ("DELETE", ["servers", id]) => servers::delete(world, call, id),
            ("POST", ["servers", id, "actions", what]) => servers::act(world, call, id, what),
            ("GET", ["actions", id]) => servers::action(world, call, id),
            _ => not_found("endpoint"),
        }
    }
}

/// The server of this id, shown by reads or not.
fn find<'a>(world: &'a World, call: &Call, id: &str) -> Option<&'a Instance> {
    world.find(Vendor::Hetzner, call.account, id)
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": code, "message": message, "details": null } }))
}

fn invalid(message: &str) -> Answer {
    error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", message)
}

fn not_found(what: &str) -> Answer {
    error(StatusCode::NOT_FOUND, "not_found", &format!("{what} not found"))
}

/// Which rows of a list are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// 25 rows by default, 50 at most.
    fn of(call: &Call) -> Result<Self, Answer> {
        let read = |name, default| match call.query(name).map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(number)) if number > 0 => Ok(number),
            Some(_) => Err(invalid(&format!("invalid input in field '{name}'"))),
        };
        Ok(Self { number: read("page", 1)?, size: read("per_page", 25)?.min(50) })
    }

    const fn skipped(self) -> usize {
        (self.number - 1).saturating_mul(self.size)
    }

    fn meta(self, total: usize) -> Value {
        let last = total.div_ceil(self.size).max(1);
        json!({ "pagination": {
            "page": self.number,
            "per_page": self.size,
            "previous_page": (self.number > 1).then(|| self.number - 1),
            "next_page": (self.number < last).then(|| self.number + 1),
            "last_page": last,
            "total_entries": total,
        } })
    }

    /// A page of all these rows.
    fn answer(self, name: &'static str, rows: Vec<Object>) -> Answer {
        let total = rows.len();
        let rows: Vec<Object> = rows.into_iter().skip(self.skipped()).take(self.size).collect();
        Answer::ok(&Object::new().with(name, rows).with("meta", self.meta(total)))
    }
}
