use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use cooperator_contract::broker::{Ask, Granted, Request, Scope};
use cooperator_core::time::{Clock as _, SystemClock};
use cooperator_store::Store;

use crate::world::{BUCKET, Inputs, UID, World, checkpoint, digest, training};

/// Grants what is within the scope of a training; whether a blob is of its inputs is the operator's to look up.
#[derive(Clone)]
struct Desk {
    store: Store,
    inputs: Inputs,
    /// Whether another run has published the adapter.
    is_published: bool,
}

async fn answer(State(desk): State<Desk>, headers: HeaderMap, Json(ask): Json<Ask>) -> Response {
    if headers["authorization"] != "Bearer run-token" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let scope = Scope {
        uid: UID,
        attempt: ask.attempt,
        base_model: desk.inputs.base_model,
        dataset: "addresses",
        dataset_digest: desk.inputs.dataset,
    };
    if let Some(refused) = ask.requests.iter().find_map(|request| scope.judge(request).err()) {
        return (StatusCode::FORBIDDEN, refused.to_string()).into_response();
    }
    let is_of_adapter =
        |request: &Request| matches!(request, Request::Put { .. }) && request.key().starts_with("adapters/");
    if desk.is_published && ask.requests.iter().any(is_of_adapter) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let sign = |request| desk.store.presign(request, Duration::from_secs(600), SystemClock.now()).unwrap();
    Json(Granted { grants: ask.requests.iter().map(sign).collect() }).into_response()
}

/// A broker; where it is asked.
pub async fn broker(world: &World, inputs: Inputs, is_published: bool) -> String {
    let desk = Desk { store: world.storage.store(BUCKET), inputs, is_published };
    let router = Router::new().fallback(answer).with_state(desk);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/storage", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_comes_to_an_adapter_which_another_has_published_ends_with_that() {
    let (world, inputs) = World::ready().await;
    let adapter = digest(world.train(1, training(inputs)).await);
    let url = broker(&world, inputs, true).await;
    assert_eq!(digest(world.train_brokered(2, training(inputs), &url).await), adapter);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_without_a_key_does_all_by_its_broker_and_ends_with_the_same_adapter() {
    let (world, inputs) = World::ready().await;
    let url = broker(&world, inputs, false).await;
    let before = world.storage.calls().len();
    let adapter = digest(world.train_brokered(1, training(inputs), &url).await);
    let calls = world.storage.calls().split_off(before);
    assert!(calls.iter().all(|call| call.contains("X-Amz-Signature=")), "{calls:?}");
    assert_eq!(world.places(), [(1, 6), (1, 8)], "older checkpoints are removed");
    world.assert_checkpoints_whole();
    // What another attempt makes of the last checkpoint with the key is the same.
    assert_eq!(digest(world.train(2, training(inputs)).await), adapter);
    assert!(!world.was_written(&checkpoint(2, 8)));
}
