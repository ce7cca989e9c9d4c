use cooperator_api::common::Attempt;
use jiff::{SignedDuration, Timestamp};

use super::{failed, open};
use crate::runs::failure::{Failure, FailureKind, Retry};
use crate::runs::next::{Rules, Silence, Step, ended, given_up, newest, next};
use crate::runs::state::{Activity, Ending, Product, State, Waiting};

fn at(seconds: i64) -> Timestamp {
    "2026-11-24T12:01:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

const RULES: Rules = Rules { retries: 2, suspend: false, renewed: false, silence: None };
const SUSPEND: Rules = Rules { suspend: true, ..RULES };

#[test]
fn the_first_attempt_is_written_down_before_anything_is_made() {
    assert_eq!(next(&[], &State::Missing, RULES, at(0)), Step::Begin { number: 1 });
}

#[test]
fn an_attempt_that_is_written_down_and_has_no_job_is_launched_also_after_a_crash() {
    assert_eq!(next(&[open(1)], &State::Missing, RULES, at(0)), Step::Launch);
}

#[test]
fn a_failure_that_counts_is_followed_by_another_attempt_after_a_pause_that_doubles() {
    let one = [failed(1, "Crashed")];
    assert!(
        matches!(next(&one, &State::Missing, RULES, at(9)), Step::Pause { at: until, .. } if until == at(10))
    );
    assert_eq!(next(&one, &State::Missing, RULES, at(10)), Step::Begin { number: 2 });
    let two = [failed(1, "Crashed"), failed(2, "Crashed")];
    assert!(
        matches!(next(&two, &State::Missing, RULES, at(10)), Step::Pause { at: until, .. } if until == at(20))
    );
}

#[test]
fn more_counted_failures_than_the_limit_are_given_up() {
    let three = [failed(1, "Crashed"), failed(2, "StorageUnavailable"), failed(3, "Crashed")];
    let Step::GiveUp(failure) = next(&three, &State::Missing, RULES, at(900)) else { panic!() };
    assert_eq!(failure.kind, FailureKind::Crashed);
    assert_eq!(given_up(&three, RULES), Some(failure));
    let raised = Rules { retries: 3, ..RULES };
    assert_eq!(next(&three, &State::Missing, raised, at(900)), Step::Begin { number: 4 });
}

#[test]
fn rented_machines_that_are_unfit_cost_no_attempt_until_there_were_too_many_of_them() {
    let unfit =
        |number| Attempt { node_claim: Some(format!("m{number}")), ..failed(number, "PreflightFailed") };
    let attempts: Vec<Attempt> = (1..=9).map(unfit).collect();
    let strict = Rules { retries: 0, ..RULES };
    assert_eq!(next(&attempts[..5], &State::Missing, strict, at(900)), Step::Begin { number: 6 });
    assert!(matches!(next(&attempts[..6], &State::Missing, strict, at(900)), Step::GiveUp(_)));
    assert_eq!(next(&attempts[..7], &State::Missing, RULES, at(900)), Step::Begin { number: 8 });
    assert!(matches!(next(&attempts[..8], &State::Missing, RULES, at(900)), Step::GiveUp(_)));
    // Another failure counts as it ever did.
    let crashed = [unfit(1), unfit(2), failed(3, "Crashed")];
    assert!(matches!(next(&crashed, &State::Missing, strict, at(900)), Step::GiveUp(_)));
    // A node of the cluster is for people to see to: there it counts.
    let own = [failed(1, "PreflightFailed")];
    assert!(matches!(next(&own, &State::Missing, strict, at(900)), Step::GiveUp(_)));
}

fn running(since: i64) -> State {
    State::Active(Activity { since: Some(at(since)), ..Activity::default() })
}

fn silent_since(seconds: i64) -> Rules {
    Rules { silence: Some(Silence { most: SignedDuration::from_mins(30), since: at(seconds) }), ..RULES }
}

#[test]
fn a_pod_that_runs_and_reports_nothing_for_too_long_is_condemned_stopped_and_counted() {
    let Step::Watch(activity) = next(&[open(1)], &running(0), silent_since(60), at(1859)) else { panic!() };
    assert_eq!(activity.hung_at, Some(at(1860)));
    let Step::Condemn(failure) = next(&[open(1)], &running(0), silent_since(60), at(1860)) else { panic!() };
    assert!(failure.message.contains("1800 s (spec.progressDeadlineSeconds)"), "{}", failure.message);
    let condemned = [Attempt {
        reason: Some(failure.kind.to_string()),
        message: Some(failure.message.clone()),
        ..open(1)
    }];
    // Also with the progress that came too late, and after a crash of this program.
    assert_eq!(next(&condemned, &running(0), silent_since(1860), at(1861)), Step::Stop);
    assert_eq!(next(&condemned, &State::Stopping, RULES, at(1861)), Step::Drain);
    let Step::End(ending) = next(&condemned, &State::Missing, RULES, at(1861)) else { panic!() };
    let attempts = ended(condemned.to_vec(), &ending, at(1861));
    assert_eq!(attempts[0].reason.as_deref(), Some("Stalled"));
    assert_eq!(FailureKind::Stalled.retry(), Retry::Counted);
    assert_eq!(next(&attempts, &State::Missing, RULES, at(1900)), Step::Begin { number: 2 });
}

#[test]
fn a_condemned_attempt_that_ends_before_it_is_stopped_keeps_its_reason_unless_it_made_its_product() {
    let condemned = [Attempt { reason: Some("Stalled".into()), ..open(1) }];
    let interrupted = FailureKind::Run(cooperator_contract::outcome::FailureReason::Interrupted);
    let ending = |result| State::Ended(Ending { at: Some(at(5)), node: None, result });
    let stopped = ending(Err(Failure::new(interrupted, "SIGTERM")));
    let Step::End(end) = next(&condemned, &stopped, RULES, at(9)) else { panic!() };
    assert_eq!(end.result.unwrap_err().kind, FailureKind::Stalled);
    let product = Product { digest: cooperator_core::digest::Digest::of(b"x"), key: "k".into() };
    let made = ending(Ok(product.clone()));
    let Step::End(end) = next(&condemned, &made, RULES, at(9)) else { panic!() };
    let attempts = ended(condemned.to_vec(), &end, at(9));
    assert_eq!((end.result, attempts[0].message.as_deref()), (Ok(product), None));
}

#[test]
fn a_pod_that_waits_for_a_node_is_not_silent_and_its_patience_begins_when_it_runs() {
    let waiting = Waiting { reason: "Unschedulable", message: "no node".into() };
    let held = State::Active(Activity { waiting: Some(waiting), ..Activity::default() });
    assert!(matches!(next(&[open(1)], &held, silent_since(0), at(9000)), Step::Watch(_)));
    assert!(matches!(next(&[open(1)], &running(8000), silent_since(0), at(9000)), Step::Watch(_)));
}

#[test]
fn evictions_do_not_count() {
    let many: Vec<_> = (1..=9).map(|number| failed(number, "Evicted")).collect();
    assert_eq!(next(&many, &State::Missing, RULES, at(900)), Step::Begin { number: 10 });
}

#[test]
fn what_would_fail_again_is_given_up_at_once_until_the_spec_changes() {
    let one = [failed(1, "OutOfMemory")];
    assert!(matches!(next(&one, &State::Missing, RULES, at(900)), Step::GiveUp(_)));
    let renewed = Rules { renewed: true, ..RULES };
    assert_eq!(next(&one, &State::Missing, renewed, at(900)), Step::Begin { number: 2 });
    assert_eq!(given_up(&one, renewed), None);
}

#[test]
fn a_source_that_is_not_there_is_looked_for_again_seldom() {
    let one = [failed(1, "SourceNotFound")];
    assert!(matches!(next(&one, &State::Missing, RULES, at(59)), Step::Pause { .. }));
    assert_eq!(next(&one, &State::Missing, RULES, at(60)), Step::Begin { number: 2 });
}

#[test]
fn suspension_stops_what_runs_waits_for_it_and_then_holds() {
    let running = State::Active(Activity::default());
    assert_eq!(next(&[open(1)], &running, SUSPEND, at(0)), Step::Stop);
    assert_eq!(next(&[open(1)], &State::Stopping, SUSPEND, at(0)), Step::Drain);
    let Step::End(ending) = next(&[open(1)], &State::Missing, SUSPEND, at(0)) else { panic!() };
    let attempts = ended(vec![open(1)], &ending, at(0));
    assert_eq!(attempts[0].reason.as_deref(), Some("Suspended"));
    assert_eq!(next(&attempts, &State::Missing, SUSPEND, at(0)), Step::Hold);
    assert_eq!(next(&attempts, &State::Missing, RULES, at(0)), Step::Begin { number: 2 });
}

#[test]
fn a_product_that_is_ready_while_suspension_comes_is_taken() {
    let product = crate::runs::Product {
        digest: cooperator_core::digest::Digest::of(b"adapter"),
        key: "adapters/x/evaluation.json".into(),
    };
    let ending = Ending { at: None, node: None, result: Ok(product) };
    let state = State::Ended(ending.clone());
    assert_eq!(next(&[open(1)], &state, SUSPEND, at(0)), Step::End(ending));
}

#[test]
fn status_keeps_the_newest_attempts() {
    let many: Vec<_> = (1..=9).map(|number| failed(number, "Evicted")).collect();
    let kept: Vec<i32> = newest(many, 3).iter().map(|attempt| attempt.number).collect();
    assert_eq!(kept, [7, 8, 9]);
}
