//! How machines come and go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cooperator_core::money::PricePerHour;
use cooperator_core::time::{SignedDuration, later};
use rand::Rng as _;

use super::event::{Event, Planned};
use super::instance::{Instance, Phase};
use super::rules::{PaidFrom, Rules};
use super::{Boot, Effect, World};
use crate::backend::{Key, Started};
use crate::bill::Kind;
use crate::fault::{Drawn, Fault};

/// Something that cannot be done to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is in no state for it.
    #[error("the machine is in no state for it")]
    State,
    /// Its place was let to another.
    #[error("the machine's place was let to another")]
    Room,
    /// The vendor fails to.
    #[error("the vendor fails to")]
    Broken,
}

impl World {
    /// Gives a machine back, unless a fault keeps it. One that is gone already stays gone.
    ///
    /// # Errors
    /// [`Refusal::Broken`]
    pub fn delete(&mut self, key: Key, drawn: Option<Drawn>) -> Result<(), Refusal> {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(key.0) else { return Ok(()) };
        if let Some(Drawn { fault: Fault::DeleteFails, seconds }) = drawn {
            let lasting = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            instance.deletes_fail_until = Some(later(now, lasting));
        }
        if instance.deletes_fail_until.is_some_and(|until| now < until) {
            return Err(Refusal::Broken);
        }
        self.end(key);
        Ok(())
    }

    /// Ends a machine: from now on it costs nothing.
    pub fn end(&mut self, key: Key) {
        let Some(instance) = self.instances.get(key.0) else { return };
        if matches!(instance.phase, Phase::Ending | Phase::Over) {
            return;
        }
        let rules = Rules::of(instance.order.vendor);
        self.settle(key);
        self.set_phase(key, Phase::Ending, "terminating");
        if rules.ending == (0, 0) {
            self.vanish(key);
        } else {
            let seconds = self.dice.random_range(rules.ending.0..=rules.ending.1);
            self.plan_in(key, seconds, Event::Vanish);
        }
    }

    /// Stops a machine as its tenant asked.
    ///
    /// # Errors
    /// [`Refusal::State`]: it does not run.
    pub fn stop(&mut self, key: Key) -> Result<(), Refusal> {
        if !self.instance(key).is_some_and(|instance| instance.phase.is_up()) {
            return Err(Refusal::State);
        }
        self.stand(key, Phase::Stopped, "stopped");
        Ok(())
    }

    /// Starts a machine that stands.
    ///
    /// # Errors
    /// [`Refusal::State`]: it runs or is gone; [`Refusal::Room`]
    pub fn start(&mut self, key: Key) -> Result<(), Refusal> {
        let Some(instance) = self.instances.get_mut(key.0) else { return Err(Refusal::State) };
        if instance.phase.is_up() || instance.ended.is_some() {
            return Err(Refusal::State);
        }
        if !instance.holds && !self.market.take(&instance.order.place) {
            return Err(Refusal::Room);
        }
        instance.holds = true;
        instance.turn += 1;
        instance.notice = None;
        self.set_phase(key, Phase::Accepted, "starting");
        self.plan_start(key);
        Ok(())
    }

    /// Takes a machine away from its tenant, who may still have to pay for what stands.
    pub fn preempt(&mut self, key: Key) {
        let Some(instance) = self.instance(key) else { return };
        if !instance.phase.is_up() {
            return;
        }
        if Rules::of(instance.order.vendor).preemption_ends {
            self.settle(key);
            self.set_phase(key, Phase::Preempted, "preempted");
            self.plan_in(key, 600, Event::Vanish);
        } else {
            self.stand(key, Phase::Preempted, "outbid");
        }
    }

    /// Tells a machine that it will be taken away after so many seconds, and takes it away then.
    pub fn notify(&mut self, key: Key, seconds: u64) {
        let lasting = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        let at = later(self.now, lasting);
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        if instance.phase.is_up() {
            instance.notice = Some(at);
            self.effects.push(Effect::Notice(key, seconds));
            self.plan_in(key, seconds, Event::Preempt);
        }
    }

    /// What it ran has ended by itself. `at_cost`: all the same it is paid for in full.
    pub fn exit(&mut self, key: Key, said: &str, at_cost: bool) {
        if !self.instance(key).is_some_and(|instance| instance.phase.is_up()) {
            return;
        }
        if at_cost {
            self.set_phase(key, Phase::Exited, said);
            self.effects.push(Effect::Stop(key));
        } else {
            self.stand(key, Phase::Exited, said);
        }
    }

    /// It breaks.
    pub fn fail(&mut self, key: Key, said: &str) {
        if self.instance(key).is_some_and(|instance| instance.phase.is_up()) {
            self.stand(key, Phase::Failed, said);
        }
    }

    /// It stops working, and the vendor says that it runs.
    pub fn disconnect(&mut self, key: Key) {
        if let Some(instance) = self.instances.get_mut(key.0).filter(|instance| instance.phase.is_up()) {
            instance.disconnected = true;
            self.effects.push(Effect::Stop(key));
        }
    }

    /// The backend says that it runs.
    pub(crate) fn reported_running(&mut self, key: Key, address: Option<IpAddr>) {
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        if instance.is_stuck || instance.phase == Phase::Running || !instance.phase.is_up() {
            return;
        }
        if let Some(address) = address {
            instance.address = address;
        }
        self.boot(key);
        self.run(key);
    }

    /// Gives it another name or label.
    pub fn rename(&mut self, key: Key, name: &str) {
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        let (vendor, account) = (instance.order.vendor, instance.order.account);
        let old = std::mem::replace(&mut instance.order.name, name.to_owned());
        self.unname(key, old);
        self.by_name.entry((vendor, account, name.to_owned())).or_default().insert(key);
    }

    /// Gives it other labels.
    pub fn relabel(&mut self, key: Key, labels: BTreeMap<String, String>) {
        if let Some(instance) = self.instances.get_mut(key.0) {
            instance.order.labels = labels;
        }
    }

    /// Its tenant bids another price for it, and pays that from now on.
    pub fn rebid(&mut self, key: Key, bid: PricePerHour) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        instance.order.bid = Some(bid);
        instance.order.hourly = bid;
        if instance.meter.runs(Kind::Compute) {
            instance.meter.compute(now, bid, Rules::of(instance.order.vendor).granularity);
        }
    }

    /// So many bytes went over its network.
    pub fn transfer(&mut self, key: Key, up_bytes: u64, down_bytes: u64) {
        if let Some(instance) = self.instances.get_mut(key.0) {
            instance.meter.transfer(up_bytes, down_bytes);
        }
    }

    /// Something that was planned happens.
    pub(super) fn happen(&mut self, planned: Planned) {
        let Planned { key, event, turn } = planned;
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        if !event.outlives_turns() && (instance.turn != turn || instance.ended.is_some()) {
            return;
        }
        match event {
            Event::Boot => self.boot(key),
            Event::Run => self.run(key),
            Event::Reveal => self.reveal(key),
            Event::Vanish => self.vanish(key),
            Event::Forget => instance.forgotten = true,
            Event::Die => self.fail(key, "Error: the offer's GPUs are in use by another contract"),
            Event::Notice(seconds) => self.notify(key, seconds),
            Event::Preempt => self.preempt(key),
            Event::ExitAtCost => self.exit(key, "exited", true),
            Event::Disconnect => self.disconnect(key),
        }
    }

    pub(super) fn plan_start(&mut self, key: Key) {
        let Some(instance) = self.instances.get(key.0) else { return };
        let rules = Rules::of(instance.order.vendor);
        let is_stuck = instance.is_stuck;
        self.effects.extend(self.started(key).map(|started| Effect::Start(Box::new(started))));
        let (accepting, booting) = match self.boot {
            Boot::Exactly { accepting, booting } => (accepting, booting),
            Boot::Seeded => (
                self.dice.random_range(rules.accepting.0..=rules.accepting.1),
                self.dice.random_range(rules.booting.0..=rules.booting.1),
            ),
        };
        self.plan_in(key, accepting, Event::Boot);
        if !is_stuck && !self.has_reports {
            self.plan_in(key, accepting + booting, Event::Run);
        }
    }

    fn boot(&mut self, key: Key) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        if instance.phase != Phase::Accepted {
            return;
        }
        instance.started = Some(now);
        let rules = Rules::of(instance.order.vendor);
        if rules.paid_from == PaidFrom::Booting {
            instance.meter.compute(now, instance.order.hourly, rules.granularity);
            let (gib, month, _) = instance.order.paid_disk;
            instance.meter.disk(now, gib, month, rules.granularity);
        }
        self.set_phase(key, Phase::Booting, "loading");
    }

    fn run(&mut self, key: Key) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        instance.running = Some(now);
        let rules = Rules::of(instance.order.vendor);
        if rules.paid_from == PaidFrom::Running {
            instance.meter.compute(now, instance.order.hourly, rules.granularity);
        }
        let fate = instance.fate.take();
        self.set_phase(key, Phase::Running, "running");
        if let Some((event, seconds)) = fate {
            self.plan_in(key, seconds, event);
        }
    }

    fn reveal(&mut self, key: Key) {
        let Some(instance) = self.instances.get_mut(key.0).filter(|instance| !instance.visible) else {
            return;
        };
        instance.visible = true;
        let owner = (instance.order.vendor, instance.order.account);
        if let Some(hidden) = self.hidden.get_mut(&owner) {
            *hidden = hidden.saturating_sub(1);
        }
    }

    /// It no longer runs, and is still its tenant's.
    pub(super) fn stand(&mut self, key: Key, phase: Phase, said: &str) {
        let now = self.now;
        self.release(key);
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        let rules = Rules::of(instance.order.vendor);
        instance.turn += 1;
        instance.notice = None;
        if rules.standing_is_free {
            instance.meter.close(Kind::Compute, now);
            let (gib, running, standing) = instance.order.paid_disk;
            if running != standing {
                instance.meter.disk(now, gib, standing, rules.granularity);
            }
        }
        self.effects.push(Effect::Stop(key));
        self.set_phase(key, phase, said);
    }

    /// Nothing of it costs any more.
    fn settle(&mut self, key: Key) {
        let now = self.now;
        self.release(key);
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        instance.turn += 1;
        instance.notice = None;
        if instance.ended.is_none() {
            instance.ended = Some(now);
            instance.meter.end(now);
            self.effects.push(Effect::Stop(key));
        }
    }

    fn vanish(&mut self, key: Key) {
        self.reveal(key);
        let Some(instance) = self.instances.get_mut(key.0) else { return };
        let (vendor, account) = (instance.order.vendor, instance.order.account);
        let remembered = Rules::of(vendor).remembered;
        instance.forgotten = remembered == 0;
        let name = instance.order.name.clone();
        self.set_phase(key, Phase::Over, "terminated");
        if let Some(listed) = self.listed.get_mut(&(vendor, account)) {
            listed.remove(&key);
        }
        self.unname(key, name);
        if remembered > 0 {
            self.plan_in(key, remembered, Event::Forget);
        }
    }

    fn unname(&mut self, key: Key, name: String) {
        let Some(instance) = self.instances.get(key.0) else { return };
        let entry = (instance.order.vendor, instance.order.account, name);
        if let Some(keys) = self.by_name.get_mut(&entry) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_name.remove(&entry);
            }
        }
    }

    fn release(&mut self, key: Key) {
        if let Some(instance) = self.instances.get_mut(key.0).filter(|instance| instance.holds) {
            instance.holds = false;
            self.market.give_back(&instance.order.place);
        }
    }

    fn set_phase(&mut self, key: Key, phase: Phase, said: &str) {
        if let Some(instance) = self.instances.get_mut(key.0) {
            instance.phase = phase;
            said.clone_into(&mut instance.said);
        }
    }

    fn plan_in(&mut self, key: Key, seconds: u64, event: Event) {
        let turn = self.instances.get(key.0).map_or(0, |instance| instance.turn);
        let lasting = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        self.plan.add(later(self.now, lasting), Planned { key, event, turn });
    }

    fn started(&self, key: Key) -> Option<Started> {
        let Instance { id, order, lies, .. } = self.instance(key)?;
        let (cpu_millis, memory_mib) = self.market.size(&order.place);
        Some(Started {
            key,
            vendor: order.vendor,
            id: id.clone(),
            name: order.name.clone(),
            cpu_millis,
            memory_mib,
            disk_gib: order.disk_gib,
            gpus: if *lies { None } else { self.market.gpus(&order.place) },
            payload: order.payload.clone(),
        })
    }
}
