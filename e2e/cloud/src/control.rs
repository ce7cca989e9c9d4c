//! The control API, in JSON: what a test in another process does with the world.
//!
//! - `GET /control/machines`, `?alive=true`: the truth about all machines; `GET /control/machines/{vendor}/{id}`: about one
//! - `POST /control/machines/{vendor}/{id}/{preempt|disconnect|fail|exit|transfer}`: what befalls it
//! - `GET /control/bill`: what each vendor has cost, exactly
//! - `GET|PUT|POST /control/faults`: the switches; all anew; one more
//! - `GET /control/clock`, `POST /control/clock` with `{"advanceSeconds": n}`
//! - `GET|PUT /control/market`: what is for rent; all anew, before anything is let
//! - `GET /control/calls`: how often each vendor was asked for what

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::{SignedDuration, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Hit, Rule};
use crate::market::Market;
use crate::server::{Shared, Time};
use crate::vendor::{Vendor, Verb};
use crate::world::{Instance, Machine, World};

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/control/machines", get(machines))
        .route("/control/machines/{vendor}/{id}", get(machine))
        .route("/control/machines/{vendor}/{id}/{what}", post(befall))
        .route("/control/bill", get(bill))
        .route("/control/faults", get(faults).put(set_faults).post(add_fault))
        .route("/control/clock", get(clock).post(advance))
        .route("/control/market", get(market).put(set_market))
        .route("/control/calls", get(calls))
        .with_state(shared)
}

/// An answer, or what is wrong.
fn answer<T: Serialize>(result: Result<T, MoneyError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Debug, Default, Deserialize)]
struct Which {
    #[serde(default)]
    alive: bool,
    #[serde(default)]
    vendor: Option<Vendor>,
}

async fn machines(State(shared): State<Arc<Shared>>, Query(which): Query<Which>) -> Response {
    answer(shared.with(|world| {
        let all = world.instances().iter();
        let wanted = all.filter(|one| {
            (!which.alive || one.is_alive()) && which.vendor.is_none_or(|vendor| vendor == one.order.vendor)
        });
        wanted.map(|one| Machine::of(one, world.now())).collect::<Result<Vec<_>, _>>()
    }))
}

async fn machine(State(shared): State<Arc<Shared>>, Path((vendor, id)): Path<(Vendor, String)>) -> Response {
    shared.with(|world| match world.any(vendor, &id) {
        Some(one) => answer(Machine::of(one, world.now())),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Befall {
    notice_seconds: u64,
    message: Option<String>,
    code: i32,
    up_bytes: u64,
    down_bytes: u64,
}

async fn befall(
    State(shared): State<Arc<Shared>>,
    Path((vendor, id, what)): Path<(Vendor, String, String)>,
    body: Option<Json<Befall>>,
) -> Response {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let happen = |world: &mut World, key| match what.as_str() {
        "preempt" if body.notice_seconds > 0 => world.notify(key, body.notice_seconds),
        "preempt" => world.preempt(key),
        "disconnect" => world.disconnect(key),
        "fail" => world.fail(key, body.message.as_deref().unwrap_or("failed")),
        "exit" => world.exit(key, &format!("exited with code {}", body.code), false),
        _ => world.transfer(key, body.up_bytes, body.down_bytes),
    };
    if !["preempt", "disconnect", "fail", "exit", "transfer"].contains(&what.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    shared.with(|world| match world.any(vendor, &id).map(|one| one.key) {
        Some(key) => {
            happen(world, key);
            StatusCode::NO_CONTENT.into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn bill(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.with(|world| {
        let mut sums: BTreeMap<Vendor, Amount> = BTreeMap::new();
        for one in world.instances() {
            let sum = sums.entry(one.order.vendor).or_default();
            *sum = sum.plus(one.meter.bill(world.now())?.total()?)?;
        }
        Ok(sums)
    }))
}

#[derive(Debug, Serialize)]
struct Switches {
    rules: Vec<Rule>,
    counts: BTreeMap<Fault, u64>,
    hits: Vec<Hit>,
}

async fn faults(State(shared): State<Arc<Shared>>) -> Json<Switches> {
    Json(shared.with(|world| Switches {
        rules: world.faults.rules().to_vec(),
        counts: world.faults.counts().clone(),
        hits: world.faults.hits().to_vec(),
    }))
}

async fn set_faults(State(shared): State<Arc<Shared>>, Json(rules): Json<Vec<Rule>>) -> StatusCode {
    shared.with(|world| world.faults.set(rules));
    StatusCode::NO_CONTENT
}

async fn add_fault(State(shared): State<Arc<Shared>>, Json(rule): Json<Rule>) -> StatusCode {
    shared.with(|world| world.faults.add(rule));
    StatusCode::NO_CONTENT
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    now: Timestamp,
    is_virtual: bool,
}

async fn clock(State(shared): State<Arc<Shared>>) -> Json<Shown> {
    let is_virtual = matches!(shared.time(), Time::Virtual(_));
    Json(Shown { now: shared.time().now(), is_virtual })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: i64,
}

async fn advance(State(shared): State<Arc<Shared>>, Json(by): Json<Advance>) -> Response {
    let Time::Virtual(clock) = shared.time() else {
        let message = "the clock is the machine's; start the server with --virtual to move it";
        return (StatusCode::CONFLICT, message).into_response();
    };
    clock.advance(SignedDuration::from_secs(by.advance_seconds));
    shared.with(|world| Json(Shown { now: world.now(), is_virtual: true })).into_response()
}

async fn market(State(shared): State<Arc<Shared>>) -> Json<Market> {
    Json(shared.with(|world| world.market.clone()))
}

async fn set_market(State(shared): State<Arc<Shared>>, Json(market): Json<Market>) -> StatusCode {
    shared.with(|world| {
        if world.instances().iter().any(Instance::is_alive) {
            return StatusCode::CONFLICT;
        }
        world.market = market;
        StatusCode::NO_CONTENT
    })
}

async fn calls(State(shared): State<Arc<Shared>>) -> Json<BTreeMap<Vendor, BTreeMap<Verb, u64>>> {
    Json(shared.with(|world| {
        let mut all: BTreeMap<Vendor, BTreeMap<Verb, u64>> = BTreeMap::new();
        for ((vendor, verb), count) in world.all_calls() {
            all.entry(*vendor).or_default().insert(*verb, *count);
        }
        all
    }))
}

#[cfg(test)]
mod tests;
