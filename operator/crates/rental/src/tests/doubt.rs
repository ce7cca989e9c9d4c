//! Answers that are lost, late or wrong, and callers that die.

use std::sync::atomic::Ordering;

use cooperator_core::money::Amount;
use cooperator_core::time::Clock;
use cooperator_providers::testing::Fault;
use cooperator_providers::{Driver, InstanceId, Order, Verb};

use super::world::{World, intent, payload, seconds};
use crate::{News, Reason, launch};

fn id(number: u32) -> InstanceId {
    InstanceId(format!("fake-{number:04}"))
}

impl World {
    /// What a stale caller does that was held up before its call.
    async fn stale_create(&self) {
        let order = Order {
            name: self.name.clone(),
            offer: intent().offer,
            disk_gib: intent().disk_gib,
            bid: None,
            payload: payload(),
        };
        self.liar.create(&order).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_dies_before_the_call_has_rented_nothing_and_another_may_begin() {
    let mut world = World::new();
    let _lost = world.begin();
    world.run(60).await;
    assert!(world.record.is_doubtful(), "a call may be on its way");
    world.run(10).await;
    assert_eq!(world.record.launches[0].reason, Some(Reason::NeverMade));
    assert_eq!(world.calls(Verb::Create), 0);
    assert!(world.record.is_accounted());
    world.rent().await;
    world.finish().await;
}

#[tokio::test]
async fn whoever_dies_after_the_call_finds_the_machine_again() {
    let mut world = World::new();
    let permit = world.begin();
    let lost = launch(permit, &world.record, &world.name, payload(), &world.liar, &world.clock).await;
    drop(lost);
    world.run(120).await;
    assert_eq!(world.record.kept().unwrap().instance, id(1));
    assert!(world.news.contains(&News::Adopted { instance: id(1) }));
    assert_eq!(world.calls(Verb::Create), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_permit_that_is_old_or_of_another_record_rents_nothing() {
    let mut world = World::new();
    let permit = world.begin();
    world.clock.advance(seconds(11));
    let late = launch(permit, &world.record, &world.name, payload(), &world.liar, &world.clock).await;
    assert!(late.changed && late.record.is_closed());
    let mut other = World::new();
    other.clock.advance(seconds(5));
    let permit = other.begin();
    let foreign = launch(permit, &world.record, &world.name, payload(), &world.liar, &world.clock).await;
    assert!(!foreign.changed);
    assert_eq!(world.calls(Verb::Create), 0);
}

#[tokio::test]
async fn a_machine_whose_answer_was_lost_is_adopted_and_not_rented_again() {
    for fault in [Fault::LostAnswer, Fault::Malformed] {
        let mut world = World::new();
        world.fake.fail_next(Verb::Create, fault);
        world.rent().await;
        world.run(15).await;
        assert!(world.record.is_doubtful(), "the list lags");
        world.run(15).await;
        assert_eq!(world.record.kept().unwrap().instance, id(1));
        assert_eq!(world.calls(Verb::Create), 1);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_request_that_was_lost_made_nothing_and_costs_nothing() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostRequest);
    world.rent().await;
    world.fake.fail_always(Verb::List, Fault::Unavailable);
    world.run(300).await;
    assert!(world.record.is_doubtful(), "what is not listed is not concluded from");
    world.fake.heal();
    world.run(15).await;
    assert_eq!(world.record.launches[0].reason, Some(Reason::NeverMade));
    assert_eq!(world.cost(), Amount::ZERO);
}

#[tokio::test]
async fn empty_pages_after_a_lost_answer_forget_no_machine() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.liar.empty_lists.store(8, Ordering::SeqCst);
    world.run(60).await;
    assert_eq!(world.record.kept().unwrap().instance, id(1));
    world.finish().await;
}

#[tokio::test]
async fn one_empty_page_at_the_wrong_moment_forgets_no_machine() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.clock.advance(seconds(100));
    world.liar.empty_lists.store(1, Ordering::SeqCst);
    world.run(10).await;
    assert_eq!(world.record.kept().unwrap().instance, id(1));
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_every_list_lacked_for_too_long_is_found_ended_and_paid_for() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.liar.empty_lists.store(1000, Ordering::SeqCst);
    world.run(100).await;
    assert_eq!(world.record.launches[0].reason, Some(Reason::NeverMade));
    world.liar.empty_lists.store(0, Ordering::SeqCst);
    world.rent().await;
    assert_eq!(world.fake.instances().len(), 2);
    assert_eq!(world.collect(true).await, 1);
    world.run(60).await;
    let left: Vec<_> = world.fake.instances().into_iter().map(|instance| instance.id).collect();
    assert_eq!(left, [id(2)], "the one that is recorded is kept");
    assert_eq!(world.record.kept().unwrap().instance, id(2));
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_is_not_found_before_answers_settle_lives() {
    let mut world = World::new();
    world.fake.lag(seconds(60));
    world.rent().await;
    world.liar.empty_gets.store(1, Ordering::SeqCst);
    world.run(59).await;
    assert!(world.record.kept().unwrap().lost_at.is_some());
    world.run(30).await;
    assert!(world.record.kept().unwrap().lost_at.is_none());
    assert_eq!(world.calls(Verb::Delete), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_that_finds_nothing_before_answers_settle_is_asked_for_again() {
    let mut world = World::new();
    world.rent().await;
    world.liar.empty_deletes.store(1, Ordering::SeqCst);
    world.end();
    for _ in 0..3 {
        world.step().await;
    }
    assert!(world.record.launches[0].machine.as_ref().unwrap().gone_at.is_some());
    world.run(15).await;
    assert!(!world.record.is_closed(), "its list may be late");
    world.run(20).await;
    assert!(world.news.contains(&News::Revived { instance: id(1) }));
    assert!(world.fake.instances().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn what_is_given_back_was_noted_before_and_costs_what_it_cost() {
    let mut world = World::new();
    let permit = world.begin();
    drop(launch(permit, &world.record, &world.name, payload(), &world.liar, &world.clock).await);
    world.end();
    while world.calls(Verb::Delete) == 0 {
        let before = world.record.clone();
        let rest = world.step().await.unwrap();
        for call in world.fake.calls().iter().filter(|call| call.verb == Verb::Delete) {
            let known = before.machine(super::world::PROVIDER, call.id.as_ref().unwrap());
            assert!(known.is_some_and(|(launch, _)| launch.reason == Some(Reason::Released)));
        }
        world.clock.advance(rest.try_into().unwrap());
    }
    assert!(world.cost() > Amount::ZERO);
    world.finish().await;
}

#[tokio::test]
async fn of_two_machines_of_one_name_one_is_kept_and_both_are_paid_for() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.clock.advance(seconds(5));
    world.stale_create().await;
    world.run(17).await;
    assert_eq!(world.record.kept().unwrap().instance, id(1), "the oldest");
    world.run(10).await;
    assert_eq!(world.collect(true).await, 1, "it is seen later");
    world.run(10).await;
    assert_eq!(world.fake.instances().len(), 1);
    world.finish().await;
    assert_eq!(world.record.lines(world.clock.now()).unwrap().iter().filter(|line| line.spare).count(), 1);
}

#[tokio::test]
async fn of_two_machines_that_a_doubt_finds_the_oldest_is_kept_and_the_other_is_ended() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.clock.advance(seconds(5));
    world.stale_create().await;
    world.clock.advance(seconds(20));
    world.run(30).await;
    assert_eq!(world.record.kept().unwrap().instance, id(1));
    assert_eq!(world.fake.instances().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_whose_caller_died_is_paid_for_until_it_was_asked_for() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.fake.fail_always(Verb::Charged, Fault::Unavailable);
    world.end();
    for _ in 0..2 {
        world.step().await;
    }
    world.liar.forget_ends.store(true, Ordering::SeqCst);
    let before = world.record.clone();
    world.step().await;
    assert!(world.fake.instances().is_empty());
    world.record = before;
    world.clock.advance(seconds(50));
    world.run(8000).await;
    assert!(world.record.is_accounted());
    assert_eq!(world.record.lines(world.clock.now()).unwrap()[0].seconds, 100);
    assert_eq!(world.cost(), world.bill());
}

#[tokio::test]
async fn a_lost_deletion_is_not_forgotten_while_the_vendor_is_too_busy_to_tell_of_it() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.fake.fail_always(Verb::Charged, Fault::Unavailable);
    world.liar.forget_ends.store(true, Ordering::SeqCst);
    world.fake.fail_next(Verb::Delete, Fault::LostAnswer);
    world.fake.fail_always(Verb::Get, Fault::Throttled(std::time::Duration::from_secs(1)));
    world.end();
    world.run(200).await;
    world.fake.heal();
    world.fake.fail_always(Verb::Charged, Fault::Unavailable);
    world.run(8000).await;
    assert!(world.record.is_accounted());
    assert_eq!(world.record.lines(world.clock.now()).unwrap()[0].seconds, 100);
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_paid_for_until_it_was_asked_for_not_until_it_was_to_be() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.fake.fail_always(Verb::Charged, Fault::Unavailable);
    world.liar.forget_ends.store(true, Ordering::SeqCst);
    world.end();
    for _ in 0..2 {
        world.step().await;
    }
    world.clock.advance(seconds(1));
    world.fake.fail_next(Verb::Delete, Fault::LostAnswer);
    world.run(8000).await;
    assert!(world.record.is_accounted());
    assert_eq!(world.record.lines(world.clock.now()).unwrap()[0].seconds, 101);
    assert_eq!(world.cost(), world.bill());
}

#[tokio::test]
async fn a_deletion_that_had_to_wait_for_its_turn_and_whose_caller_died_is_paid_for_until_its_turn() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.fake.fail_always(Verb::Charged, Fault::Unavailable);
    world.liar.forget_ends.store(true, Ordering::SeqCst);
    world.fake.fail_next(Verb::Delete, Fault::Throttled(std::time::Duration::from_secs(1)));
    world.end();
    for _ in 0..3 {
        world.step().await;
    }
    world.clock.advance(seconds(1));
    let before = world.record.clone();
    world.step().await;
    assert!(world.fake.instances().is_empty());
    world.record = before;
    world.clock.advance(seconds(50));
    world.run(8000).await;
    assert!(world.record.is_accounted());
    assert_eq!(world.record.lines(world.clock.now()).unwrap()[0].seconds, 101);
    assert_eq!(world.cost(), world.bill());
}

#[tokio::test]
async fn a_double_that_the_vendor_made_itself_is_found_ended_and_paid_for() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::Twice);
    world.rent().await;
    world.run(40).await;
    assert_eq!(world.fake.instances().len(), 2);
    assert_eq!(world.collect(true).await, 1);
    world.run(30).await;
    assert_eq!(world.record.kept().unwrap().instance, id(2));
    assert_eq!(world.fake.instances().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_double_that_comes_to_light_while_the_last_one_ends_is_ended_too() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::Twice);
    world.rent().await;
    world.run(40).await;
    world.finish().await;
    assert!(world.news.contains(&News::Double { instance: id(1) }));
}

#[tokio::test]
async fn a_stale_callers_machine_is_ended_after_its_claim_is_closed() {
    let mut world = World::new();
    let _lost = world.begin();
    world.run(100).await;
    assert!(world.record.is_accounted());
    world.stale_create().await;
    world.run(30).await;
    assert_eq!(world.collect(true).await, 1);
    assert!(!world.record.is_closed());
    world.finish().await;
}

#[tokio::test]
async fn an_end_that_is_wished_for_in_doubt_waits_for_the_machine() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.end();
    world.run(10).await;
    assert!(!world.record.is_closed());
    world.run(60).await;
    assert!(world.record.is_closed() && world.fake.instances().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_machine_said_to_be_gone_that_keeps_the_next_ones_name_is_ended_and_no_other_is_counted() {
    let mut world = World::new();
    world.liar.unique_names.store(true, Ordering::SeqCst);
    world.rent().await;
    // Long enough that the vendor's answers count.
    world.run(120).await;
    world.liar.empty_deletes.store(1, Ordering::SeqCst);
    world.liar.empty_lists.store(1, Ordering::SeqCst);
    world.end();
    while !world.record.is_closed() {
        world.run(1).await;
    }
    world.wish = crate::Wish::Keep;
    world.rent().await;
    assert_eq!(world.record.launches[1].reason, Some(Reason::NeverMade));
    assert!(world.record.launches[1].machine.is_none(), "it is the first one's");
    assert!(!world.record.is_closed(), "the first lives");
    world.finish().await;
}
