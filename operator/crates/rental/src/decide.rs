//! What to do next for a claim, decided from its record and from what was seen. Pure: nothing here asks a vendor.

use std::time::Duration;

use cooperator_core::money::Amount;
use cooperator_core::time::Timestamp;
use cooperator_providers::{Charge, Instance, InstanceId, InstanceName, PATIENCE, State};

use crate::ending::{Belief, DELETES, ToEnd, believe, to_end};
use crate::machine::Machine;
use crate::record::{Launch, MOST_SPARES, Reason, Record};
use crate::times::{after, between};

/// For so long after it was written down an intent may be carried out. What holds a permit for longer was held up, and
/// somebody else may have taken over.
pub const FRESH: Duration = Duration::from_secs(10);
/// Between two looks for a machine that is in doubt, begins or ends.
const SOON: Duration = Duration::from_secs(5);
/// Between two looks at a machine that runs.
const WATCH: Duration = Duration::from_secs(15);
/// So many times the time for accounting a vendor that does not answer is asked.
pub(crate) const UNTOLD: u32 = 4;
/// Between two looks at the vendor's bill.
const BILL: Duration = Duration::from_secs(60);

/// What the claim wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The machine, for as long as it lasts.
    Keep,
    /// That it ends.
    End {
        /// Why.
        reason: Reason,
        /// The same in words, for people.
        message: String,
    },
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the intent until the machine runs.
    pub launch: Duration,
    /// From a machine's end until what its vendor says it cost is taken for final, though it does not say so. One that does
    /// not answer is asked for four times as long.
    pub account: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { launch: Duration::from_secs(600), account: Duration::from_secs(1800) }
    }
}

/// All that is decided from, besides what is seen.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The claim's record.
    pub record: &'a Record,
    /// The Provider whose machines this is about.
    pub provider: &'a str,
    /// How its machines are named.
    pub name: &'a InstanceName,
    /// How long the vendor's answers lag.
    pub settles: Duration,
    /// Whether the vendor keeps an account by machine.
    pub accounts: bool,
    /// How long things may take.
    pub limits: &'a Limits,
    /// What the claim wants.
    pub wish: &'a Wish,
    /// A moment before anything was seen.
    pub now: Timestamp,
}

/// What the vendor is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// For one machine.
    One(InstanceId),
    /// For all.
    All,
    /// For what it charged.
    Charge(InstanceId),
}

/// What came of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer<T> {
    /// It was not asked.
    #[default]
    None,
    /// It was asked too often: again no earlier than after this.
    Busy(Duration),
    /// It was, and was not answered: again no earlier than after this.
    Failed(Duration),
    /// It was answered.
    Got(T),
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Of single machines.
    pub ones: Vec<(InstanceId, Answer<Option<Instance>>)>,
    /// Of all.
    pub all: Answer<Vec<Instance>>,
    /// Of the bill.
    pub charge: Answer<Option<Charge>>,
}

impl Seen {
    /// What was seen of one machine.
    fn of(&self, id: &InstanceId) -> &Answer<Option<Instance>> {
        self.ones.iter().find(|(other, _)| other == id).map_or(&Answer::None, |(_, answer)| answer)
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until a launch begins.
    Idle,
    /// Nothing, for so long at most.
    Wait(Duration),
    /// Ask, then decide again.
    Look(Question),
    /// These are the machines of a launch that was in doubt: keep the first, end the others.
    Adopt(Instance, Vec<Instance>),
    /// Write down that a list lacked the machine of a launch that is in doubt, and should have had it.
    Missed,
    /// The launch that was in doubt made none.
    NeverMade,
    /// Write down what is new about the machine.
    Note(Instance),
    /// Write down since when the vendor does not know the machine.
    Lost,
    /// Write down why the machine is to end, with the last that was seen of it.
    End(Reason, String, Option<Instance>),
    /// Ask for the deletion of this one, which is written down.
    Delete(InstanceId),
    /// Write down that the deletion of this one is to be asked for.
    Mark(InstanceId),
    /// Write down whether a deletion of this one was done whose answer was lost.
    Sure(InstanceId, bool),
    /// Write down further machines of the claim's name.
    Double(Vec<Instance>),
    /// This one was said to be gone, and lives.
    Refute(InstanceId),
    /// This one is gone.
    Confirm(InstanceId),
    /// What this one cost will not change any more: the vendor's figure, or None for ours.
    Account(InstanceId, Option<Amount>),
}

/// What to do next.
pub fn decide(view: &View<'_>, seen: &Seen) -> Step {
    let mut rest: Option<Duration> = None;
    for next in [ending, current, account] {
        match next(view, seen) {
            Step::Idle => {}
            Step::Wait(wait) => rest = Some(rest.map_or(wait, |shortest| shortest.min(wait))),
            step => return step,
        }
    }
    rest.map_or(Step::Idle, Step::Wait)
}

impl View<'_> {
    /// Open launches at this Provider.
    fn open(&self) -> impl Iterator<Item = &Launch> {
        self.record.launches.iter().filter(|launch| launch.provider == self.provider && !launch.is_closed())
    }

    /// Rests until `due`, at least a moment.
    fn until(&self, due: Timestamp, most: Duration) -> Step {
        Step::Wait(between(self.now, due).clamp(Duration::from_secs(1), most))
    }

    /// Machines of the claim's name that its record does not know.
    fn unknown<'s>(&self, all: &'s [Instance]) -> Vec<&'s Instance> {
        let ours = all.iter().filter(|instance| instance.name == *self.name);
        ours.filter(|instance| self.record.machine(self.provider, &instance.id).is_none()).collect()
    }
}

/// For machines whose end is written down: ends them, and makes sure of it.
fn ending(view: &View<'_>, seen: &Seen) -> Step {
    let mut rest = None;
    for machine in view.open().flat_map(Launch::ending) {
        let step = match machine.gone_at {
            None => delete(view, seen, machine),
            Some(gone) => confirm(view, seen, machine, gone),
        };
        match step {
            Step::Wait(wait) => rest = Some(rest.map_or(wait, |shortest: Duration| shortest.min(wait))),
            step => return step,
        }
    }
    rest.map_or(Step::Idle, Step::Wait)
}

/// Asks for its end.
fn delete(view: &View<'_>, seen: &Seen, machine: &Machine) -> Step {
    let id = || machine.instance.clone();
    let settled = after(machine.known_at, view.settles) <= view.now;
    match to_end(machine, view.now) {
        ToEnd::Wait(due) => view.until(due, DELETES.delay(u32::MAX)),
        ToEnd::Mark => Step::Mark(id()),
        ToEnd::Delete => Step::Delete(id()),
        ToEnd::Look => match seen.of(&machine.instance) {
            Answer::None => Step::Look(Question::One(id())),
            // That passes, and whoever does not wait for it forgets when the machine ended.
            Answer::Busy(wait) => Step::Wait(*wait),
            Answer::Failed(wait) if machine.unsure_at.is_some_and(|at| view.now < after(at, PATIENCE)) => {
                Step::Wait(*wait)
            }
            // It is asked for again, whatever came of it.
            Answer::Failed(_) => Step::Sure(id(), false),
            Answer::Got(None) => Step::Sure(id(), settled),
            Answer::Got(Some(instance)) => {
                Step::Sure(id(), matches!(instance.state, State::Ending | State::Over))
            }
        },
    }
}

/// The vendor said that it is gone. That is believed once a list that cannot lack it by mere delay lacks it.
fn confirm(view: &View<'_>, seen: &Seen, machine: &Machine, gone: Timestamp) -> Step {
    let all = match &seen.all {
        Answer::None => return Step::Look(Question::All),
        Answer::Busy(wait) | Answer::Failed(wait) => return Step::Wait(*wait),
        Answer::Got(all) => all,
    };
    let doubles: Vec<Instance> =
        view.unknown(all).into_iter().filter(|other| other.state != State::Over).cloned().collect();
    if has_room(view) && !doubles.is_empty() {
        return Step::Double(doubles);
    }
    let listed = all.iter().find(|instance| instance.id == machine.instance).map(|instance| instance.state);
    match believe(machine, gone, listed, view.settles, view.now) {
        Belief::Late(due) => view.until(due, SOON),
        Belief::Lives => Step::Refute(machine.instance.clone()),
        Belief::Gone => Step::Confirm(machine.instance.clone()),
    }
}

/// Whether a launch here has room for one more machine.
fn has_room(view: &View<'_>) -> bool {
    view.record
        .launches
        .iter()
        .rfind(|launch| launch.provider == view.provider)
        .is_some_and(|launch| launch.spares.len() < MOST_SPARES)
}

/// For the machine that is wanted, or may have been made.
fn current(view: &View<'_>, seen: &Seen) -> Step {
    let Some(launch) = view.open().last().filter(|launch| launch.reason.is_none()) else {
        return Step::Idle;
    };
    match &launch.machine {
        None => doubt(view, seen, launch),
        Some(machine) => match view.wish {
            Wish::End { reason, message } => Step::End(*reason, message.clone(), None),
            Wish::Keep => watch(view, seen, launch, machine),
        },
    }
}

/// It is not known whether there is a machine: looks for it, until it would have to be seen.
fn doubt(view: &View<'_>, seen: &Seen, launch: &Launch) -> Step {
    let all = match &seen.all {
        Answer::None => return Step::Look(Question::All),
        Answer::Busy(wait) | Answer::Failed(wait) => return Step::Wait(*wait),
        Answer::Got(all) => all,
    };
    let mut found = view.unknown(all);
    // One that runs is kept rather than one that does not, then the oldest.
    found.sort_by_key(|instance| {
        (rank(instance.state), instance.since.unwrap_or(Timestamp::MAX), instance.id.clone())
    });
    if let Some((kept, others)) = found.split_first() {
        let alive = others.iter().filter(|instance| instance.state != State::Over);
        return Step::Adopt((*kept).clone(), alive.take(MOST_SPARES).map(|other| (*other).clone()).collect());
    }
    // A call that was lost may still have been on its way for as long as a call takes.
    let lost = launch.doubtful_since.unwrap_or(after(launch.intended_at, FRESH));
    let settled = after(after(lost, PATIENCE), view.settles);
    if view.now < settled {
        return view.until(settled, SOON);
    }
    // Not every vendor tells how many rows a list has: one that is empty by mistake is no proof.
    match launch.missed_at.map(|missed| after(missed, SOON)) {
        None => Step::Missed,
        Some(again) if view.now < again => view.until(again, SOON),
        Some(_) => Step::NeverMade,
    }
}

fn rank(state: State) -> u8 {
    match state {
        State::Running => 0,
        State::Pending => 1,
        State::Stopped => 2,
        State::Preempted | State::Failed => 3,
        State::Ending => 4,
        State::Over => 5,
    }
}

/// There is a machine that is wanted: whether it still is what it should be.
fn watch(view: &View<'_>, seen: &Seen, launch: &Launch, machine: &Machine) -> Step {
    let lost = machine.lost_at.map(|lost| after(lost.max(machine.known_at), view.settles));
    let step = match (lost.filter(|settled| *settled <= view.now), seen.of(&machine.instance), &seen.all) {
        (Some(_), _, Answer::None) => return Step::Look(Question::All),
        (Some(_), _, Answer::Busy(wait) | Answer::Failed(wait))
        | (None, Answer::Busy(wait) | Answer::Failed(wait), _) => Step::Wait(*wait),
        (Some(_), _, Answer::Got(all)) => missing(machine, all),
        (None, Answer::None, _) => return Step::Look(Question::One(machine.instance.clone())),
        (None, Answer::Got(Some(instance)), _) => standing(machine, instance),
        (None, Answer::Got(None), _) => match lost {
            None => Step::Lost,
            Some(settled) => view.until(settled, SOON),
        },
    };
    let late = after(launch.intended_at, view.limits.launch) <= view.now && machine.running_at.is_none();
    let runs = matches!(&step, Step::Note(instance) if instance.state == State::Running);
    if late && !runs && !matches!(step, Step::End(..)) {
        let message = format!("it did not run within {} s", view.limits.launch.as_secs());
        return Step::End(Reason::LaunchTimeout, message, None);
    }
    step
}

/// The vendor tells where it stands.
fn standing(machine: &Machine, instance: &Instance) -> Step {
    let reason = match instance.state {
        State::Pending | State::Running => None,
        State::Stopped => Some(Reason::Stopped),
        State::Preempted => Some(Reason::Preempted),
        State::Failed => Some(Reason::Failed),
        State::Ending | State::Over => Some(Reason::Vanished),
    };
    if let Some(reason) = reason {
        return Step::End(reason, format!("the vendor says: {}", instance.said), Some(instance.clone()));
    }
    let mut noted = machine.clone();
    noted.note(instance, machine.known_at);
    let same = noted.running_at.is_some() == machine.running_at.is_some()
        && (noted.since, noted.hourly, noted.lost_at) == (machine.since, machine.hourly, machine.lost_at);
    match (same, instance.state) {
        (false, _) => Step::Note(instance.clone()),
        (true, State::Running) => Step::Wait(WATCH),
        (true, _) => Step::Wait(SOON),
    }
}

/// The vendor has said for as long as its answers take to settle that there is no such machine. It is asked no more for
/// this one, but for all: some take one question a second, and two in one step would never both be answered.
fn missing(machine: &Machine, all: &[Instance]) -> Step {
    let listed = all.iter().find(|instance| instance.id == machine.instance);
    match listed.filter(|instance| instance.state != State::Over) {
        Some(instance) => standing(machine, instance),
        None => Step::End(Reason::Vanished, "the vendor does not know it any more".to_owned(), None),
    }
}

/// For machines that are over: what they cost in the end.
fn account(view: &View<'_>, seen: &Seen) -> Step {
    let here = |(launch, _): &(&Launch, &Machine)| launch.provider == view.provider;
    let Some((_, machine)) = view.record.unaccounted().find(here) else { return Step::Idle };
    let id = || machine.instance.clone();
    if !view.accounts {
        return Step::Account(id(), None);
    }
    let confirmed = machine.confirmed_at.unwrap_or(view.now);
    let late = after(confirmed, view.limits.account) <= view.now;
    let too_late = after(confirmed, view.limits.account.saturating_mul(UNTOLD)) <= view.now;
    match &seen.charge {
        Answer::None => Step::Look(Question::Charge(id())),
        Answer::Got(Some(charge)) if charge.is_final || late => Step::Account(id(), Some(charge.amount)),
        // Some never say that it is final: what they have told for that long, they bill, if it is nothing too.
        Answer::Got(None) if late => Step::Account(id(), Some(Amount::ZERO)),
        Answer::Failed(_) if too_late => Step::Account(id(), None),
        // Whoever is throttled is not put off for long: all that wait would come together again, and one be served.
        Answer::Busy(wait) | Answer::Failed(wait) => Step::Wait(*wait),
        Answer::Got(_) => Step::Wait(BILL),
    }
}
