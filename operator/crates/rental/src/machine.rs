//! One machine that a vendor has made for us, as far as it is known: what is written down of it.

use cooperator_core::money::{Amount, PricePerHour};
use cooperator_core::time::Timestamp;
use cooperator_providers::{Deleted, Error, Instance, InstanceId, State};
use serde::{Deserialize, Serialize};

/// What is known of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The vendor's name for it.
    pub instance: InstanceId,
    /// When it was asked for, or the earliest it can have been: what it costs counts from here until the vendor tells.
    pub made_at: Timestamp,
    /// When we came to know of it: the vendor's answers about it settle from here on.
    pub known_at: Timestamp,
    /// From when on it is paid for, by the vendor's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What an hour costs, by the vendor's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<PricePerHour>,
    /// When it was first seen running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_at: Option<Timestamp>,
    /// When it was first seen stopped: from here on its disk alone is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// Since when the vendor says that there is no such machine, while nobody has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Timestamp>,
    /// How often its deletion was asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deletes: u32,
    /// When its deletion was last asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_asked_at: Option<Timestamp>,
    /// When its deletion was to be asked for, as long as it is not known whether it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsure_at: Option<Timestamp>,
    /// How often that was written down since the last deletion.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub marks: u32,
    /// When the deletion was asked for that the vendor does: where it tells no end, the machine is paid for until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// When the vendor said that it is gone. It is believed once a list confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// Until when it is paid for: the vendor's word, else the best that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When its end was confirmed: it costs nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// What the vendor charged for it, once that is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<Amount>,
    /// Since when what it cost will not change any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounted_at: Option<Timestamp>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Machine {
    /// A machine that came to be known at `now` and cannot be older than `made_at`.
    pub fn new(instance: &Instance, made_at: Timestamp, now: Timestamp) -> Self {
        let mut machine = Self {
            instance: instance.id.clone(),
            made_at,
            known_at: now,
            since: None,
            hourly: None,
            running_at: None,
            stopped_at: None,
            lost_at: None,
            deletes: 0,
            delete_asked_at: None,
            unsure_at: None,
            marks: 0,
            accepted_at: None,
            gone_at: None,
            ended_at: None,
            confirmed_at: None,
            charged: None,
            accounted_at: None,
        };
        machine.note(instance, now);
        machine
    }

    /// Writes down what the vendor says of it.
    pub fn note(&mut self, seen: &Instance, now: Timestamp) {
        self.since = seen.since.or(self.since);
        self.hourly = seen.hourly.or(self.hourly);
        self.lost_at = None;
        match seen.state {
            State::Running => self.running_at = self.running_at.or(Some(now)),
            State::Stopped => self.stopped_at = self.stopped_at.or(Some(now)),
            State::Over => self.ended_at = self.ended_at.or(self.accepted_at).or(Some(now)),
            State::Pending | State::Preempted | State::Failed | State::Ending => {}
        }
    }

    /// Writes down that its deletion was asked for at `asked`, and what had come of it by `now`.
    pub fn note_delete(&mut self, answer: Result<Deleted, &Error>, asked: Timestamp, now: Timestamp) {
        self.deletes = self.deletes.saturating_add(1);
        self.delete_asked_at = Some(asked);
        self.marks = 0;
        match answer {
            Ok(Deleted::Ending) => {
                self.accepted_at = self.accepted_at.or(Some(now));
                self.unsure_at = None;
            }
            Ok(Deleted::Gone { at }) => {
                self.accepted_at = self.accepted_at.or(Some(now));
                self.unsure_at = None;
                self.gone_at = Some(now);
                self.ended_at = at.or(self.ended_at).or(self.accepted_at);
            }
            // If it was done, then when it was asked for, not when that was intended.
            Err(error) if error.may_have_happened() => self.unsure_at = self.unsure_at.map(|_| asked),
            Err(_) => self.unsure_at = None,
        }
    }

    /// Writes down that its deletion, if it is to be asked for, cannot be before `turn`.
    pub fn note_turn(&mut self, turn: Timestamp) {
        self.unsure_at = self.unsure_at.map(|_| turn);
    }

    /// Writes down that its deletion is to be asked for.
    pub fn mark(&mut self, now: Timestamp) {
        self.unsure_at = Some(now);
        self.marks = self.marks.saturating_add(1);
    }

    /// Writes down whether a deletion was done of which that was not known.
    pub fn note_unsure(&mut self, done: bool) {
        if done {
            self.accepted_at = self.accepted_at.or(self.unsure_at);
        }
        self.unsure_at = None;
    }

    /// It lives although the vendor said that it is gone: all that was concluded from that is forgotten.
    pub fn refute(&mut self) {
        self.unsure_at = None;
        self.accepted_at = None;
        self.gone_at = None;
        self.ended_at = None;
        self.lost_at = None;
        self.confirmed_at = None;
        self.charged = None;
        self.accounted_at = None;
    }

    /// From when on it is paid for, as far as is known.
    pub fn from(&self) -> Timestamp {
        self.since.unwrap_or(self.made_at)
    }
}
