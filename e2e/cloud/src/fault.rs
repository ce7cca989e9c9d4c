//! Faults by switch: each the next so many times, or with a chance that a seed decides.

use std::collections::BTreeMap;

use cooperator_core::time::Timestamp;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::vendor::{Vendor, Verb};

/// Hits that are remembered one by one; all are counted.
const REMEMBERED: usize = 10_000;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A machine is made and neither list nor get shows it for a while (20 s).
    CreatedThenInvisible,
    /// The work is done, and the connection is cut before a byte of the answer.
    TimeoutThenSuccess,
    /// The connection is cut, and nothing was done.
    TimeoutBeforeWork,
    /// A create takes an offer without its leaving the market, or although another has it; this machine dies later (60 s).
    DoubleAccept,
    /// Vast.ai: a bid is refused as too low, and the answer names a stopped machine whose disk is paid for.
    BidFailsWithId,
    /// 410.
    Gone,
    /// 429 as plain text, without a word on how long to wait.
    PlainTextThrottle,
    /// What was for rent a moment ago no longer is.
    OfferVanished,
    /// A machine boots and boots.
    LoadingForEver,
    /// A delete answers 500, and the machine is gone.
    DeleteFailsButGone,
    /// Deletes of the machine answer 500 for a while (300 s), and it stays.
    DeleteFails,
    /// A machine that has run for a while (300 s) is said to have exited at no cost, and is paid for in full.
    ExitedButBilling,
    /// A machine that has run for a while (600 s) is taken away, 120 s after it was told so.
    PreemptedWithNotice,
    /// A machine that has run for a while (600 s) is taken away.
    Preempted,
    /// A machine that has run for a while (300 s) stops working; the vendor says that it runs.
    SilentDisconnect,
    /// A list has no rows; what it says of their number stays true.
    EmptyPage,
    /// The answer's JSON breaks off in its middle.
    TruncatedJson,
    /// 200, and a page of HTML.
    Garbage,
    /// 5xx, and nothing was done.
    ServerError,
    /// A machine has no GPU, though it was let for one.
    LyingHost,
}

impl Fault {
    /// Whether it can meet a call of this kind.
    pub const fn meets(self, vendor: Vendor, verb: Verb) -> bool {
        match self {
            Self::CreatedThenInvisible
            | Self::DoubleAccept
            | Self::OfferVanished
            | Self::LoadingForEver
            | Self::ExitedButBilling
            | Self::PreemptedWithNotice
            | Self::Preempted
            | Self::SilentDisconnect
            | Self::LyingHost => matches!(verb, Verb::Create),
            Self::BidFailsWithId => matches!((vendor, verb), (Vendor::Vast, Verb::Create)),
            Self::DeleteFailsButGone | Self::DeleteFails => matches!(verb, Verb::Delete),
            Self::EmptyPage => matches!(verb, Verb::List | Verb::Offers),
            Self::TimeoutThenSuccess => verb.changes(),
            Self::TruncatedJson
            | Self::Garbage
            | Self::TimeoutBeforeWork
            | Self::Gone
            | Self::PlainTextThrottle
            | Self::ServerError => true,
        }
    }

    /// Seconds it takes or lasts, unless a rule says otherwise.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::CreatedThenInvisible => 20,
            Self::DoubleAccept => 60,
            Self::DeleteFails | Self::ExitedButBilling | Self::SilentDisconnect => 300,
            Self::PreemptedWithNotice | Self::Preempted => 600,
            _ => 0,
        }
    }
}

/// How often a rule bites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// On the next so many calls that it can meet.
    Next(u32),
    /// On each, with this chance in ten thousand.
    Chance(u32),
}

/// A fault that is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// Only with this vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// Only with calls of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// How often.
    pub when: When,
    /// Seconds it takes or lasts; by default what [`Fault`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Rule {
    /// The next call that the fault can meet.
    pub const fn once(fault: Fault) -> Self {
        Self { fault, vendor: None, verb: None, when: When::Next(1), seconds: None }
    }

    /// Every call that the fault can meet, with this chance in ten thousand.
    pub const fn chance(fault: Fault, of_ten_thousand: u32) -> Self {
        Self { fault, vendor: None, verb: None, when: When::Chance(of_ten_thousand), seconds: None }
    }

    /// This rule with one vendor alone.
    #[must_use]
    pub const fn with(mut self, vendor: Vendor) -> Self {
        self.vendor = Some(vendor);
        self
    }

    /// This rule for one kind of call alone.
    #[must_use]
    pub const fn on(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// This rule the next `count` times.
    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.when = When::Next(count);
        self
    }

    /// This rule with so many seconds.
    #[must_use]
    pub const fn lasting(mut self, seconds: u64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    fn meets(&self, vendor: Vendor, verb: Verb) -> bool {
        self.vendor.is_none_or(|only| only == vendor)
            && self.verb.is_none_or(|only| only == verb)
            && self.fault.meets(vendor, verb)
    }
}

/// A fault that meets a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// What goes wrong.
    pub fault: Fault,
    /// Seconds it takes or lasts.
    pub seconds: u64,
}

/// A fault that has met a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// When.
    pub at: Timestamp,
    /// With whom.
    pub vendor: Vendor,
    /// On what.
    pub verb: Verb,
    /// What went wrong.
    pub fault: Fault,
}

/// The switches.
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Vec<Rule>,
    dice: ChaCha8Rng,
    hits: Vec<Hit>,
    counts: BTreeMap<Fault, u64>,
}

impl Faults {
    /// These rules; chances fall as the seed says.
    pub fn new(rules: Vec<Rule>, seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(2);
        Self { rules, dice, hits: Vec::new(), counts: BTreeMap::new() }
    }

    /// These rules instead of the others.
    pub fn set(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// One more rule, after the others.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// The rules that still hold.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The first faults that met a call, in order.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// How often each fault met a call.
    pub fn counts(&self) -> &BTreeMap<Fault, u64> {
        &self.counts
    }

    /// The fault that meets this call: the first rule in order that bites.
    pub fn draw(&mut self, vendor: Vendor, verb: Verb, at: Timestamp) -> Option<Drawn> {
        let mut found = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.meets(vendor, verb)) {
            let bites = match &mut rule.when {
                When::Next(0) => false,
                When::Next(left) => {
                    *left -= 1;
                    true
                }
                When::Chance(of_ten_thousand) => self.dice.random_range(0..10_000_u32) < *of_ten_thousand,
            };
            if bites {
                found =
                    Some(Drawn { fault: rule.fault, seconds: rule.seconds.unwrap_or(rule.fault.seconds()) });
                break;
            }
        }
        self.rules.retain(|rule| rule.when != When::Next(0));
        if let Some(drawn) = found {
            *self.counts.entry(drawn.fault).or_default() += 1;
            if self.hits.len() < REMEMBERED {
                self.hits.push(Hit { at, vendor, verb, fault: drawn.fault });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(faults: &mut Faults, verb: Verb) -> Option<Fault> {
        faults.draw(Vendor::Vast, verb, Timestamp::UNIX_EPOCH).map(|drawn| drawn.fault)
    }

    #[test]
    fn a_rule_bites_the_next_calls_it_can_meet_and_is_then_gone() {
        let mut faults = Faults::new(vec![Rule::once(Fault::EmptyPage).times(2)], 1);
        assert_eq!(draw(&mut faults, Verb::Create), None);
        assert_eq!(draw(&mut faults, Verb::List), Some(Fault::EmptyPage));
        assert_eq!(draw(&mut faults, Verb::Offers), Some(Fault::EmptyPage));
        assert_eq!(draw(&mut faults, Verb::List), None);
        assert!(faults.rules().is_empty());
        assert_eq!(faults.counts()[&Fault::EmptyPage], 2);
        assert_eq!(faults.hits().len(), 2);
    }

    #[test]
    fn a_rule_for_one_vendor_and_verb_leaves_the_others_alone() {
        let rule = Rule::once(Fault::ServerError).with(Vendor::Vast).on(Verb::Get);
        let mut faults = Faults::new(vec![rule], 1);
        assert_eq!(faults.draw(Vendor::Lambda, Verb::Get, Timestamp::UNIX_EPOCH), None);
        assert_eq!(draw(&mut faults, Verb::List), None);
        assert_eq!(draw(&mut faults, Verb::Get), Some(Fault::ServerError));
    }

    #[test]
    fn chances_fall_as_the_seed_says_and_about_as_often_as_they_should() {
        let fall = |seed| {
            let mut faults = Faults::new(vec![Rule::chance(Fault::Garbage, 2_500)], seed);
            (0..2_000).map(|_| draw(&mut faults, Verb::Get).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(fall(7), fall(7));
        assert_ne!(fall(7), fall(8));
        let hits = fall(7).into_iter().filter(|hit| *hit).count();
        assert!((400..600).contains(&hits), "{hits}");
    }
}
