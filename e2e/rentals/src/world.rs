//! One world, from its first claim to the last cent.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cooperator_cloud::market::{Market, Size};
use cooperator_cloud::{Cloud, Options, Time};
use cooperator_core::market::Granularity;
use cooperator_core::time::{Clock as _, SignedDuration, TestClock, Timestamp, later};
use cooperator_providers::{Key, Tenant, Vendor, connect};
use cooperator_rental::Record;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::audit::{Audit, Fault, Known, audit};
use crate::operator::{Account, Counts, Operator};
use crate::plan::{Fate, Going, fates, faults};
use crate::store::{Claim, Store};

/// The uid of the cluster that rents.
const CLUSTER: &str = "6f1c2a70-0b1d-4a55-9d0e-1c2f3a4b5c6d";
/// One in so many chances to die is taken.
const MORTALITY: u32 = 150;
/// So long nothing may have been left before the world is over, in seconds.
const QUIET: i64 = 150;
/// Longest that a world may take, in seconds.
const LONGEST: i64 = 6 * 3600;
/// Most things that are done at one instant.
const MOST_AT_ONCE: u32 = 20_000;

/// What a world came to.
#[derive(Debug)]
pub struct Told {
    /// Which.
    pub seed: u64,
    /// Claims that were made.
    pub claims: u64,
    /// How it is held against the truth.
    pub audit: Audit,
    /// What befell the operator.
    pub counts: Counts,
    /// How often each fault met a call.
    pub faults: BTreeMap<Fault, u64>,
}

struct World {
    cloud: Cloud,
    clock: TestClock,
    store: Store,
    known: Known,
    operator: Operator,
    dice: ChaCha8Rng,
    /// What is still to happen, the last first.
    events: Vec<(Timestamp, usize, Event)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Make,
    Go(Going),
}

/// Tells the world of a seed, with so many claims.
///
/// # Errors
/// One that cannot be told, or does not come to rest. What is wrong at its end is no error: it is in the audit.
pub async fn tell(seed: u64, claims: usize) -> Result<Told> {
    let mut world = World::new(seed, claims).await?;
    world.run().await.with_context(|| format!("world {seed}"))?;
    world.known.dead = std::mem::take(&mut world.operator.dead);
    let audit = audit(&world.cloud, &world.store, &world.known, world.clock.now())?;
    let faults = world.cloud.with(|cloud| cloud.faults.counts().clone());
    Ok(Told { seed, claims: claims.try_into()?, audit, counts: world.operator.counts, faults })
}

impl World {
    async fn new(seed: u64, claims: usize) -> Result<Self> {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let start = Timestamp::from_second(1_796_083_200)?;
        let clock = TestClock::new(start);
        let cloud = Cloud::start(Options {
            seed,
            time: Time::Virtual(clock.clone()),
            market: Market::generated(seed, Size::SMALL),
            faults: faults(),
            ..Options::default()
        })
        .await?;
        let accounts = Vendor::ALL.into_iter().map(|vendor| account(vendor, &cloud, &clock));
        let accounts = accounts.collect::<Result<Vec<_>>>()?;
        let mut store = Store::default();
        for account in &accounts {
            let strays = store.strays.entry(account.provider.clone()).or_default();
            strays.value.granularity = match account.provider.as_str() {
                "lambda" => Granularity::Minute,
                "hetzner" => Granularity::Hour,
                _ => Granularity::Second,
            };
        }
        let tenant = Tenant::of(CLUSTER).context("the cluster's uid is none")?;
        let operator = Operator::new(accounts, tenant, clock.clone(), seed, MORTALITY);
        let mut known = Known::default();
        let mut events = Vec::new();
        for (number, Fate { made, goes, going }) in fates(&mut dice, claims, start).into_iter().enumerate() {
            let name = operator.name(number).context("a claim's uid is none")?;
            known.claims.insert(name.to_string(), number);
            events.push((made, number, Event::Make));
            events.push((goes, number, Event::Go(going)));
        }
        events.sort_by_key(|(at, number, event)| std::cmp::Reverse((*at, *number, *event == Event::Make)));
        Ok(Self { cloud, clock, store, known, operator, dice, events })
    }

    async fn run(&mut self) -> Result<()> {
        let start = self.clock.now();
        let (mut quiet, mut at_once) = (None, 0);
        loop {
            let now = self.clock.now();
            self.happen(now);
            self.operator.haunt().await;
            self.operator.dead_until = self.operator.dead_until.filter(|until| now < *until);
            at_once += 1;
            if at_once > MOST_AT_ONCE {
                bail!("it does not come to rest at {now}");
            }
            if self.operator.dead_until.is_none()
                && !matches!(self.operator.work(&mut self.store, &mut self.dice).await, Ok(false))
            {
                continue;
            }
            let since = if self.is_quiet() { *quiet.get_or_insert(now) } else { Timestamp::MAX };
            if since == Timestamp::MAX {
                quiet = None;
            } else if later(since, SignedDuration::from_secs(QUIET)) <= now {
                return Ok(());
            }
            if later(start, SignedDuration::from_secs(LONGEST)) < now {
                bail!("something is left after {LONGEST} s: {:?}", self.store.claims);
            }
            let next = self.next().unwrap_or(now).max(later(now, SignedDuration::from_secs(1)));
            self.cloud.advance(next.duration_since(now));
            at_once = 0;
        }
    }

    /// When something is next to be done.
    fn next(&self) -> Option<Timestamp> {
        let event = self.events.last().map(|(at, _, _)| *at);
        let ghosts = self.operator.ghosts.iter().map(|ghost| ghost.at);
        let operator = self.operator.dead_until.or_else(|| self.operator.next(&self.store));
        event.into_iter().chain(ghosts).chain(operator).min()
    }

    /// Whether nothing is left that is known.
    fn is_quiet(&self) -> bool {
        let strays = self.store.strays.values().flat_map(|strays| &strays.value.machines);
        self.events.is_empty()
            && self.operator.ghosts.is_empty()
            && self.store.claims.is_empty()
            && strays.into_iter().all(|stray| stray.machine.accounted_at.is_some())
    }

    fn happen(&mut self, now: Timestamp) {
        while let Some((_, number, event)) = self.events.pop_if(|(at, _, _)| *at <= now) {
            match event {
                Event::Make => drop(self.store.claims.insert(number, Claim::default())),
                Event::Go(going) => self.go(number, going, now),
            }
            self.operator.wake(number);
        }
    }

    fn go(&mut self, number: usize, going: Going, now: Timestamp) {
        let Some(claim) = self.store.claims.get_mut(&number) else { return };
        match going {
            Going::Deleted => claim.ending = true,
            Going::Seen => {
                claim.departed = true;
                self.store.gone.insert(number, now);
            }
            Going::Unseen | Going::Wiped => {
                // What was over had been told before.
                let lines = claim.record.value.lines(now).unwrap_or_default();
                self.store.ledger.extend(lines.into_iter().filter(|line| line.is_final));
                self.known.robbed.insert(number, now);
                if going == Going::Wiped {
                    let version = claim.record.version;
                    // Nobody else has it here: this cannot fail.
                    let _ = claim.record.put(version, Record::default());
                    let wait = self.dice.random_range(60..200);
                    self.events.push((
                        later(now, SignedDuration::from_secs(wait)),
                        number,
                        Event::Go(Going::Deleted),
                    ));
                    self.events.sort_by_key(|(at, number, _)| std::cmp::Reverse((*at, *number)));
                } else {
                    self.store.claims.remove(&number);
                    self.store.gone.insert(number, now);
                }
            }
        }
    }
}

fn account(vendor: Vendor, cloud: &Cloud, clock: &TestClock) -> Result<Account> {
    let there = match vendor {
        Vendor::Vast => cooperator_cloud::Vendor::Vast,
        Vendor::RunPod => cooperator_cloud::Vendor::RunPod,
        Vendor::Lambda => cooperator_cloud::Vendor::Lambda,
        Vendor::Hetzner => cooperator_cloud::Vendor::Hetzner,
    };
    let key = Key::new(there.default_key());
    let driver = connect(vendor, Some(cloud.base(there).parse()?), key, Arc::new(clock.clone()))?;
    Ok(Account { provider: there.to_string(), driver })
}
