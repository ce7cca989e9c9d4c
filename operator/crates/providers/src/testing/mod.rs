//! A vendor that is none: machines in memory, answers by script, a log of what was asked and the true bill. It keeps the
//! time of the clock it is given, and breaks when it is told to.
//!
//! ```text
//! let fake = Fake::new(Arc::new(clock.clone()));
//! fake.put_offer(offer);
//! fake.fail_next(Verb::Create, Fault::LostAnswer);   // made, and Error::Ambiguous all the same
//! ```

mod fault;
mod machine;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::{Offer, OfferId};
use cooperator_core::time::{Clock, SignedDuration, Timestamp, later};

pub use fault::Fault;
use machine::Machine;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query, State};
use crate::error::Error;
use crate::name::{InstanceName, Tenant};
use crate::verb::Verb;

/// What the fake is called.
pub const VENDOR: &str = "Fake";

/// A call that was made, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// What was asked.
    pub verb: Verb,
    /// Of `create`: for whom.
    pub name: Option<InstanceName>,
    /// Of `get`, `delete` and `charged`: of which machine. Of `create`: which one was made.
    pub id: Option<InstanceId>,
    /// `Ok`, or [`Error::kind`].
    pub answer: &'static str,
}

/// The vendor. Clones are the same one.
#[derive(Clone)]
pub struct Fake {
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    offers: Vec<Offer>,
    machines: BTreeMap<InstanceId, Machine>,
    orders: Vec<Order>,
    printed: BTreeMap<InstanceId, String>,
    calls: Vec<Call>,
    next: BTreeMap<Verb, VecDeque<Fault>>,
    always: BTreeMap<Verb, Fault>,
    lag: SignedDuration,
    boot: Option<SignedDuration>,
    ending: SignedDuration,
    made: u64,
    most_user_data: Option<usize>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        write!(f, "Fake({} offers, {} machines)", inner.offers.len(), inner.machines.len())
    }
}

impl Fake {
    /// A market without offers, without lag and without faults.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Arc::default() }
    }

    /// Puts an offer on the market, in place of one of its id. It stays there however often it is taken.
    pub fn put_offer(&self, offer: Offer) {
        let mut inner = self.lock();
        inner.offers.retain(|other| other.id != offer.id);
        inner.offers.push(offer);
    }

    /// Takes an offer off the market: creating on it is [`Error::NoCapacity`] from here on.
    pub fn take_offer(&self, id: &OfferId) {
        self.lock().offers.retain(|offer| &offer.id != id);
    }

    /// Breaks the next call of this kind that is not broken already; later ones queue.
    pub fn fail_next(&self, verb: Verb, fault: Fault) {
        self.lock().next.entry(verb).or_default().push_back(fault);
    }

    /// Breaks all calls of this kind until [`Fake::heal`].
    pub fn fail_always(&self, verb: Verb, fault: Fault) {
        self.lock().always.insert(verb, fault);
    }

    /// Forgets all faults that are still to come.
    pub fn heal(&self) {
        let mut inner = self.lock();
        inner.next.clear();
        inner.always.clear();
    }

    /// From here on it takes no longer script than this.
    pub fn takes_scripts_of(&self, bytes: usize) {
        self.lock().most_user_data = Some(bytes);
    }

    /// From here on `get` and `list` lack a machine for so long after it was made.
    pub fn lag(&self, lag: SignedDuration) {
        self.lock().lag = lag;
    }

    /// Machines made from here on run so long after they were made. Before this is called they wait for
    /// [`Fake::set_state`].
    pub fn boots_in(&self, boot: SignedDuration) {
        self.lock().boot = Some(boot);
    }

    /// Deletions that begin from here on take so long, and are [`Deleted::Ending`] meanwhile.
    pub fn ends_in(&self, ending: SignedDuration) {
        self.lock().ending = ending;
    }

    /// Puts a machine there that nobody ordered here: a stranger's, or an orphan. It is seen at once and, having no
    /// offer, costs nothing.
    pub fn put_instance(&self, instance: Instance) {
        let now = self.clock.now();
        self.lock().machines.insert(instance.id.clone(), Machine::found(instance, now));
    }

    /// Says where a machine stands from now on. False: there is none.
    pub fn set_state(&self, id: &InstanceId, state: State) -> bool {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.tick(now);
        let Some(machine) = inner.machines.get_mut(id).filter(|machine| !machine.is_gone()) else {
            return false;
        };
        machine.turn(state, now);
        true
    }

    /// From here on this is what a machine has printed.
    pub fn print(&self, id: &InstanceId, text: &str) {
        self.lock().printed.insert(id.clone(), text.to_owned());
    }

    /// All machines that are there, whether lists show them yet or not, by id: the truth.
    pub fn instances(&self) -> Vec<Instance> {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.tick(now);
        inner.machines.values().filter(|machine| !machine.is_gone()).map(Machine::instance).collect()
    }

    /// All orders that a machine was made for, in order.
    pub fn orders(&self) -> Vec<Order> {
        self.lock().orders.clone()
    }

    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The true bill: what each machine there ever was has cost until now, by id.
    pub fn bill(&self) -> Vec<Charge> {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.tick(now);
        inner.machines.values().map(|machine| machine.charge(now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a call by `act`, which is told of a fault that changes what it does, and logs it.
    fn call<T>(
        &self,
        verb: Verb,
        (name, id): (Option<&InstanceName>, Option<&InstanceId>),
        act: impl FnOnce(&mut Inner, Timestamp, Option<Fault>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.tick(now);
        let fault = inner.fault(verb);
        let made = inner.made;
        let answer = match fault {
            Some(fault) if !fault.acts() => Err(fault.error()),
            Some(fault @ (Fault::LostAnswer | Fault::Malformed)) => {
                act(&mut inner, now, None).and(Err(fault.error()))
            }
            fault => act(&mut inner, now, fault),
        };
        let id = id.cloned().or_else(|| (inner.made > made).then(|| Inner::id(inner.made)));
        let kind = answer.as_ref().map_or_else(Error::kind, |_| "Ok");
        inner.calls.push(Call { at: now, verb, name: name.cloned(), id, answer: kind });
        answer
    }
}

impl Inner {
    /// What time does by itself.
    fn tick(&mut self, now: Timestamp) {
        for machine in self.machines.values_mut() {
            machine.tick(now);
        }
    }

    fn fault(&mut self, verb: Verb) -> Option<Fault> {
        let next = self.next.get_mut(&verb).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(&verb).copied())
    }

    fn id(number: u64) -> InstanceId {
        InstanceId(format!("fake-{number:04}"))
    }

    fn seen(&self, now: Timestamp) -> impl Iterator<Item = &Machine> {
        let newest = later(now, self.lag.checked_neg().unwrap_or(SignedDuration::MIN));
        self.machines.values().filter(move |machine| !machine.is_gone() && machine.visible(newest))
    }

    fn create(&mut self, order: &Order, now: Timestamp, how: Option<Fault>) -> Result<Instance, Error> {
        if !self.offers.iter().any(|offer| offer.id == order.offer.id) {
            let message = format!("offer {} is gone", order.offer.id);
            return Err(Error::NoCapacity { vendor: VENDOR, message });
        }
        if how == Some(Fault::Twice) {
            self.make(order, now);
        }
        let made = self.make(order, now);
        if how == Some(Fault::BidTooLow)
            && let Some(machine) = self.machines.get_mut(&made.id)
        {
            machine.turn(State::Stopped, now);
            return Ok(machine.instance());
        }
        Ok(made)
    }

    fn make(&mut self, order: &Order, now: Timestamp) -> Instance {
        self.made += 1;
        let runs_at = self.boot.map(|boot| later(now, boot));
        let machine = Machine::made(Self::id(self.made), order, now, runs_at);
        let instance = machine.instance();
        self.orders.push(order.clone());
        self.machines.insert(instance.id.clone(), machine);
        instance
    }
}

#[async_trait]
impl Driver for Fake {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn settles_after(&self) -> Duration {
        Duration::try_from(self.lock().lag).unwrap_or_default()
    }

    fn keeps_account(&self) -> bool {
        true
    }

    fn most_user_data(&self) -> Option<usize> {
        self.lock().most_user_data
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        self.call(Verb::Offers, (None, None), |inner, _, _| {
            Ok(inner.offers.iter().filter(|offer| query.takes(offer)).cloned().collect())
        })
    }

    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        self.call(Verb::Create, (Some(&order.name), None), |inner, now, fault| {
            inner.create(order, now, fault)
        })
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        self.call(Verb::Get, (None, Some(id)), |inner, now, _| {
            Ok(inner.seen(now).map(Machine::instance).find(|instance| &instance.id == id))
        })
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        self.call(Verb::List, (None, None), |inner, now, _| {
            let all = inner.seen(now).map(Machine::instance);
            Ok(all.filter(|instance| instance.name.tenant() == tenant).collect())
        })
    }

    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        self.call(Verb::Delete, (None, Some(id)), |inner, now, _| {
            let ending = inner.ending;
            let machine = inner.machines.get_mut(id);
            Ok(machine.map_or(Deleted::Gone { at: None }, |machine| machine.end(later(now, ending), now)))
        })
    }

    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        self.call(Verb::Charged, (None, Some(id)), |inner, now, _| {
            Ok(inner.machines.get(id).map(|machine| machine.charge(now)))
        })
    }

    async fn logs(&self, id: &InstanceId) -> Result<Option<String>, Error> {
        self.call(Verb::Logs, (None, Some(id)), |inner, _, _| Ok(inner.printed.get(id).cloned()))
    }
}
