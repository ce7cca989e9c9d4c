//! A controller as the operator has one, over `cooperator-rental`: it reads, steps and persists, and dies between any two
//! of these when the dice say so. All it knows in memory is when to look again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cooperator_core::market::{CapacityType, Offer, Shape};
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Clock as _;
use cooperator_core::time::{SignedDuration, TestClock, Timestamp, later};
use cooperator_providers::{Container, Driver, InstanceName, Payload, Query, Tenant};
use cooperator_rental::{
    Advance, Intent, Limits, Live, News, Permit, Reason, Record, Wish, collect, launch, step,
};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::store::{Claim, Store};

/// Between two passes over a provider's machines.
const COLLECT: Duration = Duration::from_secs(15);
/// After a pass that came to nothing.
const AGAIN: Duration = Duration::from_secs(5);
/// After a launch of which nothing came, or a conflict.
const SOON: Duration = Duration::from_secs(3);
/// For so long a market is remembered.
const MARKET: Duration = Duration::from_secs(120);

/// The operator is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Died;

/// A vendor's account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Name of the Provider object.
    pub provider: String,
    /// Its driver.
    pub driver: Arc<dyn Driver>,
}

/// A call that rents, and that was held up in a process that is no longer the operator.
#[derive(Debug)]
pub struct Ghost {
    /// When it goes out.
    pub at: Timestamp,
    permit: Permit,
    record: Record,
    claim: usize,
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Deaths of the operator.
    pub deaths: u64,
    /// Calls of dead operators that went out late.
    pub ghosts: u64,
    /// Writes that somebody else had come before.
    pub conflicts: u64,
    /// Answers to an order that were lost.
    pub doubts: u64,
    /// Machines that were found again.
    pub adopted: u64,
    /// Further machines of one name.
    pub doubles: u64,
    /// Machines that were said to be gone and lived.
    pub revived: u64,
}

/// The operator: what is here is lost when it dies, but for what it is made of.
#[derive(Debug)]
pub struct Operator {
    accounts: Vec<Account>,
    tenant: Tenant,
    clock: TestClock,
    /// What the claims' names are made of.
    seed: u64,
    /// One in so many chances to die is taken. 0: none.
    mortality: u32,
    limits: Limits,
    due: BTreeMap<usize, Timestamp>,
    passes: BTreeMap<String, Timestamp>,
    markets: BTreeMap<String, (Timestamp, Vec<Offer>)>,
    /// Until when it is dead.
    pub dead_until: Option<Timestamp>,
    /// From when until when it was dead, one time after the other.
    pub dead: Vec<(Timestamp, Timestamp)>,
    /// What its predecessors have left behind.
    pub ghosts: Vec<Ghost>,
    /// How often things happened.
    pub counts: Counts,
}

impl Operator {
    /// One that has just begun.
    pub fn new(accounts: Vec<Account>, tenant: Tenant, clock: TestClock, seed: u64, mortality: u32) -> Self {
        let limits = Limits { launch: Duration::from_secs(400), account: Duration::from_secs(120) };
        Self {
            accounts,
            tenant,
            clock,
            seed,
            mortality,
            limits,
            due: BTreeMap::new(),
            passes: BTreeMap::new(),
            markets: BTreeMap::new(),
            dead_until: None,
            dead: Vec::new(),
            ghosts: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// How the machines of a claim are named.
    pub fn name(&self, claim: usize) -> Option<InstanceName> {
        self.tenant.name(&format!("{:016x}{claim:016x}", self.seed))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn after(&self, wait: Duration) -> Timestamp {
        // Whole seconds: some vendors tell no more of a time.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        later(self.now(), SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// One place to die in.
    fn perhaps_dies(&mut self, dice: &mut ChaCha8Rng) -> Result<(), Died> {
        if self.mortality == 0 || dice.random_range(0..self.mortality) != 0 {
            return Ok(());
        }
        self.counts.deaths += 1;
        self.due.clear();
        self.passes.clear();
        self.markets.clear();
        let until = self.after(Duration::from_secs(dice.random_range(1..15)));
        self.dead_until = Some(until);
        self.dead.push((self.now(), until));
        Err(Died)
    }

    /// Does one thing that is due. False: nothing is.
    ///
    /// # Errors
    /// [`Died`] in the middle of it.
    pub async fn work(&mut self, store: &mut Store, dice: &mut ChaCha8Rng) -> Result<bool, Died> {
        let now = self.now();
        for index in 0..self.accounts.len() {
            let account = self.accounts[index].clone();
            if self.passes.get(&account.provider).is_none_or(|due| *due <= now) {
                self.collect(&account, store, dice).await?;
                return Ok(true);
            }
        }
        let next =
            store.claims.keys().find(|claim| self.due.get(claim).is_none_or(|due| *due <= now)).copied();
        let Some(claim) = next else { return Ok(false) };
        let wait = self.reconcile(claim, store, dice).await?;
        self.due.insert(claim, self.after(wait));
        Ok(true)
    }

    /// An event tells that a claim has changed.
    pub fn wake(&mut self, claim: usize) {
        self.due.remove(&claim);
    }

    /// When there is next something to do.
    pub fn next(&self, store: &Store) -> Option<Timestamp> {
        let passes = self.passes.values().copied();
        let claims = store.claims.keys().filter_map(|claim| self.due.get(claim).copied());
        passes.chain(claims).min()
    }

    /// One claim, once.
    async fn reconcile(
        &mut self,
        number: usize,
        store: &mut Store,
        dice: &mut ChaCha8Rng,
    ) -> Result<Duration, Died> {
        let (Some(claim), Some(name)) = (store.claims.get(&number).cloned(), self.name(number)) else {
            return Ok(SOON);
        };
        let mut record = claim.record.value.clone();
        let ends = claim.ending || claim.departed;
        if ends && record.is_accounted() {
            finish(number, store, self.now());
            return Ok(SOON);
        }
        if record.is_closed() && !ends {
            return self.rent(number, record, &name, store, dice).await;
        }
        let wish = match ends {
            true => Wish::End { reason: Reason::Released, message: "the claim is deleted".to_owned() },
            false => Wish::Keep,
        };
        let providers: Vec<String> = record.providers().into_iter().map(str::to_owned).collect();
        let mut wait: Option<Duration> = None;
        for provider in providers {
            let Some(account) = self.accounts.iter().find(|account| account.provider == provider).cloned()
            else {
                continue;
            };
            let driver = account.driver.as_ref();
            let advance = step(&record, &provider, &name, &wish, &self.limits, driver, &self.clock).await;
            self.perhaps_dies(dice)?;
            let rest = advance.again;
            wait = wait.into_iter().chain(rest).min();
            if !self.persist(number, &mut record, advance, store, dice) {
                return Ok(SOON);
            }
        }
        Ok(wait.unwrap_or(SOON))
    }

    /// Persists what a step leaves. False: somebody else came first.
    fn persist(
        &mut self,
        number: usize,
        record: &mut Record,
        advance: Advance,
        store: &mut Store,
        dice: &mut ChaCha8Rng,
    ) -> bool {
        self.count(&advance.news);
        if !advance.changed {
            return true;
        }
        let Some(claim) = store.claims.get_mut(&number) else { return false };
        let version = claim.record.version;
        if dice.random_range(0..200) == 0 {
            claim.record.touch();
        }
        let put = claim.record.put(version, advance.record.clone());
        self.counts.conflicts += u64::from(put.is_err());
        *record = advance.record;
        put.is_ok()
    }

    fn count(&mut self, news: &[News]) {
        for news in news {
            match news {
                News::Doubtful { .. } => self.counts.doubts += 1,
                News::Adopted { .. } => self.counts.adopted += 1,
                News::Double { .. } => self.counts.doubles += 1,
                News::Revived { .. } => self.counts.revived += 1,
                _ => {}
            }
        }
    }

    /// Begins a launch, in two phases.
    async fn rent(
        &mut self,
        number: usize,
        mut record: Record,
        name: &InstanceName,
        store: &mut Store,
        dice: &mut ChaCha8Rng,
    ) -> Result<Duration, Died> {
        let Some(account) = self.accounts.choose(dice).cloned() else { return Ok(SOON) };
        let Some(offer) = self.offer(&account, dice).await else { return Ok(SOON) };
        let payload = payload(&offer);
        let bid = (offer.capacity_type == CapacityType::Spot)
            .then(|| PricePerHour::from_micros(offer.terms.hourly.micros().saturating_mul(6) / 5));
        let Ok(permit) = record.begin(Intent { offer, disk_gib: 20, bid }, self.now()) else {
            return Ok(Duration::from_secs(60));
        };
        self.perhaps_dies(dice)?;
        let begun = Advance { record: record.clone(), changed: true, again: None, news: Vec::new() };
        if !self.persist(number, &mut record, begun, store, dice) {
            return Ok(SOON);
        }
        if let Err(died) = self.perhaps_dies(dice) {
            // Lambda tells of no machine when it began, so one that began late cannot be paid for to the minute.
            if account.driver.vendor() != "Lambda Cloud" && dice.random() {
                let at = later(self.now(), SignedDuration::from_secs(dice.random_range(0..10)));
                self.ghosts.push(Ghost { at, permit, record, claim: number });
            }
            return Err(died);
        }
        let advance = launch(permit, &record, name, payload, account.driver.as_ref(), &self.clock).await;
        self.perhaps_dies(dice)?;
        let wait = advance.again.unwrap_or(SOON);
        self.persist(number, &mut record, advance, store, dice);
        Ok(wait)
    }

    /// An offer, any.
    async fn offer(&mut self, account: &Account, dice: &mut ChaCha8Rng) -> Option<Offer> {
        let fresh = |at: &Timestamp| {
            self.now() < later(*at, SignedDuration::from_secs(MARKET.as_secs().cast_signed()))
        };
        if !self.markets.get(&account.provider).is_some_and(|(at, _)| fresh(at)) {
            let query = Query { disk_gib: 20, ..Query::default() };
            let mut offers = account.driver.offers(&query).await.ok()?;
            offers.iter_mut().for_each(|offer| offer.provider.clone_from(&account.provider));
            self.markets.insert(account.provider.clone(), (self.now(), offers));
        }
        self.markets.get(&account.provider)?.1.choose(dice).cloned()
    }

    /// Lets the calls go out that dead operators left behind.
    pub async fn haunt(&mut self) {
        let now = self.now();
        let (due, later): (Vec<_>, Vec<_>) = self.ghosts.drain(..).partition(|ghost| ghost.at <= now);
        self.ghosts = later;
        for Ghost { permit, record, claim, .. } in due {
            let (Some(name), Some(open)) = (self.name(claim), record.open()) else { continue };
            let account = self.accounts.iter().find(|account| account.provider == open.provider);
            let Some(account) = account else { continue };
            let payload = payload(&open.offer);
            self.counts.ghosts += 1;
            drop(launch(permit, &record, &name, payload, account.driver.as_ref(), &self.clock).await);
        }
    }

    /// One pass over a provider's machines.
    async fn collect(
        &mut self,
        account: &Account,
        store: &mut Store,
        dice: &mut ChaCha8Rng,
    ) -> Result<(), Died> {
        let strays = store.strays.get(&account.provider).cloned().unwrap_or_default();
        let names: Vec<(InstanceName, &Claim)> =
            store.claims.iter().filter_map(|(number, claim)| Some((self.name(*number)?, claim))).collect();
        // Nothing changes while this waits: whatever is read after the list is what was read before.
        let live =
            Live::of(&account.provider, names.into_iter().map(|(name, claim)| (name, &claim.record.value)));
        let read = std::future::ready(Ok::<_, Died>(live));
        let driver = account.driver.as_ref();
        let pass = collect(driver, &self.tenant, &strays.value, read, &self.limits, &self.clock).await;
        self.perhaps_dies(dice)?;
        let Ok(pass) = pass else {
            self.passes.insert(account.provider.clone(), self.after(AGAIN));
            return Ok(());
        };
        if pass.changed {
            let object = store.strays.entry(account.provider.clone()).or_default();
            if object.put(strays.version, pass.strays).is_err() {
                self.counts.conflicts += 1;
            }
        }
        let now = self.now();
        for verdict in pass.found {
            self.perhaps_dies(dice)?;
            let owner = store
                .claims
                .keys()
                .find(|number| self.name(**number).as_ref() == Some(&verdict.instance.name));
            let Some(number) = owner.copied() else { continue };
            let Some(claim) = store.claims.get_mut(&number) else { continue };
            let mut record = claim.record.value.clone();
            if record.found(&account.provider, &verdict.instance, now)
                && claim.record.put(claim.record.version, record).is_ok()
            {
                self.counts.doubles += 1;
                self.due.remove(&number);
            }
        }
        let usual = if pass.errors.is_empty() { COLLECT } else { AGAIN };
        self.passes.insert(account.provider.clone(), self.after(pass.again.unwrap_or(usual)));
        Ok(())
    }
}

/// The claim is over and paid for: its lines go to the ledger, and it goes.
fn finish(number: usize, store: &mut Store, now: Timestamp) {
    if let Some(claim) = store.claims.remove(&number) {
        store.ledger.extend(claim.record.value.lines(now).unwrap_or_default());
        store.gone.entry(number).or_insert(now);
    }
}

fn payload(offer: &Offer) -> Payload {
    match offer.shape {
        Shape::Machine => Payload::UserData("#!/bin/sh\ntrue\n".to_owned()),
        Shape::Container => Payload::Container(Container {
            image: "registry.example/trainer:1".to_owned(),
            arguments: vec!["train".to_owned()],
            environment: Vec::new(),
        }),
    }
}
