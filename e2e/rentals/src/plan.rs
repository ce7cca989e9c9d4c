//! What a seed decides: what becomes of each claim, and what goes wrong.

use cooperator_cloud::fault::{Fault, Rule};
use cooperator_cloud::{Vendor, Verb};
use cooperator_core::time::{SignedDuration, Timestamp, later};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

/// Longest until the last claim is made, in seconds.
const SPREAD: i64 = 900;
/// Shortest and longest that a claim is kept, in seconds.
const KEPT: (i64, i64) = (20, 600);

/// How a claim goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It is deleted, and is there until its machine is gone.
    Deleted,
    /// Its finalizer is removed by hand, and the operator sees it go.
    Seen,
    /// The same, and the operator does not see it: whatever it rented has no claim any more.
    Unseen,
    /// Its status is lost: it is there, and has forgotten what it rented.
    Wiped,
}

/// What becomes of one claim.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// When it is made.
    pub made: Timestamp,
    /// When it goes.
    pub goes: Timestamp,
    /// How.
    pub going: Going,
}

/// What becomes of so many claims.
pub fn fates(dice: &mut ChaCha8Rng, claims: usize, start: Timestamp) -> Vec<Fate> {
    let fate = |dice: &mut ChaCha8Rng| {
        let made = later(start, SignedDuration::from_secs(dice.random_range(0..SPREAD)));
        let goes = later(made, SignedDuration::from_secs(dice.random_range(KEPT.0..KEPT.1)));
        let going = match dice.random_range(0..20) {
            0 => Going::Seen,
            1..=2 => Going::Unseen,
            3 => Going::Wiped,
            _ => Going::Deleted,
        };
        Fate { made, goes, going }
    };
    (0..claims).map(|_| fate(dice)).collect()
}

/// What goes wrong at the vendors, in ten thousand calls of the kind that each fault can meet.
pub fn faults() -> Vec<Rule> {
    let vendors = [Vendor::Vast, Vendor::RunPod, Vendor::Hetzner];
    let mut rules = vec![
        // For less long than each driver says that its vendor's answers take to settle.
        Rule::chance(Fault::CreatedThenInvisible, 600).lasting(8).with(Vendor::Hetzner),
        Rule::chance(Fault::CreatedThenInvisible, 600).lasting(20),
        Rule::chance(Fault::TimeoutThenSuccess, 400).on(Verb::Create),
        Rule::chance(Fault::TimeoutThenSuccess, 300).on(Verb::Delete),
        Rule::chance(Fault::TimeoutBeforeWork, 400).on(Verb::Create),
        Rule::chance(Fault::TimeoutBeforeWork, 100),
        Rule::chance(Fault::DoubleAccept, 300),
        Rule::chance(Fault::BidFailsWithId, 1500),
        Rule::chance(Fault::OfferVanished, 300),
        Rule::chance(Fault::LoadingForEver, 200),
        Rule::chance(Fault::LyingHost, 100),
        Rule::chance(Fault::SilentDisconnect, 100).lasting(60),
        Rule::chance(Fault::DeleteFailsButGone, 400),
        Rule::chance(Fault::DeleteFails, 400).lasting(20),
        Rule::chance(Fault::EmptyPage, 150),
        Rule::chance(Fault::Gone, 30),
        Rule::chance(Fault::PlainTextThrottle, 50),
        Rule::chance(Fault::ServerError, 100),
        Rule::chance(Fault::TruncatedJson, 50),
        Rule::chance(Fault::Garbage, 50),
    ];
    // Lambda takes no machine away, and tells of none when that was: there is nothing to hold its bill against.
    rules.extend(vendors.iter().flat_map(|vendor| {
        [
            Rule::chance(Fault::ExitedButBilling, 200).lasting(90).with(*vendor),
            Rule::chance(Fault::PreemptedWithNotice, 300).lasting(60).with(*vendor),
            Rule::chance(Fault::Preempted, 400).lasting(90).with(*vendor),
        ]
    }));
    rules
}
