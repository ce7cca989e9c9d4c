//! From the intent to the last cent.

use cooperator_core::money::Amount;
use cooperator_core::time::Clock;
use cooperator_providers::testing::Fault;
use cooperator_providers::{InstanceId, State, Verb};

use super::world::{World, intent, offer, seconds};
use crate::record::MOST_LAUNCHES;
use crate::{Begin, News, Reason, Record, Source, Target};

fn id(number: u32) -> InstanceId {
    InstanceId(format!("fake-{number:04}"))
}

#[tokio::test]
async fn a_machine_is_rented_runs_ends_and_costs_what_the_vendor_bills() {
    let mut world = World::new();
    world.rent().await;
    world.run(300).await;
    assert!(world.record.kept().unwrap().running_at.is_some());
    assert!(world.news.contains(&News::Running { instance: id(1) }));
    assert_eq!(world.cost(), world.bill());
    world.finish().await;
    let line = world.record.lines(world.clock.now()).unwrap().remove(0);
    assert_eq!((line.seconds, line.source, line.is_final), (300, Source::Charged, true));
    assert_eq!(world.record.launches[0].reason, Some(Reason::Released));
    assert_eq!(world.calls(Verb::Create), 1);
}

#[tokio::test]
async fn nothing_begins_while_something_is_open() {
    let mut world = World::new();
    world.rent().await;
    let now = world.clock.now();
    assert_eq!(world.record.begin(intent(), now).unwrap_err(), Begin::Open(1));
    world.end();
    for _ in 0..3 {
        world.step().await;
    }
    assert!(world.fake.instances().is_empty());
    assert_eq!(world.record.begin(intent(), now).unwrap_err(), Begin::Open(1), "not confirmed");
    world.finish().await;
    world.record.begin(intent(), now).unwrap();
}

#[tokio::test]
async fn what_the_vendor_refuses_is_closed_at_once_and_costs_nothing() {
    let faults = [
        (Fault::NoCapacity, Reason::NoCapacity),
        (Fault::Refused, Reason::Refused),
        (Fault::AccountLimit, Reason::AccountLimit),
        (Fault::Unauthorized, Reason::Refused),
        (Fault::Unavailable, Reason::Unanswered),
    ];
    for (fault, reason) in faults {
        let mut world = World::new();
        world.fake.fail_next(Verb::Create, fault);
        world.rent().await;
        assert!(world.record.is_accounted() && world.fake.instances().is_empty());
        assert_eq!(world.record.launches[0].reason, Some(reason), "{fault:?}");
        assert_eq!(world.cost(), Amount::ZERO);
        world.rent().await;
        assert_eq!(world.record.open().unwrap().number, 2);
    }
}

#[tokio::test]
async fn a_bid_that_is_too_low_leaves_a_machine_that_is_ended_and_whose_disk_is_paid_for() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::BidTooLow);
    world.rent().await;
    assert_eq!(world.record.open().unwrap().reason, Some(Reason::BidRefused));
    world.fake.fail_next(Verb::Delete, Fault::LostRequest);
    world.run(30).await;
    assert!(world.fake.instances().is_empty());
    let (launch, now) = (world.record.launches[0].clone(), world.clock.now());
    let computed = launch.computed(launch.machine.as_ref().unwrap(), now).unwrap();
    assert_eq!(computed, world.bill());
    assert!(computed > Amount::ZERO);
    world.finish().await;
}

#[tokio::test]
async fn whatever_befalls_a_machine_at_the_vendor_ends_it() {
    let states = [
        (State::Stopped, Reason::Stopped),
        (State::Preempted, Reason::Preempted),
        (State::Failed, Reason::Failed),
        (State::Ending, Reason::Vanished),
        (State::Over, Reason::Vanished),
    ];
    for (state, reason) in states {
        let mut world = World::new();
        world.rent().await;
        world.run(100).await;
        world.fake.set_state(&id(1), state);
        world.run(60).await;
        assert_eq!(world.record.launches[0].reason, Some(reason), "{state:?}");
        assert!(world.fake.instances().is_empty(), "{state:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_stopped_machine_costs_its_disk_alone() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.step().await;
    world.fake.set_state(&id(1), State::Stopped);
    world.step().await;
    world.fake.fail_always(Verb::Delete, Fault::Unavailable);
    world.run(1000).await;
    assert_eq!(world.cost(), world.bill());
    world.fake.heal();
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_vanished_is_ended_all_the_same_once_that_is_sure() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.liar.empty_gets.store(u32::MAX, std::sync::atomic::Ordering::SeqCst);
    world.run(100).await;
    assert!(world.record.open().unwrap().reason.is_none(), "the list still has it");
    world.liar.empty_lists.store(u32::MAX, std::sync::atomic::Ordering::SeqCst);
    world.run(60).await;
    assert_eq!(world.record.launches[0].reason, Some(Reason::Vanished));
    assert!(world.fake.instances().is_empty(), "it lived, and was deleted");
}

#[tokio::test]
async fn a_machine_that_does_not_run_in_time_is_ended_and_its_host_blocked() {
    let mut world = World::new();
    world.fake.boots_in(seconds(100_000));
    world.rent().await;
    world.fake.fail_always(Verb::Get, Fault::Unavailable);
    world.run(595).await;
    assert!(world.record.kept().is_some());
    world.run(20).await;
    assert_eq!(world.record.launches[0].reason, Some(Reason::LaunchTimeout));
    let target = Target::Host("host-1".into());
    assert!(world.news.contains(&News::Block { target, reason: Reason::LaunchTimeout }));
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_is_asked_for_until_it_is_done_however_long_that_takes() {
    let mut world = World::new();
    world.rent().await;
    world.run(60).await;
    world.fake.fail_always(Verb::Delete, Fault::LostRequest);
    world.end();
    world.run(7200).await;
    let asked = world.calls(Verb::Delete);
    assert!((7200 / 20 - 10..=7200 / 20 + 10).contains(&asked), "{asked}");
    assert!(!world.record.is_closed());
    assert_eq!(world.cost(), world.bill(), "it costs meanwhile");
    world.fake.heal();
    world.run(30).await;
    assert!(world.fake.instances().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn the_end_is_what_the_vendor_says_it_is_however_late_it_is_confirmed() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.fake.ends_in(seconds(7));
    world.fake.fail_always(Verb::List, Fault::Malformed);
    world.end();
    world.run(500).await;
    assert!(!world.record.is_closed(), "no list has confirmed it");
    assert_eq!(world.cost(), world.bill());
    assert_eq!(world.record.lines(world.clock.now()).unwrap()[0].seconds, 107);
    world.fake.heal();
    world.finish().await;
}

#[tokio::test]
async fn the_vendors_final_figure_wins_and_a_difference_is_told() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.record.launches[0].offer.terms.hourly = "0.18".parse().unwrap();
    world.finish().await;
    let told = world.news.iter().find(|news| matches!(news, News::Drift { .. }));
    let Some(News::Drift { computed, charged, unit, .. }) = told else { panic!("{:?}", world.news) };
    assert_eq!((charged.to_string(), computed < charged), (world.bill().to_string(), true));
    assert_eq!(unit.to_string(), "0.000050277778", "a second of it and its disk");
}

#[tokio::test]
async fn where_the_vendor_does_not_say_what_it_charged_ours_is_final_after_a_while() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.fake.fail_always(Verb::Charged, Fault::Unavailable);
    world.end();
    world.run(7100).await;
    assert!(world.record.is_closed() && !world.record.is_accounted());
    world.run(300).await;
    assert!(world.record.is_accounted());
    let line = world.record.lines(world.clock.now()).unwrap().remove(0);
    assert_eq!((line.amount, line.source), (world.bill(), Source::Computed));
}

#[tokio::test]
async fn a_record_forgets_only_what_cost_nothing_and_reads_back_as_it_was_written() {
    let mut world = World::new();
    world.rent().await;
    world.finish().await;
    for _ in 0..MOST_LAUNCHES + 3 {
        world.fake.fail_next(Verb::Create, Fault::NoCapacity);
        world.rent().await;
    }
    assert_eq!(world.record.launches.len(), MOST_LAUNCHES);
    assert_eq!(world.record.launches[0].number, 1, "it cost something");
    assert_eq!(world.cost(), world.bill());
    let text = serde_json::to_string(&world.record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), world.record);
    let machine = world.record.launches[0].machine.clone();
    world.record.launches.iter_mut().for_each(|launch| launch.machine = machine.clone());
    assert_eq!(world.record.begin(intent(), world.clock.now()).unwrap_err(), Begin::Full);
    assert_eq!(Target::of(&offer()), Target::Host("host-1".into()));
}
