//! What to do next with a run: a pure decision over its attempts and the state of the newest one.

use std::time::Duration;

use cooperator_api::common::Attempt;
use cooperator_contract::outcome::FailureReason;
use cooperator_core::backoff::Backoff;
use jiff::{SignedDuration, Timestamp};

use super::failure::{Failure, FailureKind, Retry};
use super::state::{Activity, Ending, State};

/// `status.attempts[].reason` of an attempt that made its product.
pub const SUCCEEDED: &str = "Succeeded";

/// The pause before another attempt.
const PAUSE: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
/// The pause before a source that was not there is looked for again.
const SLOW: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(3600));

/// Rented machines that may prove unfit for nothing. Those beyond count: what no machine is fit for is not asked of ever
/// more machines.
const UNFIT: usize = 5;

/// The next step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write attempt `number` down; nothing is made before that.
    Begin {
        /// From 1.
        number: i32,
    },
    /// The newest attempt is written down and has no Job: make it.
    Launch,
    /// The newest attempt is under way.
    Watch(Activity),
    /// The newest attempt hangs: write that down, so that it is still known when its Job is gone.
    Condemn(Failure),
    /// The newest attempt is under way and must not be: take its Job away.
    Stop,
    /// The newest attempt's Job is going away: wait for that.
    Drain,
    /// Nothing runs, and nothing may begin: it is suspended.
    Hold,
    /// The newest attempt ended, and that is not written down yet.
    End(Ending),
    /// The next attempt begins at `at`.
    Pause {
        /// When.
        at: Timestamp,
        /// Why the newest attempt ended.
        failure: Failure,
    },
    /// It is not tried again.
    GiveUp(Failure),
}

/// What bounds a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How many failed attempts that count may be followed by another.
    pub retries: u32,
    /// Whether it is held back for now.
    pub suspend: bool,
    /// Whether the spec was changed since the last word on it: what was given up then gets one more attempt.
    pub renewed: bool,
    /// How long a pod that runs may report no progress, and since when that counts at the earliest; none: for ever.
    pub silence: Option<Silence>,
}

/// A bound on how long a run may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Longest time without a report.
    pub most: SignedDuration,
    /// The last report, or when this program began to listen, whichever is later.
    pub since: Timestamp,
}

/// Decides.
pub fn next(attempts: &[Attempt], state: &State, rules: Rules, now: Timestamp) -> Step {
    match attempts.last() {
        Some(newest) if newest.ended_at.is_none() => under_way(newest, state, rules, now),
        newest => match over(attempts, newest, rules, now) {
            Step::Begin { .. } | Step::Pause { .. } if rules.suspend => Step::Hold,
            step => step,
        },
    }
}

/// The same for an attempt that cannot go on where it is: it is stopped, or never begins.
pub fn leaving(step: Step, why: &Failure) -> Step {
    match step {
        Step::Watch(_) => Step::Condemn(why.clone()),
        Step::Launch => Step::End(Ending { at: None, node: None, result: Err(why.clone()) }),
        // A node that is lost is lost for this reason.
        Step::End(Ending { at, node, result: Err(failure) }) if failure.kind == FailureKind::NodeLost => {
            Step::End(Ending { at, node, result: Err(why.clone()) })
        }
        step => step,
    }
}

/// Why the run is not tried again, if that is so.
pub fn given_up(attempts: &[Attempt], rules: Rules) -> Option<Failure> {
    let newest = attempts.last().filter(|newest| newest.ended_at.is_some());
    match over(attempts, newest, rules, Timestamp::MAX) {
        Step::GiveUp(failure) => Some(failure),
        _ => None,
    }
}

fn under_way(newest: &Attempt, state: &State, rules: Rules, now: Timestamp) -> Step {
    match (state, sentence(newest)) {
        (State::Missing, Some(failure)) => {
            Step::End(Ending { at: None, node: newest.node.clone(), result: Err(failure) })
        }
        (State::Missing, None) if rules.suspend => Step::End(Ending {
            at: None,
            node: None,
            result: Err(Failure::new(
                FailureKind::Suspended,
                "stopped by spec.suspend: it goes on from its checkpoint",
            )),
        }),
        (State::Missing, None) => Step::Launch,
        (State::Stopping, _) => Step::Drain,
        (State::Active(_), Some(_)) => Step::Stop,
        (State::Active(_), None) if rules.suspend => Step::Stop,
        (State::Active(activity), None) => watch(activity, rules.silence, now),
        (State::Ended(ending), Some(failure)) if ending.result.is_err() => {
            Step::End(Ending { result: Err(failure), ..ending.clone() })
        }
        (State::Ended(ending), _) => Step::End(ending.clone()),
    }
}

/// A reason before the end is a sentence: the attempt is to be stopped, and this is why.
pub fn sentence(attempt: &Attempt) -> Option<Failure> {
    (attempt.ended_at.is_none() && attempt.reason.is_some()).then(|| failure_of(attempt))
}

/// Lets it run, unless its pod runs and has been silent for too long.
fn watch(activity: &Activity, silence: Option<Silence>, now: Timestamp) -> Step {
    let running = activity.since.filter(|_| activity.waiting.is_none());
    let (Some(running), Some(Silence { most, since })) = (running, silence) else {
        return Step::Watch(activity.clone());
    };
    let hung_at = cooperator_core::time::later(running.max(since), most);
    if now < hung_at {
        return Step::Watch(Activity { hung_at: Some(hung_at), ..activity.clone() });
    }
    let message = format!(
        "no progress was reported for {} s (spec.progressDeadlineSeconds): it is stopped and goes on from its checkpoint; \
         see the pod's log, and whether the pod reaches the operator",
        most.as_secs()
    );
    Step::Condemn(Failure::new(FailureKind::Stalled, message))
}

fn over(attempts: &[Attempt], newest: Option<&Attempt>, rules: Rules, now: Timestamp) -> Step {
    let Some(newest) = newest else { return Step::Begin { number: 1 } };
    let following = Step::Begin { number: newest.number.saturating_add(1) };
    if newest.reason.as_deref() == Some(SUCCEEDED) {
        // Its product was not kept (a crash, or a status set back by hand): the attempt after it finds all the work
        // done in object storage.
        return following;
    }
    let failure = failure_of(newest);
    match retry(attempts, newest) {
        Retry::Never | Retry::Counted if rules.renewed => following,
        Retry::Never => Step::GiveUp(failure),
        Retry::Counted if counted(attempts) > rules.retries as usize => Step::GiveUp(failure),
        Retry::Counted | Retry::Free | Retry::Slow => {
            let at = pause_end(newest, failure.kind);
            if now < at { Step::Pause { at, failure } } else { following }
        }
    }
}

/// The newest attempts, at most `keep`: what status holds.
pub fn newest(mut attempts: Vec<Attempt>, keep: usize) -> Vec<Attempt> {
    attempts.drain(..attempts.len().saturating_sub(keep));
    attempts
}

/// `attempts` with the newest one ended as `ending` says, at `now` where the cluster told no time.
pub fn ended(mut attempts: Vec<Attempt>, ending: &Ending, now: Timestamp) -> Vec<Attempt> {
    if let Some(newest) = attempts.last_mut() {
        newest.ended_at = Some(cooperator_core::time::whole_second(ending.at.unwrap_or(now)).to_string());
        newest.node.clone_from(&ending.node);
        match &ending.result {
            Ok(_) => (newest.reason, newest.message) = (Some(SUCCEEDED.into()), None),
            Err(failure) => {
                newest.reason = Some(failure.kind.to_string());
                newest.message = Some(failure.message.clone());
            }
        }
    }
    attempts
}

/// Why an ended attempt ended.
pub fn failure_of(attempt: &Attempt) -> Failure {
    let kind = FailureKind::parse(attempt.reason.as_deref().unwrap_or_default());
    Failure::new(kind, attempt.message.clone().unwrap_or_default())
}

/// Whether an attempt found out that the machine rented for it is not fit: that is no more the run's fault than it is when a
/// machine is taken away. On a node of the cluster it is for people to see to.
pub fn is_unfit(attempt: &Attempt) -> bool {
    let kind = FailureKind::Run(FailureReason::PreflightFailed);
    attempt.ended_at.is_some() && attempt.node_claim.is_some() && failure_of(attempt).kind == kind
}

/// What the next attempt owes to the newest.
fn retry(attempts: &[Attempt], newest: &Attempt) -> Retry {
    match failure_of(newest).kind.retry() {
        Retry::Counted if is_unfit(newest) && unfit(attempts) <= UNFIT => Retry::Free,
        owed => owed,
    }
}

fn unfit(attempts: &[Attempt]) -> usize {
    attempts.iter().filter(|attempt| is_unfit(attempt)).count()
}

fn counted(attempts: &[Attempt]) -> usize {
    let counts = |attempt: &&Attempt| {
        let failed = attempt.ended_at.is_some() && attempt.reason.as_deref() != Some(SUCCEEDED);
        failed && !is_unfit(attempt) && failure_of(attempt).kind.retry() == Retry::Counted
    };
    attempts.iter().filter(counts).count() + unfit(attempts).saturating_sub(UNFIT)
}

/// When the attempt after `newest` may begin. A suspension owes no pause.
fn pause_end(newest: &Attempt, kind: FailureKind) -> Timestamp {
    let ended: Timestamp =
        newest.ended_at.as_deref().and_then(|time| time.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let failures = u32::try_from(newest.number).unwrap_or(u32::MAX);
    let pause = match kind.retry() {
        _ if kind == FailureKind::Suspended => Duration::ZERO,
        Retry::Slow => SLOW.delay(failures),
        Retry::Counted | Retry::Free | Retry::Never => PAUSE.delay(failures),
    };
    cooperator_core::time::later(ended, SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX))
}
