use cooperator_contract::layout;
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::preflight::Floors;

use crate::brokered::broker;
use crate::world::{UID, World, digest, failure, training};

/// What every machine that runs tests reaches.
const LOW: Floors = Floors {
    gflops: 1,
    disk_mib_per_second: 1,
    download_mbit_per_second: 1,
    upload_mbit_per_second: 1,
    model_download_seconds: 3600,
};

#[tokio::test(flavor = "multi_thread")]
async fn floors_that_a_machine_reaches_change_nothing_of_the_adapter_and_nothing_of_its_provenance() {
    let (world, inputs) = World::ready().await;
    let url = broker(&world, inputs, false).await;
    let adapter = digest(world.train_above(1, training(inputs), &url, LOW).await);
    let provenance = || world.bytes(&layout::adapter(&adapter, "provenance.json"));
    let with_floors = String::from_utf8_lossy(&provenance()).into_owned();
    assert!(!with_floors.contains("gflops") && !with_floors.contains("MbitPerSecond"), "{with_floors}");
    assert_eq!(digest(world.train(2, training(inputs)).await), adapter);
    assert!(world.storage.object("presidents", &layout::preflight(UID, 1)).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_below_a_floor_is_refused_before_it_fetches_anything_and_leaves_nothing_behind() {
    let (world, inputs) = World::ready().await;
    let url = broker(&world, inputs, false).await;
    let before = world.storage.calls().len();
    let floors = Floors { upload_mbit_per_second: 1_000_000_000, ..LOW };
    let ended = world.train_above(1, training(inputs), &url, floors).await;
    let message = failure(ended, FailureReason::PreflightFailed);
    assert!(message.contains("spec.preflight.minUploadMbitPerSecond"), "{message}");
    assert!(!message.contains("spec.preflight.minGflops"), "only what falls short is told: {message}");
    let calls = world.storage.calls().split_off(before);
    assert!(calls.iter().all(|call| !call.contains("/blobs/")), "{calls:?}");
    assert!(world.keys("finetunes/").is_empty(), "{:?}", world.keys("finetunes/"));
}
