//! The server, and the hand that moves it: everything the control API can do, for tests in the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cooperator_core::money::{Amount, MoneyError};
use cooperator_core::time::{SignedDuration, TestClock, Timestamp};
use tokio::task::JoinHandle;

use crate::backend::{Backend, Key, Simulated};
use crate::bill::Bill;
use crate::fault::{Fault, Faults, Rule};
use crate::limit::Limits;
use crate::market::{Market, Place, Size};
use crate::server::{self, Shared, Time};
use crate::vendor::{Vendor, Verb};
use crate::world::{Account, Boot, Machine, World};

/// What a cloud is like.
#[derive(Clone)]
pub struct Options {
    /// Where it listens. Default: a free port of 127.0.0.1.
    pub listen: SocketAddr,
    /// Decides ids, boot times and the faults that fall by chance.
    pub seed: u64,
    /// Where the time comes from. Default: a virtual clock that shows 2026-12-01T00:00:00Z.
    pub time: Time,
    /// What is for rent. Default: a small market of seed 1.
    pub market: Market,
    /// Who pays. Default: one account with each vendor, with [`Vendor::default_key`].
    pub accounts: Vec<Account>,
    /// Whether the vendors' limits on calls hold. Default: under real time only.
    pub limits: Option<bool>,
    /// How long machines take to start.
    pub boot: Boot,
    /// Faults from the start.
    pub faults: Vec<Rule>,
    /// Seconds by which the vendors' own accounts lag behind the true bill.
    pub billing_lag: u64,
    /// What machines are made of. Default: nothing.
    pub backend: Arc<dyn Backend>,
}

impl Default for Options {
    fn default() -> Self {
        // 2026-12-01T00:00:00Z.
        let start = Timestamp::from_second(1_796_083_200).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            time: Time::Virtual(TestClock::new(start)),
            market: Market::generated(1, Size::SMALL),
            accounts: Vendor::ALL.into_iter().map(Account::default_of).collect(),
            limits: None,
            boot: Boot::Seeded,
            faults: Vec::new(),
            billing_lag: 0,
            backend: Arc::new(Simulated),
        }
    }
}

/// A running cloud. It ends when this is dropped.
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Cloud {
    /// Starts one.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let Options { listen, seed, time, market, accounts, limits, boot, faults, billing_lag, backend } =
            options;
        let mut world = World::new(time.now(), seed, market, accounts, Faults::new(faults, seed));
        world.set_boot(boot);
        world.billing_lag = billing_lag;
        let is_real = matches!(time, Time::Real);
        world.limits = Limits::new(limits.unwrap_or(is_real));
        let is_watched = is_real && backend.reports();
        let shared = Shared::new(world, time, backend);
        let (address, task) = server::listen(&shared, listen).await?;
        let mut tasks = vec![task];
        if is_watched {
            // Real machines must be stopped when their time has come, even if nobody asks.
            let shared = shared.clone();
            tasks.push(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
                    shared.with(|_| ());
                }
            }));
        }
        Ok(Self { shared, address, tasks })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What stands for a vendor's base URL: `https://console.vast.ai`, `https://api.runpod.io/v2`,
    /// `https://cloud.lambda.ai/api/v1`, `https://api.hetzner.cloud/v1`.
    pub fn base(&self, vendor: Vendor) -> String {
        format!("{}/{vendor}", self.url())
    }

    /// Does something with the world, moved on to now.
    pub fn with<T>(&self, what: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(what)
    }

    /// The present instant of its clock.
    pub fn now(&self) -> Timestamp {
        self.shared.time().now()
    }

    /// Moves its virtual clock, and the world with it. Under real time it does nothing.
    pub fn advance(&self, by: SignedDuration) {
        if let Time::Virtual(clock) = self.shared.time() {
            clock.advance(by);
            self.with(|_| ());
        }
    }

    /// Switches these faults on, and all others off.
    pub fn set_faults(&self, rules: Vec<Rule>) {
        self.with(|world| world.faults.set(rules));
    }

    /// Switches one more fault on.
    pub fn add_fault(&self, rule: Rule) {
        self.with(|world| world.faults.add(rule));
    }

    /// How often a fault has met a call.
    pub fn hits(&self, fault: Fault) -> u64 {
        self.with(|world| world.faults.counts().get(&fault).copied().unwrap_or_default())
    }

    /// How often a vendor was asked for this.
    pub fn calls(&self, vendor: Vendor, verb: Verb) -> u64 {
        self.with(|world| world.calls(vendor, verb))
    }

    /// All machines there ever were, as they really are, in the order of their creation.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn machines(&self) -> Result<Vec<Machine>, MoneyError> {
        self.with(|world| world.instances().iter().map(|one| Machine::of(one, world.now())).collect())
    }

    /// The machines that still cost, or may cost again.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn alive(&self) -> Result<Vec<Machine>, MoneyError> {
        self.with(|world| {
            let alive = world.instances().iter().filter(|one| one.is_alive());
            alive.map(|one| Machine::of(one, world.now())).collect()
        })
    }

    /// The machine of this id, whoever rented it and whether or not its vendor still knows it.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn machine(&self, vendor: Vendor, id: &str) -> Result<Option<Machine>, MoneyError> {
        self.with(|world| world.any(vendor, id).map(|one| Machine::of(one, world.now())).transpose())
    }

    /// What a machine has truly cost.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn bill(&self, vendor: Vendor, id: &str) -> Result<Option<Bill>, MoneyError> {
        Ok(self.machine(vendor, id)?.map(|machine| machine.bill))
    }

    /// What all machines of a vendor have truly cost.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn spent(&self, vendor: Vendor) -> Result<Amount, MoneyError> {
        self.with(|world| {
            let own = world.instances().iter().filter(|one| one.order.vendor == vendor);
            own.map(|one| one.meter.bill(world.now())?.total())
                .try_fold(Amount::ZERO, |sum, one| sum.plus(one?))
        })
    }

    /// Takes a machine away: at once, or so long after it was told. False: there is none of this id.
    pub fn preempt(&self, vendor: Vendor, id: &str, notice: Option<u64>) -> bool {
        self.to(vendor, id, |world, key| match notice {
            None | Some(0) => world.preempt(key),
            Some(seconds) => world.notify(key, seconds),
        })
    }

    /// Makes a machine stop working while its vendor says that it runs. False: there is none of this id.
    pub fn disconnect(&self, vendor: Vendor, id: &str) -> bool {
        self.to(vendor, id, World::disconnect)
    }

    /// Breaks a machine, for all to see. False: there is none of this id.
    pub fn fail(&self, vendor: Vendor, id: &str, said: &str) -> bool {
        self.to(vendor, id, |world, key| world.fail(key, said))
    }

    /// Ends what a machine runs, as if by itself. False: there is none of this id.
    pub fn exit(&self, vendor: Vendor, id: &str, code: i32) -> bool {
        self.to(vendor, id, |world, key| world.exit(key, &format!("exited with code {code}"), false))
    }

    /// Lets so many bytes go over a machine's network. False: there is none of this id.
    pub fn transfer(&self, vendor: Vendor, id: &str, up_bytes: u64, down_bytes: u64) -> bool {
        self.to(vendor, id, |world, key| world.transfer(key, up_bytes, down_bytes))
    }

    /// Takes what is for rent there from the market for good. What is let stays let.
    pub fn withdraw(&self, place: &Place) {
        self.with(|world| world.market.withdraw(place));
    }

    fn to(&self, vendor: Vendor, id: &str, what: impl FnOnce(&mut World, Key)) -> bool {
        self.with(|world| {
            let key = world.any(vendor, id).map(|one| one.key);
            key.map(|key| what(world, key)).is_some()
        })
    }
}
