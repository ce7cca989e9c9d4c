//! RunPod, REST v2: `https://api.runpod.io/v2`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::call::{Answer, Call, Dialect};
use crate::vendor::{Vendor, Verb};
use crate::world::{Instance, Refusal, World};

mod billing;
mod catalog;
mod create;
mod graphql;
mod pods;
#[cfg(test)]
mod tests;

/// RunPod.
#[derive(Clone, Copy, Debug)]
pub struct RunPod;

impl Dialect for RunPod {
    fn version(&self) -> &'static [&'static str] {
        &["v2"]
    }

    fn verb(&self, method: &Method, path: &[&str], body: &[u8]) -> Verb {
        match (method.as_str(), path) {
            ("GET", ["catalog", "gpus"]) => Verb::Offers,
            ("POST", ["pods"]) => Verb::Create,
            ("GET", ["pods"]) => Verb::List,
            ("GET", ["pods", _]) => Verb::Get,
            ("DELETE", ["pods", _]) => Verb::Delete,
            ("POST", ["pods", _, "action"]) => Verb::Update,
            ("GET", ["billing", ..]) => Verb::Billing,
            ("POST", ["graphql"]) if body.windows(8).any(|word| word == b"mutation") => Verb::Create,
            ("POST", ["graphql"]) => Verb::Offers,
            _ => Verb::Other,
        }
    }

    fn unauthorized(&self, _: bool) -> Answer {
        problem(StatusCode::UNAUTHORIZED, "the API key is missing or not valid")
    }

    fn throttled(&self, wait: Duration) -> Answer {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        problem(StatusCode::TOO_MANY_REQUESTS, "too many requests")
            .with("retry-after", seconds.to_string())
            .with("ratelimit-limit", "10")
            .with("ratelimit-remaining", "0")
            .with("ratelimit-reset", seconds.to_string())
    }

    fn broken(&self) -> Answer {
        problem(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong")
    }

    fn answer(&self, world: &mut World, call: &Call) -> Answer {
        match (call.method.as_str(), call.path().as_slice()) {
            ("GET", ["catalog", "gpus"]) => catalog::gpus(world, call),
            ("POST", ["pods"]) => create::create(world, call),
            ("GET", ["pods"]) => pods::list(world, call),
            ("GET", ["pods", id]) => pods::get(world, call, id),
            ("DELETE", ["pods", id]) => delete(world, call, id),
            ("POST", ["pods", id, "action"]) => action(world, call, id),
            ("GET", ["pods", id, "logs"]) => pods::logs(world, call, id),
            ("POST", ["graphql"]) => graphql::answer(world, call),
            ("GET", ["billing", "pods"]) => billing::pods(world, call),
            _ => problem(StatusCode::NOT_FOUND, "no such resource"),
        }
    }
}

fn delete(world: &mut World, call: &Call, id: &str) -> Answer {
    let Some(key) = find(world, call, id).map(|pod| pod.key) else { return no_such_pod(id) };
    match world.delete(key, call.drawn) {
        Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
        Err(_) => RunPod.broken(),
    }
}

fn action(world: &mut World, call: &Call, id: &str) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        action: String,
    }
    let Some(key) = find(world, call, id).map(|pod| pod.key) else { return no_such_pod(id) };
    let Ok(Body { action }) = call.json() else { return invalid("action is needed") };
    let done = match action.as_str() {
        "start" => world.start(key),
        "stop" => world.stop(key),
        "restart" => world.stop(key).and_then(|()| world.start(key)),
        "terminate" => world.delete(key, call.drawn),
        _ => return invalid("action is one of start, stop, restart, terminate"),
    };
    match (done, world.instance(key)) {
        (Ok(()), Some(pod)) => Answer::ok(&pods::pod(&world.market, pod, world.now())),
        (Err(Refusal::State), _) => problem(StatusCode::CONFLICT, "the pod is in no state for this action"),
        (Err(Refusal::Room), _) => no_capacity(),
        _ => RunPod.broken(),
    }
}

/// The pod of this id, shown by reads or not.
fn find<'a>(world: &'a World, call: &Call, id: &str) -> Option<&'a Instance> {
    world.find(Vendor::RunPod, call.account, id)
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    Answer { media: "application/problem+json", ..Answer::json(status, &body) }
}

fn invalid(detail: &str) -> Answer {
    problem(StatusCode::BAD_REQUEST, detail)
}

/// A bad rule has the same status.
fn no_capacity() -> Answer {
    invalid(
        "There are no longer any instances available with the requested specifications. Please refresh and try again.",
    )
}

fn no_such_pod(id: &str) -> Answer {
    problem(StatusCode::NOT_FOUND, &format!("pod {id} not found"))
}
