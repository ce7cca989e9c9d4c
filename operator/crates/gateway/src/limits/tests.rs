use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn bound(unit: Unit, per_minute: u32, cost: u64) -> Bound {
    Bound { scope: "key".to_owned(), unit, per_minute, cost }
}

#[test]
fn a_minutes_worth_may_come_at_once_and_refills_evenly() {
    let (limiter, start) = (Limiter::default(), Instant::now());
    let one = [bound(Unit::Requests, 60, 1)];
    for _ in 0..60 {
        limiter.take(&one, 1, start).unwrap();
    }
    let error = limiter.take(&one, 1, start).unwrap_err();
    assert_eq!(error, ApiError::RateLimited { what: "requests", bound: 60, retry_after: 1 });
    assert!(limiter.take(&one, 1, start + Duration::from_millis(999)).is_err());
    assert!(limiter.take(&one, 1, start + Duration::from_secs(1)).is_ok());
}

#[test]
fn whoever_waits_as_long_as_told_is_served() {
    let (limiter, start) = (Limiter::default(), Instant::now());
    let many = [bound(Unit::Tokens, 1000, 600)];
    limiter.take(&many, 1, start).unwrap();
    let Err(ApiError::RateLimited { retry_after, .. }) = limiter.take(&many, 1, start) else { panic!() };
    assert!(limiter.take(&many, 1, start + Duration::from_secs(retry_after)).is_ok());
}

#[test]
fn a_refusal_by_one_bound_takes_nothing_from_another() {
    let (limiter, start) = (Limiter::default(), Instant::now());
    let both = [bound(Unit::Requests, 2, 1), bound(Unit::Tokens, 10, 10)];
    limiter.take(&both, 1, start).unwrap();
    assert!(limiter.take(&both, 1, start).is_err());
    assert!(limiter.take(&both[..1], 1, start).is_ok());
}

#[test]
fn tokens_that_were_not_used_come_back_requests_do_not() {
    let (limiter, start) = (Limiter::default(), Instant::now());
    let both = [bound(Unit::Requests, 2, 1), bound(Unit::Tokens, 100, 100)];
    let taken = limiter.take(&both, 1, start).unwrap();
    limiter.settle(taken, 40);
    assert!(limiter.take(&[bound(Unit::Tokens, 100, 60)], 1, start).is_ok());
    assert!(limiter.take(&[bound(Unit::Tokens, 100, 1)], 1, start).is_err());
    assert!(limiter.take(&both[..1], 1, start).is_ok());
    assert!(limiter.take(&both[..1], 1, start).is_err());
}

#[test]
fn a_request_above_a_whole_minute_is_served_when_nothing_else_is() {
    let (limiter, start) = (Limiter::default(), Instant::now());
    let huge = [bound(Unit::Tokens, 10, 1_000_000)];
    assert!(limiter.take(&huge, 1, start).is_ok());
    assert!(limiter.take(&huge, 1, start).is_err());
}

proptest! {
    #[test]
    fn in_any_minute_no_more_than_twice_the_bound_passes(
        gaps in prop::collection::vec(0..5000_u64, 1..200), per_minute in 1..100_u32, replicas in 1..5_u32,
    ) {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let (mut at, mut passed) = (Duration::ZERO, Vec::new());
        for gap in gaps {
            at += Duration::from_millis(gap);
            if limiter.take(&[bound(Unit::Requests, per_minute, 1)], replicas, start + at).is_ok() {
                passed.push(at);
            }
        }
        let part = per_minute.div_ceil(replicas) as usize;
        for from in &passed {
            let within = passed.iter().filter(|at| **at >= *from && **at < *from + Duration::from_secs(60)).count();
            prop_assert!(within <= 2 * part + 1, "{within} of {part}");
        }
    }
}
