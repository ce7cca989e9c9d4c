//! One pass over a Provider's machines: ends those without a claim, and keeps account of them.

use std::time::Duration;

use cooperator_core::market::Granularity;
use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::{Clock, Timestamp};
use cooperator_providers::{Driver, Error, Instance, InstanceName, State, Tenant};
use serde::{Deserialize, Serialize};

use crate::decide::{Limits, UNTOLD};
use crate::ending::{Belief, ToEnd, believe, to_end};
use crate::machine::Machine;
use crate::orphans::{Live, Verdict, Why, orphans};
use crate::times::{after, seconds};

/// Machines without a claim that are remembered at most. Of more than these, what is open is kept, and the rest waits.
pub const MOST_STRAYS: usize = 32;
/// Deletions of one pass at most.
const MOST_DELETES: usize = 8;
/// Questions for what was charged, of one pass at most.
const MOST_CHARGES: usize = 4;

/// A machine of ours that had no claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stray {
    /// Our name for it.
    pub name: String,
    /// What is known of it.
    pub machine: Machine,
    /// What its tenant has put into the books for it, once that is final, in the currency of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booked: Option<Amount>,
}

impl Stray {
    /// What it has cost until `now`: the vendor's figure, else what the vendor said an hour costs.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn cost(&self, granularity: Granularity, now: Timestamp) -> Result<Amount, MoneyError> {
        let machine = &self.machine;
        if let Some(charged) = machine.charged {
            return Ok(charged);
        }
        let seconds = seconds(machine.from(), machine.ended_at.unwrap_or(now));
        machine.hourly.unwrap_or_default().amount(granularity.paid(seconds))
    }
}

/// The strays of one Provider: persisted by the caller, as records are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strays {
    /// The newest last; at most 32.
    #[serde(default)]
    pub machines: Vec<Stray>,
    /// What their vendor bills when a part was used: whoever knows its offers says so.
    #[serde(default)]
    pub granularity: Granularity,
    /// What those cost that are forgotten.
    #[serde(default)]
    pub earlier: Amount,
}

impl Strays {
    /// What all of them have cost until `now`, in the vendor's currency.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn cost(&self, now: Timestamp) -> Result<Amount, MoneyError> {
        self.machines.iter().try_fold(self.earlier, |sum, stray| sum.plus(stray.cost(self.granularity, now)?))
    }

    /// Writes one down. False: there is no room before another is closed.
    fn note(&mut self, instance: &Instance, now: Timestamp) -> bool {
        if self.machines.len() >= MOST_STRAYS {
            let is_over = |stray: &Stray| stray.machine.accounted_at.is_some();
            // One that stands in the books is forgotten first.
            let booked = self.machines.iter().position(|stray| is_over(stray) && stray.booked.is_some());
            let Some(old) = booked.or_else(|| self.machines.iter().position(is_over)) else {
                return false;
            };
            let Some(earlier) =
                self.machines[old].cost(self.granularity, now).and_then(|cost| self.earlier.plus(cost)).ok()
            else {
                return false;
            };
            self.earlier = earlier;
            self.machines.remove(old);
        }
        let machine = Machine::new(instance, now, now);
        self.machines.push(Stray { name: instance.name.to_string(), machine, booked: None });
        true
    }

    fn knows(&self, instance: &Instance) -> bool {
        self.machines.iter().any(|stray| stray.machine.instance == instance.id)
    }
}

/// What a pass leaves.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The strays as they are now.
    pub strays: Strays,
    /// Whether they have to be persisted before the next pass.
    pub changed: bool,
    /// When the next pass should follow: at once where something was written down and is now to be ended. None: as usual.
    pub again: Option<Duration>,
    /// Machines that their claims do not know they have: for [`crate::Record::found`].
    pub found: Vec<Verdict>,
    /// Calls that failed. What they were for is done again in the next pass.
    pub errors: Vec<Error>,
}

/// Why a pass came to nothing: nothing is concluded from a list that is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPass<E> {
    /// The vendor did not list its machines.
    #[error(transparent)]
    List(Error),
    /// The claims could not be read.
    #[error("the claims could not be read, so no machine is taken for an orphan: {0}")]
    Read(E),
}

/// One pass: of those that were written down and are due it asks for the end; where none is due, it lists all machines.
/// Some vendors take one question a second: whoever lists first would never come to delete. `claims` reads all claims,
/// consistently; where machines are listed it is not begun before. A machine is written down first, and deleted in a later
/// pass, when `strays` as they are persisted hold it.
///
/// # Errors
/// [`NoPass`]: nothing was done.
pub async fn collect<E>(
    driver: &dyn Driver,
    tenant: &Tenant,
    strays: &Strays,
    claims: impl Future<Output = Result<Live, E>>,
    limits: &Limits,
    clock: &dyn Clock,
) -> Result<Pass, NoPass<E>> {
    let (settles, now) = (driver.settles_after(), clock.now());
    let mut pass =
        Pass { strays: strays.clone(), changed: false, again: None, found: Vec::new(), errors: Vec::new() };
    if strays.machines.iter().any(|stray| is_due(&stray.machine, now)) {
        let live = claims.await.map_err(NoPass::Read)?;
        pass.let_go(&live);
        pass.end(driver, &live, settles, now).await;
        return Ok(pass);
    }
    let all = driver.list(tenant).await.map_err(NoPass::List)?;
    let live = claims.await.map_err(NoPass::Read)?;
    pass.let_go(&live);
    pass.believe(&all, settles, now);
    pass.account(driver, limits, now).await;
    for verdict in orphans(tenant, &all, &live, settles, now) {
        if verdict.is_of_claim() {
            pass.found.push(verdict);
        } else if !pass.strays.knows(&verdict.instance) && pass.strays.note(&verdict.instance, now) {
            (pass.changed, pass.again) = (true, Some(Duration::ZERO));
        }
    }
    Ok(pass)
}

/// Whether there is something to do to end a machine that was written down.
fn is_due(machine: &Machine, now: Timestamp) -> bool {
    let open = machine.gone_at.is_none() && machine.confirmed_at.is_none();
    open && !matches!(to_end(machine, now), ToEnd::Wait(_))
}

impl Pass {
    /// One that its claim has come to know is the claim's to end and to pay for.
    fn let_go(&mut self, live: &Live) {
        let before = self.strays.machines.len();
        self.strays.machines.retain(|stray| {
            !InstanceName::parse(&stray.name).is_some_and(|name| live.knows(&name, &stray.machine.instance))
        });
        self.changed |= before != self.strays.machines.len();
    }

    /// Asks for the end of those that are due and have no claim still.
    async fn end(&mut self, driver: &dyn Driver, live: &Live, settles: Duration, now: Timestamp) {
        let due = self.strays.machines.iter_mut().filter(|stray| is_due(&stray.machine, now));
        for Stray { name, machine, booked: _ } in due.take(MOST_DELETES) {
            let name = InstanceName::parse(name);
            let why = name.and_then(|name| live.judge(&name, &machine.instance, settles, now));
            let before = machine.unsure_at;
            let asked = match why {
                Some(Why::NoClaim) => end(driver, machine, settles, now).await,
                _ => put_off(driver, machine, settles, now).await,
            };
            self.again = Some(Duration::ZERO);
            match asked {
                Ok(()) => self.changed = true,
                Err(Error::Throttled { after, .. }) => {
                    self.again = Some(after);
                    self.changed |= machine.unsure_at != before;
                    break;
                }
                Err(error) => {
                    self.changed = true;
                    self.errors.push(error);
                }
            }
        }
    }

    /// What the list says of those that were said to be gone.
    fn believe(&mut self, all: &[Instance], settles: Duration, now: Timestamp) {
        for Stray { machine, .. } in &mut self.strays.machines {
            let listed = all.iter().find(|instance| instance.id == machine.instance);
            let state = listed.map(|instance| instance.state);
            let lives = state.is_some_and(|state| state != State::Over);
            if let (Some(instance), None) = (listed, machine.gone_at) {
                let before = machine.clone();
                machine.note(instance, now);
                self.changed |= before != *machine;
            }
            match (machine.gone_at, machine.confirmed_at) {
                (Some(gone), None) => match believe(machine, gone, state, settles, now) {
                    Belief::Late(_) => continue,
                    Belief::Lives => machine.refute(),
                    Belief::Gone => machine.confirmed_at = Some(now),
                },
                (_, Some(closed)) if lives && after(closed, settles) <= now => machine.refute(),
                _ => continue,
            }
            self.changed = true;
        }
    }

    /// Asks what those cost that are over.
    async fn account(&mut self, driver: &dyn Driver, limits: &Limits, now: Timestamp) {
        let over = |machine: &&mut Machine| machine.confirmed_at.is_some() && machine.accounted_at.is_none();
        let machines = self.strays.machines.iter_mut().map(|stray| &mut stray.machine);
        for machine in machines.filter(over).take(MOST_CHARGES) {
            if !driver.keeps_account() {
                machine.accounted_at = Some(now);
                self.changed = true;
                continue;
            }
            let since =
                |times| after(machine.confirmed_at.unwrap_or(now), limits.account.saturating_mul(times));
            let (late, too_late) = (since(1) <= now, since(UNTOLD) <= now);
            let charged = match driver.charged(&machine.instance).await {
                Ok(None) => late.then_some(Amount::ZERO),
                Ok(Some(charge)) => (charge.is_final || late).then_some(charge.amount),
                Err(error) => {
                    self.errors.push(error);
                    None
                }
            };
            if charged.is_some() || too_late {
                machine.charged = charged;
                machine.accounted_at = Some(now);
                self.changed = true;
            }
        }
    }
}

/// Takes the next step to a machine's end.
async fn end(
    driver: &dyn Driver,
    machine: &mut Machine,
    settles: Duration,
    now: Timestamp,
) -> Result<(), Error> {
    match to_end(machine, now) {
        ToEnd::Wait(_) => Ok(()),
        ToEnd::Mark => {
            machine.mark(now);
            Ok(())
        }
        ToEnd::Look => look(driver, machine, settles, now).await,
        ToEnd::Delete => {
            let answer = driver.delete(&machine.instance).await;
            match &answer {
                Err(Error::Throttled { after: wait, .. }) => machine.note_turn(after(now, *wait)),
                _ => machine.note_delete(answer.as_ref().copied(), now, now),
            }
            answer.map(|_| ())
        }
    }
}

/// Leaves a machine alone that a claim may yet take for its own, until it is due again. What came of a deletion that was
/// to be asked for is found out all the same: while that is open the machine is due at once, for ever.
async fn put_off(
    driver: &dyn Driver,
    machine: &mut Machine,
    settles: Duration,
    now: Timestamp,
) -> Result<(), Error> {
    if to_end(machine, now) == ToEnd::Look {
        return look(driver, machine, settles, now).await;
    }
    machine.delete_asked_at = Some(now);
    machine.deletes = machine.deletes.saturating_add(1);
    Ok(())
}

/// Looks what came of a deletion whose answer was lost.
async fn look(
    driver: &dyn Driver,
    machine: &mut Machine,
    settles: Duration,
    now: Timestamp,
) -> Result<(), Error> {
    match driver.get(&machine.instance).await {
        Ok(Some(instance)) => machine.note_unsure(matches!(instance.state, State::Ending | State::Over)),
        Ok(None) if after(machine.known_at, settles) <= now => machine.note_unsure(true),
        // It is asked for again, whatever came of it.
        Ok(None) => machine.note_unsure(false),
        Err(error @ Error::Throttled { .. }) => return Err(error),
        Err(error) => {
            machine.note_unsure(false);
            return Err(error);
        }
    }
    Ok(())
}
