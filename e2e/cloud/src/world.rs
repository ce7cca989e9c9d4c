//! The world as it really is: markets, accounts, and every machine that was ever rented. It moves on whenever somebody
//! looks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::{SignedDuration, Timestamp, later};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::backend::{Key, Started};
use crate::fault::{Drawn, Fault, Faults};
use crate::limit::Limits;
use crate::market::Market;
use crate::vendor::{Vendor, Verb};

#[cfg(test)]
mod course;
mod event;
mod instance;
mod life;
mod rules;
#[cfg(test)]
mod tests;
mod truth;

use event::{Event, Plan, Planned};
pub use instance::{Instance, New, Phase};
pub use life::Refusal;
pub use rules::{PaidFrom, Rules};
pub use truth::Machine;

/// Who pays a vendor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Whom.
    pub vendor: Vendor,
    /// Its API key.
    pub key: String,
    /// What was paid in, in the vendor's currency; None: as much as it takes.
    #[serde(default)]
    pub balance: Option<Amount>,
    /// Names of the SSH keys it has.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
}

impl Account {
    /// The account that a server has with a vendor unless it is told another.
    pub fn default_of(vendor: Vendor) -> Self {
        let key = vendor.default_key().to_owned();
        Self { vendor, key, balance: None, ssh_keys: vec!["cooperator".to_owned()] }
    }
}

impl std::fmt::Debug for Account {
    /// Without its key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({}, {:?})", self.vendor, self.balance)
    }
}

/// How long machines take to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Boot {
    /// As long as the seed says, within what is usual with the vendor.
    #[default]
    Seeded,
    /// Exactly so.
    Exactly {
        /// Seconds until work on it begins.
        accepting: u64,
        /// Seconds it then boots.
        booting: u64,
    },
}

/// What a backend is to be told, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    Start(Box<Started>),
    Stop(Key),
    Notice(Key, u64),
}

/// The world.
#[derive(Debug)]
pub struct World {
    now: Timestamp,
    /// What is for rent.
    pub market: Market,
    /// Who pays.
    pub accounts: Vec<Account>,
    /// The switches of faults.
    pub faults: Faults,
    /// How often may be asked.
    pub limits: Limits,
    /// Seconds by which the vendors' own accounts lag behind the true bill.
    pub billing_lag: u64,
    pub(crate) effects: Vec<Effect>,
    instances: Vec<Instance>,
    by_id: HashMap<(Vendor, String), Key>,
    listed: BTreeMap<(Vendor, usize), BTreeSet<Key>>,
    by_name: BTreeMap<(Vendor, usize, String), BTreeSet<Key>>,
    hidden: BTreeMap<(Vendor, usize), usize>,
    calls: BTreeMap<(Vendor, Verb), u64>,
    plan: Plan,
    dice: ChaCha8Rng,
    boot: Boot,
    has_reports: bool,
}

impl World {
    /// A world without machines at the instant `now`.
    pub fn new(now: Timestamp, seed: u64, market: Market, accounts: Vec<Account>, faults: Faults) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(1);
        Self {
            now,
            market,
            accounts,
            faults,
            limits: Limits::default(),
            billing_lag: 0,
            effects: Vec::new(),
            instances: Vec::new(),
            by_id: HashMap::new(),
            listed: BTreeMap::new(),
            by_name: BTreeMap::new(),
            hidden: BTreeMap::new(),
            calls: BTreeMap::new(),
            plan: Plan::default(),
            dice,
            boot: Boot::Seeded,
            has_reports: false,
        }
    }

    /// How long machines take to start from here on.
    pub fn set_boot(&mut self, boot: Boot) {
        self.boot = boot;
    }

    /// Machines run when their backend says so.
    pub(crate) fn expect_reports(&mut self) {
        self.has_reports = true;
    }

    /// Moves on to `now`: all that was planned until then happens, in order, each at its own instant. Time never goes back.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((at, planned)) = self.plan.due(now) {
            self.now = self.now.max(at);
            self.happen(planned);
        }
        self.now = self.now.max(now);
    }

    /// The instant to which it has moved on.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The account that a vendor knows by this key.
    pub fn account(&self, vendor: Vendor, key: &str) -> Option<usize> {
        self.accounts.iter().position(|account| account.vendor == vendor && account.key == key)
    }

    /// Notes a call.
    pub(crate) fn count(&mut self, vendor: Vendor, verb: Verb) {
        *self.calls.entry((vendor, verb)).or_default() += 1;
    }

    /// How often a vendor was asked for this, whatever came of it.
    pub fn calls(&self, vendor: Vendor, verb: Verb) -> u64 {
        self.calls.get(&(vendor, verb)).copied().unwrap_or_default()
    }

    /// How often each vendor was asked for what.
    pub const fn all_calls(&self) -> &BTreeMap<(Vendor, Verb), u64> {
        &self.calls
    }

    /// A machine.
    pub fn instance(&self, key: Key) -> Option<&Instance> {
        self.instances.get(key.0)
    }

    /// All machines there ever were, in the order of their creation.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The machine of this id, whoever rented it and whether or not the vendor still knows it.
    pub fn any(&self, vendor: Vendor, id: &str) -> Option<&Instance> {
        self.instance(*self.by_id.get(&(vendor, id.to_owned()))?)
    }

    /// The machine of this id, whether reads show it or not, as long as the vendor remembers it.
    pub fn find(&self, vendor: Vendor, account: usize, id: &str) -> Option<&Instance> {
        self.any(vendor, id).filter(|found| found.order.account == account && !found.forgotten)
    }

    /// The machine of this id that a read shows.
    pub fn read(&self, vendor: Vendor, account: usize, id: &str) -> Option<&Instance> {
        self.find(vendor, account, id).filter(|found| found.visible)
    }

    /// What a list shows after this machine, in the order of creation.
    pub fn list(
        &self,
        vendor: Vendor,
        account: usize,
        after: Option<Key>,
    ) -> impl Iterator<Item = &Instance> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.listed.get(&(vendor, account)).map(|keys| keys.range((from, Bound::Unbounded)));
        keys.into_iter().flatten().filter_map(|key| self.instance(*key)).filter(|found| found.visible)
    }

    /// How many a list shows.
    pub fn listed(&self, vendor: Vendor, account: usize) -> usize {
        let all = self.listed.get(&(vendor, account)).map_or(0, BTreeSet::len);
        all.saturating_sub(self.hidden.get(&(vendor, account)).copied().unwrap_or_default())
    }

    /// What a list shows of this name or label.
    pub fn named(&self, vendor: Vendor, account: usize, name: &str) -> impl Iterator<Item = &Instance> {
        let keys = self.by_name.get(&(vendor, account, name.to_owned()));
        keys.into_iter().flatten().filter_map(|key| self.instance(*key)).filter(|found| found.visible)
    }

    /// Whether a live machine has this name, shown or not.
    pub fn has_name(&self, vendor: Vendor, account: usize, name: &str) -> bool {
        self.by_name.contains_key(&(vendor, account, name.to_owned()))
    }

    /// What an account has cost so far.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn spent(&self, account: usize) -> Result<Amount, MoneyError> {
        let own = self.instances.iter().filter(|instance| instance.order.account == account);
        own.map(|instance| instance.meter.bill(self.now)?.total())
            .try_fold(Amount::ZERO, |sum, one| sum.plus(one?))
    }

    /// Whether an account has used up what was paid in.
    pub fn is_broke(&self, account: usize) -> bool {
        let balance = self.accounts.get(account).and_then(|account| account.balance);
        balance.is_some_and(|balance| self.spent(account).is_ok_and(|spent| spent >= balance))
    }

    /// Rents a machine out. Whoever calls has checked the order, and that its place is free if it is to hold it.
    pub fn create(&mut self, order: New, drawn: Option<Drawn>) -> Key {
        let key = Key(self.instances.len());
        let id = self.new_id(order.vendor, key);
        let holds = order.holds && self.market.take(&order.place);
        let mut instance = self.fresh(key, id.clone(), order, holds);
        self.doom(&mut instance, drawn);
        let owner = (instance.order.vendor, instance.order.account);
        self.by_id.insert((owner.0, id), key);
        self.listed.entry(owner).or_default().insert(key);
        self.by_name.entry((owner.0, owner.1, instance.order.name.clone())).or_default().insert(key);
        if !instance.visible {
            *self.hidden.entry(owner).or_default() += 1;
        }
        let is_stopped = instance.order.stopped;
        self.instances.push(instance);
        if is_stopped {
            self.stand(key, Phase::Stopped, "stopped");
        } else {
            self.plan_start(key);
        }
        key
    }

    fn fresh(&self, key: Key, id: String, order: New, holds: bool) -> Instance {
        let rules = Rules::of(order.vendor);
        let mut meter = crate::bill::Meter::new(order.traffic);
        let (gib, month, _) = order.paid_disk;
        if rules.paid_from != PaidFrom::Booting {
            meter.disk(self.now, gib, month, rules.granularity);
        }
        if rules.paid_from == PaidFrom::Accepted {
            meter.compute(self.now, order.hourly, rules.granularity);
        }
        let lies = match &order.place {
            crate::market::Place::Ask(ask) => self.market.ask(*ask).is_some_and(|(_, host)| host.lies),
            _ => false,
        };
        Instance {
            key,
            id,
            order,
            phase: Phase::Accepted,
            said: String::new(),
            created: self.now,
            started: None,
            running: None,
            ended: None,
            address: Instance::address_of(key),
            meter,
            visible: true,
            disconnected: false,
            lies,
            notice: None,
            forgotten: false,
            deletes_fail_until: None,
            is_stuck: false,
            fate: None,
            holds,
            turn: 0,
        }
    }

    /// What a fault of its creation has in store for a machine.
    fn doom(&mut self, instance: &mut Instance, drawn: Option<Drawn>) {
        let Some(Drawn { fault, seconds }) = drawn else { return };
        let mut plan = |event| {
            let at = later(self.now, SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)));
            self.plan.add(at, Planned { key: instance.key, event, turn: 0 });
        };
        match fault {
            Fault::CreatedThenInvisible => {
                instance.visible = false;
                plan(Event::Reveal);
            }
            Fault::DoubleAccept => plan(Event::Die),
            Fault::LoadingForEver => instance.is_stuck = true,
            Fault::LyingHost => instance.lies = true,
            Fault::ExitedButBilling => instance.fate = Some((Event::ExitAtCost, seconds)),
            Fault::PreemptedWithNotice => instance.fate = Some((Event::Notice(120), seconds)),
            Fault::Preempted => instance.fate = Some((Event::Preempt, seconds)),
            Fault::SilentDisconnect => instance.fate = Some((Event::Disconnect, seconds)),
            _ => {}
        }
    }

    fn new_id(&mut self, vendor: Vendor, key: Key) -> String {
        const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut text = |length: usize, letters: usize| -> String {
            (0..length).map(|_| char::from(LETTERS[self.dice.random_range(0..letters)])).collect()
        };
        match vendor {
            Vendor::Vast => (30_000_000 + key.0).to_string(),
            Vendor::RunPod => text(14, 36),
            Vendor::Lambda => text(32, 16),
            Vendor::Hetzner => (100_000_000 + key.0).to_string(),
        }
    }
}
