//! How one machine is brought to its end: when it is asked for, and what is believed of the answers. Pure.

use std::time::Duration;

use cooperator_core::backoff::Backoff;
use cooperator_core::time::Timestamp;
use cooperator_providers::State;

use crate::machine::Machine;
use crate::times::after;

/// Between two deletions of one machine.
pub(crate) const DELETES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(20));
/// For so long after it was written down that a deletion is to be asked for, it is. Later it may have been, by somebody
/// who died before it could be written down what came of it. It is longer for each mark that came to nothing: a caller that
/// is slow must come to its end, too.
const FRESH: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(120));

/// What to do next to end a machine that is not said to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToEnd {
    /// Nothing before this moment.
    Wait(Timestamp),
    /// Write down that its deletion is to be asked for.
    Mark,
    /// Look whether a deletion was done of which that is not known.
    Look,
    /// Ask for its deletion.
    Delete,
}

/// What to do next to end a machine. It is asked for until the vendor says that it is gone, for ever, less and less often.
/// When it is asked for is written down before, until a deletion was taken: from then on nothing is paid for, and whoever
/// dies in between must not count the time until the next one asks.
pub(crate) fn to_end(machine: &Machine, now: Timestamp) -> ToEnd {
    let due = machine.delete_asked_at.map(|asked| after(asked, DELETES.delay(machine.deletes)));
    let due = due.filter(|due| now < *due);
    match (machine.unsure_at, due) {
        (Some(mark), _)
            if machine.delete_asked_at.is_none_or(|asked| asked < mark)
                && now <= after(mark, FRESH.delay(machine.marks)) =>
        {
            ToEnd::Delete
        }
        (Some(_), _) => ToEnd::Look,
        (None, Some(due)) => ToEnd::Wait(due),
        (None, None) if machine.accepted_at.is_some() => ToEnd::Delete,
        (None, None) => ToEnd::Mark,
    }
}

/// What is to be believed of a machine that was said to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Nothing before this moment: an answer may be late.
    Late(Timestamp),
    /// It lives.
    Lives,
    /// It is gone.
    Gone,
}

/// Whether a machine that was said to be gone at `gone` is, by how a complete list shows it.
pub(crate) fn believe(
    machine: &Machine,
    gone: Timestamp,
    listed: Option<State>,
    settles: Duration,
    now: Timestamp,
) -> Belief {
    let known = after(machine.known_at, settles);
    let late = after(gone, settles);
    match listed {
        None | Some(State::Over) if now < known => Belief::Late(known),
        None | Some(State::Over) => Belief::Gone,
        // What was said of a machine that the vendor's other answers may not have known yet is worth nothing; later on it
        // is rather the list that is late.
        Some(state) if state != State::Ending && gone < known => Belief::Lives,
        Some(_) if now < late => Belief::Late(late),
        Some(_) => Belief::Lives,
    }
}
