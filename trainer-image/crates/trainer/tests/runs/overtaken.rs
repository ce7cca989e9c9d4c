use cooperator_contract::outcome::FailureReason;

use crate::world::{World, checkpoint, digest, failure, training};

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_wakes_up_after_a_newer_one_has_written_is_fenced_and_publishes_nothing() {
    let (world, inputs) = World::ready().await;
    let asleep = checkpoint(1, 4);
    world.hold(&asleep);
    let older = world.begin_training(1, training(inputs));
    world.reached(&asleep).await;
    // The newer one writes step 4, and has not ended when the older one wakes up.
    let newer = checkpoint(2, 6);
    world.forbid(&newer);
    failure(world.train(2, training(inputs)).await, FailureReason::StorageUnavailable);
    world.storage.heal();
    let message = failure(older.end().await, FailureReason::Fenced);
    assert!(message.contains("attempt 1") && message.contains("attempt 2"), "{message}");
    assert_eq!(world.keys("adapters/"), [""; 0]);
    assert!(!world.was_written(&checkpoint(1, 6)));

    assert!(world.places().contains(&(2, 4)));
    world.assert_checkpoints_whole();
    digest(world.train(3, training(inputs)).await);
    assert!(!world.was_written(&checkpoint(3, 4)), "the third attempt goes on from the second's step 4");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_begins_after_a_newer_one_has_written_is_fenced_before_its_first_step() {
    let (world, inputs) = World::ready().await;
    let adapter = digest(world.train(2, training(inputs)).await);
    let before = world.keys("");
    failure(world.train(1, training(inputs)).await, FailureReason::Fenced);
    assert_eq!(world.keys(""), before);
    assert!(world.keys("adapters/").iter().all(|key| key.contains(&adapter.hex())));
}
