//! The breaker and the list of blocks.

use std::time::Duration;

use cooperator_core::time::{SignedDuration, Timestamp};

use super::world::offer;
use crate::{Blocks, Breaker, Gate, Reason, Settings, Target};

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn settings() -> Settings {
    Settings { failures: 3, window: Duration::from_secs(100), pause: Duration::from_secs(50) }
}

#[test]
fn many_failures_within_the_window_open_the_breaker_and_old_ones_do_not_count() {
    let mut breaker = Breaker::default();
    for second in [0, 10, 105] {
        breaker.failed(&settings(), at(second));
        assert_eq!(breaker.gate(at(second)), Gate::Closed);
    }
    breaker.failed(&settings(), at(106));
    assert_eq!(breaker.gate(at(106)), Gate::Open { until: at(156) });
    breaker.failed(&settings(), at(140));
    assert_eq!(breaker.gate(at(140)), Gate::Open { until: at(156) }, "it began before");
}

#[test]
fn after_the_pause_one_is_tried_and_decides() {
    let mut breaker = Breaker::default();
    (0..3).for_each(|second| breaker.failed(&settings(), at(second)));
    assert_eq!(breaker.gate(at(52)), Gate::HalfOpen);
    breaker.try_one(&settings(), at(60));
    assert_eq!(breaker.gate(at(61)), Gate::Open { until: at(110) });
    breaker.succeeded(&settings(), at(1));
    assert!(breaker.paused_until.is_some(), "it was launched before the breaker opened");
    let mut failed = breaker.clone();
    breaker.succeeded(&settings(), at(60));
    assert_eq!(breaker, Breaker::default());
    assert_eq!(failed.gate(at(110)), Gate::HalfOpen, "the trial never told");
    failed.failed(&settings(), at(111));
    assert_eq!(failed.gate(at(111)), Gate::Open { until: at(161) });
}

#[test]
fn a_block_holds_its_host_until_it_ends() {
    let mut blocks = Blocks::default();
    blocks.block(Target::of(&offer()), at(100), Reason::Failed);
    blocks.block(Target::of(&offer()), at(50), Reason::LaunchTimeout);
    let mut other = offer();
    other.id = "ask-2".into();
    assert_eq!(blocks.of(&other, at(99)).unwrap().reason, Reason::Failed, "another offer of one host");
    assert!(blocks.of(&other, at(100)).is_none());
    other.host = None;
    assert!(blocks.of(&other, at(0)).is_none());
    blocks.block(Target::of(&other), at(10), Reason::NoCapacity);
    assert!(blocks.of(&other, at(0)).is_some());
    assert!(blocks.prune(at(20)) && !blocks.prune(at(20)));
    assert_eq!(blocks.iter().count(), 1);
}

#[test]
fn blocks_are_bounded_and_the_first_to_end_is_forgotten() {
    let mut blocks = Blocks::default();
    for number in 0..70_u32 {
        let target = Target::Host(format!("host-{number}").as_str().into());
        blocks.block(target, at(1000 - i64::from(number)), Reason::Failed);
    }
    assert_eq!(blocks.iter().count(), 64);
    assert!(blocks.iter().all(|block| block.until >= at(937)));
}
