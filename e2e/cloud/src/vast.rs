//! Vast.ai: `https://console.vast.ai`.

use std::time::Duration;

use cooperator_core::digest::Digest;
use http::{Method, StatusCode};
use serde_json::json;

use crate::call::{Answer, Call, Dialect};
use crate::vendor::{Vendor, Verb};
use crate::world::{Instance, Refusal, World};

mod charges;
mod create;
mod filter;
mod instances;
mod offers;
#[cfg(test)]
mod tests;

/// Vast.ai.
#[derive(Clone, Copy, Debug)]
pub struct Vast;

impl Dialect for Vast {
    fn version(&self) -> &'static [&'static str] {
        &[]
    }

    fn verb(&self, method: &Method, path: &[&str], _: &[u8]) -> Verb {
        match (method.as_str(), path) {
            ("POST" | "PUT", ["api", "v0", "bundles"]) => Verb::Offers,
            ("PUT", ["api", "v0", "asks", _]) => Verb::Create,
            ("GET", ["api", "v0" | "v1", "instances"]) => Verb::List,
            ("GET", ["api", "v0", "instances", _]) => Verb::Get,
            ("DELETE", ["api", "v0", "instances", _]) => Verb::Delete,
            ("PUT", ["api", "v0", "instances", "bid_price", _]) => Verb::Bid,
            ("PUT", ["api", "v0", "instances", _]) => Verb::Update,
            ("GET", ["api", "v0", "charges"]) => Verb::Billing,
            _ => Verb::Other,
        }
    }

    fn unauthorized(&self, is_missing: bool) -> Answer {
        if is_missing {
            return refuse(StatusCode::UNAUTHORIZED, "auth_error", "This action requires login");
        }
        refuse(StatusCode::NOT_FOUND, "auth_error", "Invalid user key")
    }

    fn signed(&self, world: &World, path: &[&str]) -> Option<usize> {
        let ["logs", id, shown] = path else { return None };
        let account = world.any(Vendor::Vast, id)?.order.account;
        (signature(world, account, id) == *shown).then_some(account)
    }

    /// Plain text, and no word on how long to wait.
    fn throttled(&self, _: Duration) -> Answer {
        Answer::text(StatusCode::TOO_MANY_REQUESTS, "text/plain", "API requests too frequent")
    }

    fn broken(&self) -> Answer {
        Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "text/html", "<h1>500 Internal Server Error</h1>")
    }

    fn answer(&self, world: &mut World, call: &Call) -> Answer {
        match (call.method.as_str(), call.path().as_slice()) {
            ("POST" | "PUT", ["api", "v0", "bundles"]) => offers::search(world, call),
            ("PUT", ["api", "v0", "asks", ask]) => create::create(world, call, ask),
            ("GET", ["api", "v0", "instances"]) => {
                refuse(StatusCode::GONE, "gone", "This endpoint has been removed. Use /api/v1/instances/")
            }
            ("GET", ["api", "v1", "instances"]) => instances::list(world, call),
            ("GET", ["api", "v0", "instances", id]) => instances::get(world, call, id),
            ("DELETE", ["api", "v0", "instances", id]) => delete(world, call, id),
            ("PUT", ["api", "v0", "instances", "bid_price", id]) => instances::bid(world, call, id),
            ("PUT", ["api", "v0", "instances", "request_logs", id]) => match find(world, call, id) {
                Some(_) => {
                    Answer::ok(&json!({ "success": true, "result_url": logs_url(world, call.account, id) }))
                }
                None => no_such_instance(id),
            },
            ("GET", ["logs", id, _]) => logs(world, call, id),
            ("PUT", ["api", "v0", "instances", id]) => instances::update(world, call, id),
            ("GET", ["api", "v0", "charges"]) => charges::list(world, call),
            ("GET", ["api", "v0", "users", "current"]) => charges::account(world, call),
            _ => refuse(StatusCode::NOT_FOUND, "not_found", "no such endpoint"),
        }
    }
}

fn delete(world: &mut World, call: &Call, id: &str) -> Answer {
    let Some(key) = find(world, call, id).map(|instance| instance.key) else { return no_such_instance(id) };
    match world.delete(key, call.drawn) {
        Ok(()) => Answer::ok(&json!({ "success": true })),
        Err(Refusal::Broken | Refusal::State | Refusal::Room) => Vast.broken(),
    }
}

/// Where the logs lie, for whoever has the link: below this server, whose address the vendor's dialect does not know.
fn logs_url(world: &World, account: usize, id: &str) -> String {
    format!("/vast/logs/{id}/{}", signature(world, account, id))
}

fn signature(world: &World, account: usize, id: &str) -> String {
    let key = world.accounts.get(account).map_or("", |account| &account.key);
    Digest::of(format!("{key} {id}").as_bytes()).hex()
}

fn logs(world: &World, call: &Call, id: &str) -> Answer {
    match find(world, call, id) {
        Some(instance) => {
            let printed = call.backend.logs(instance.key);
            Answer::text(
                StatusCode::OK,
                "text/plain",
                printed.unwrap_or_else(|| format!("{}\n", instance.said)),
            )
        }
        None => no_such_instance(id),
    }
}

/// The instance of this id, shown by reads or not.
fn find<'a>(world: &'a World, call: &Call, id: &str) -> Option<&'a Instance> {
    world.find(Vendor::Vast, call.account, id)
}

fn refuse(status: StatusCode, error: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "success": false, "error": error, "msg": message }))
}

fn invalid(message: &str) -> Answer {
    refuse(StatusCode::BAD_REQUEST, "invalid_args", message)
}

fn no_such_instance(id: &str) -> Answer {
    refuse(StatusCode::NOT_FOUND, "no_such_instance", &format!("Instance {id} not found"))
}
