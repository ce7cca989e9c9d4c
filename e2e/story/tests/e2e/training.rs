//! A training whose pod is killed again and again, and one that its machine cannot hold.

use std::time::Duration;

use cooperator_api::fine_tune::FineTune;
use cooperator_api::names;
use cooperator_cli::kind::Kind;
use cooperator_contract::layout;
use cooperator_story::PRESIDENTS;
use kube::ResourceExt as _;
use serde_json::json;

use crate::cluster::{burn, connect, made_for, told};
use crate::tiny::Tiny;

/// Steps after which the pod is killed, each in an attempt of its own.
const DEATHS: [u64; 3] = [400, 900, 1400];

/// Trains so many steps with this seed to the end, with a death after each of these steps.
pub async fn train(tiny: &Tiny, name: &str, steps: u64, seed: u64, deaths: &[u64]) -> FineTune {
    tiny.apply("FineTune", name, tiny.fine_tune(steps, seed)).await;
    let read = || async { tiny.access.get::<FineTune>(name).await.unwrap() };
    let uid = read().await.uid().unwrap();
    for (attempt, step) in (1u32..).zip(deaths) {
        started(tiny, name, &uid, attempt, *step).await;
        kill(tiny, name, attempt).await;
    }
    tiny.reason(Kind::FineTune, name, "Trained").await;
    read().await
}

/// Waits until an attempt has a checkpoint of this step, and is not done.
pub async fn started(tiny: &Tiny, name: &str, uid: &str, attempt: u32, step: u64) {
    while !has_checkpoint(tiny, uid, attempt, step).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let status = tiny.access.get::<FineTune>(name).await.unwrap().status.unwrap_or_default();
        assert!(status.adapter.is_none(), "attempt {attempt} was done before it could be harmed");
    }
}

/// Whether an attempt has written a checkpoint of this step or a later one.
pub async fn has_checkpoint(tiny: &Tiny, uid: &str, attempt: u32, step: u64) -> bool {
    let objects = tiny.bucket.store.list(&layout::checkpoints(uid)).await.unwrap_or_default();
    let mut places = objects.iter().filter_map(|object| layout::checkpoint_place(uid, &object.key));
    places.any(|place| place >= (attempt, step))
}

/// Digest of the adapter that came of it.
pub fn digest(tune: &FineTune) -> String {
    tune.status.clone().unwrap().adapter.unwrap().digest
}

async fn kill(tiny: &Tiny, name: &str, attempt: u32) {
    let labels = format!("{},{}={attempt}", made_for(Kind::FineTune, name), names::LABEL_ATTEMPT);
    burn(&tiny.access.api(), &labels).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_killed_three_times_makes_the_adapter_of_one_that_was_not() {
    told().await;
    let tiny = Tiny::make(&connect().await, PRESIDENTS, "washington").await;
    let whole = train(&tiny, "tiny-whole", 2400, 7, &[]).await;
    let killed = train(&tiny, "tiny-killed", 2400, 7, &DEATHS).await;
    let attempts = killed.status.clone().unwrap().attempts;
    let told: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{}: {}", attempt.number, attempt.reason.as_deref().unwrap_or("?")))
        .collect();
    eprintln!("{} against {} in attempts {told:?}", digest(&whole), digest(&killed));
    assert_eq!(attempts.len(), 1 + DEATHS.len(), "{told:?}");
    assert_eq!(digest(&killed), digest(&whole));
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_whose_memory_limit_is_below_the_weights_is_told_so_before_it_fetches_them() {
    told().await;
    let tiny = Tiny::make(&connect().await, PRESIDENTS, "washington").await;
    tiny.apply("FineTune", "too-large", json!({
        "baseModelRef": {"name": "smollm2-135m"}, "datasetRef": {"name": "addresses"},
        "compute": {"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}},
    }))
    .await;
    let told = tiny.reason(Kind::FineTune, "too-large", "InsufficientMemory").await;
    let message = &told.main().unwrap().message;
    eprintln!("{message}");
    assert!(
        message.contains("128 MiB") && message.contains("spec.compute.resources.limits.memory"),
        "{message}"
    );
    tiny.delete(Kind::FineTune, "too-large").await;
}
