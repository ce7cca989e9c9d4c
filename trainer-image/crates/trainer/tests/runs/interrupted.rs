use cooperator_contract::layout;
use cooperator_contract::outcome::FailureReason;
use cooperator_core::digest::Digest;

use crate::world::{BUCKET, Inputs, UID, World, checkpoint, digest, failure, training};

/// What a run without a break makes of the same inputs.
async fn uninterrupted() -> Digest {
    let (world, inputs) = World::ready().await;
    digest(world.train(1, training(inputs)).await)
}

/// SIGTERM while the checkpoint of `step` is being written: the run finishes one more step and saves it.
async fn stop_at(world: &World, inputs: Inputs, attempt: u32, step: u64) {
    let key = checkpoint(attempt, step);
    world.hold(&key);
    let running = world.begin_training(attempt, training(inputs));
    world.reached(&key).await;
    running.stop.cancel();
    world.storage.heal();
    let message = failure(running.end().await, FailureReason::Interrupted);
    assert!(message.contains(&format!("step {} of 8", step + 1)), "{message}");
}

/// The pod is gone at `step`, without a word: what it would have written there is not.
async fn die_at(world: &World, inputs: Inputs, attempt: u32, step: u64) {
    world.forbid(&checkpoint(attempt, step));
    failure(world.train(attempt, training(inputs)).await, FailureReason::StorageUnavailable);
    world.storage.heal();
}

/// Changes one byte of a blob, as a disk does.
fn corrupt(world: &World, blob: &Digest) {
    let key = layout::checkpoint_blob(UID, blob);
    let mut bytes = world.bytes(&key).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    world.storage.set_object(BUCKET, &key, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_training_leaves_a_checkpoint_and_the_next_attempt_ends_with_the_same_adapter() {
    let (world, inputs) = World::ready().await;
    stop_at(&world, inputs, 1, 2).await;
    assert_eq!(world.places(), [(1, 2), (1, 3)]);
    assert_eq!(world.keys("adapters/"), [""; 0]);
    // Interrupted again, from a checkpoint this time.
    stop_at(&world, inputs, 2, 6).await;
    assert!(!world.was_written(&checkpoint(2, 2)), "the second attempt goes on, it does not begin anew");
    assert_eq!(digest(world.train(3, training(inputs)).await), uninterrupted().await);
    assert!(!world.was_written(&checkpoint(3, 6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_died_goes_on_from_the_newest_checkpoint() {
    let (world, inputs) = World::ready().await;
    die_at(&world, inputs, 1, 6).await;
    assert_eq!(world.places(), [(1, 2), (1, 4)]);
    assert_eq!(digest(world.train(2, training(inputs)).await), uninterrupted().await);
    assert!(!world.was_written(&checkpoint(2, 4)) && world.was_written(&checkpoint(2, 6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_stopped_before_its_first_step_leaves_nothing_and_says_so() {
    let (world, inputs) = World::ready().await;
    let running = world.begin_training(1, training(inputs));
    running.stop.cancel();
    failure(running.end().await, FailureReason::Interrupted);
    assert_eq!(world.places(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_whose_last_step_is_saved_is_evaluated_by_the_next_attempt_without_a_step() {
    let (world, inputs) = World::ready().await;
    world.forbid("adapters/");
    failure(world.train(1, training(inputs)).await, FailureReason::StorageUnavailable);
    world.storage.heal();
    let adapter = digest(world.train(2, training(inputs)).await);
    assert_eq!(adapter, uninterrupted().await);
    assert_eq!(world.places(), [(1, 6), (1, 8)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_checkpoint_is_passed_over_for_the_one_before_it() {
    for part in 0..3 {
        let (world, inputs) = World::ready().await;
        die_at(&world, inputs, 1, 6).await;
        let newest = world.checkpoints().pop().unwrap();
        assert_eq!(newest.step, 4);
        corrupt(&world, &[newest.adapter, newest.optimizer, newest.state][part]);
        assert_eq!(digest(world.train(2, training(inputs)).await), uninterrupted().await);
        assert!(world.was_written(&checkpoint(2, 4)), "the run goes on from step 2");
        assert!(!world.was_written(&checkpoint(2, 2)), "the run does not begin anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_written_again_is_whole_where_its_blob_was_corrupt() {
    let (world, inputs) = World::ready().await;
    die_at(&world, inputs, 1, 6).await;
    corrupt(&world, &world.checkpoints().pop().unwrap().adapter);
    die_at(&world, inputs, 2, 6).await;
    assert!(world.places().contains(&(2, 4)));
    world.assert_checkpoints_whole();
    assert_eq!(digest(world.train(3, training(inputs)).await), uninterrupted().await);
    assert!(!world.was_written(&checkpoint(3, 4)), "the third attempt goes on from step 4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_just_written_is_never_the_one_that_is_too_many() {
    let (world, inputs) = World::ready().await;
    die_at(&world, inputs, 1, 8).await;
    assert_eq!(world.places(), [(1, 4), (1, 6)]);
    for manifest in world.checkpoints() {
        corrupt(&world, &manifest.state);
    }
    // Begins anew, behind two broken checkpoints of later steps.
    die_at(&world, inputs, 2, 4).await;
    assert_eq!(world.places(), [(1, 6), (2, 2)]);
    assert_eq!(digest(world.train(3, training(inputs)).await), uninterrupted().await);
    assert!(!world.was_written(&checkpoint(3, 2)), "the third attempt goes on from step 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_other_parameters_are_passed_over() {
    let (world, inputs) = World::ready().await;
    let mut other = training(inputs);
    other.training.seed = 8;
    digest(world.train(1, other).await);
    assert_eq!(digest(world.train(2, training(inputs)).await), uninterrupted().await);
    assert!(world.was_written(&checkpoint(2, 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_checkpoints_are_kept_and_no_blob_of_the_others() {
    let (world, inputs) = World::ready().await;
    let before = world.keys("blobs/");
    digest(world.train(1, training(inputs)).await);
    assert_eq!(world.places(), [(1, 6), (1, 8)]);
    world.assert_checkpoints_whole();
    assert_eq!(world.keys(&format!("{}blobs/", layout::checkpoints(UID))).len(), 2 * 3);
    assert_eq!(world.keys("blobs/"), before, "what all share is left alone");
}
