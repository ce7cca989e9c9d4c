//! A claim, its record, a vendor that can be made to lie, and a caller who does as the contract says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::{CapacityType, Granularity, Offer, Shape, Terms};
use cooperator_core::money::Amount;
use cooperator_core::time::{Clock, SignedDuration, TestClock};
use cooperator_providers::testing::Fake;
use cooperator_providers::{
    Charge, Deleted, Driver, Error, Instance, InstanceId, InstanceName, Order, Payload, Query, State, Tenant,
};

use crate::{Intent, Limits, News, Permit, Record, Strays, Wish, collect, launch, orphans, step};

pub const PROVIDER: &str = "moon";
pub const CLAIM: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

/// The fake, and lies that its trait allows: a list that is empty, a machine that is said not to be there.
#[derive(Debug)]
pub struct Liar {
    pub fake: Fake,
    pub tenant: Tenant,
    /// So many lists are empty, from the next on.
    pub empty_lists: AtomicU32,
    /// So many gets find nothing.
    pub empty_gets: AtomicU32,
    /// So many deletes are answered with "there is none", and not done.
    pub empty_deletes: AtomicU32,
    /// A second machine of a name is not made: the first is answered with.
    pub unique_names: AtomicBool,
    /// It tells no time of an end.
    pub forget_ends: AtomicBool,
}

fn lies(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Driver for Liar {
    fn vendor(&self) -> &'static str {
        self.fake.vendor()
    }

    fn settles_after(&self) -> Duration {
        self.fake.settles_after()
    }

    fn keeps_account(&self) -> bool {
        self.fake.keeps_account()
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        self.fake.offers(query).await
    }

    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        if self.unique_names.load(Ordering::SeqCst) {
            let all = self.fake.list(&self.tenant).await?;
            let of_name = |one: &Instance| one.name == order.name && one.state != State::Over;
            if let Some(first) = all.into_iter().find(of_name) {
                return Ok(first);
            }
        }
        self.fake.create(order).await
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        if lies(&self.empty_gets) { Ok(None) } else { self.fake.get(id).await }
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        if lies(&self.empty_lists) { Ok(Vec::new()) } else { self.fake.list(tenant).await }
    }

    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        if lies(&self.empty_deletes) {
            return Ok(Deleted::Gone { at: None });
        }
        let forgets = self.forget_ends.load(Ordering::SeqCst);
        self.fake.delete(id).await.map(|deleted| match deleted {
            Deleted::Gone { .. } if forgets => Deleted::Gone { at: None },
            other => other,
        })
    }

    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        self.fake.charged(id).await
    }
}

pub struct World {
    pub clock: TestClock,
    pub fake: Fake,
    pub liar: Liar,
    pub tenant: Tenant,
    pub name: InstanceName,
    pub record: Record,
    pub strays: Strays,
    pub wish: Wish,
    pub limits: Limits,
    pub news: Vec<News>,
}

pub fn offer() -> Offer {
    Offer {
        provider: PROVIDER.to_owned(),
        id: "ask-1".into(),
        host: Some("host-1".into()),
        region: "US".to_owned(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: 8000,
        memory_mib: 16384,
        disk_gib: 100,
        gpus: None,
        gigaflops: None,
        reliability: None,
        until: None,
        terms: Terms {
            hourly: "0.36".parse().unwrap(),
            disk_month_micros: 72_000,
            granularity: Granularity::Second,
            ..Terms::default()
        },
    }
}

pub fn intent() -> Intent {
    Intent { offer: offer(), disk_gib: 10, bid: None }
}

pub fn payload() -> Payload {
    Payload::UserData("#!/bin/sh".to_owned())
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

impl World {
    pub fn new() -> Self {
        let clock = TestClock::new("2026-11-29T12:00:00Z".parse().unwrap());
        let fake = Fake::new(Arc::new(clock.clone()));
        fake.put_offer(offer());
        fake.lag(seconds(20));
        fake.boots_in(seconds(30));
        let tenant = Tenant::of("6f1c2a700b1d").unwrap();
        let zero = || AtomicU32::new(0);
        let liar = Liar {
            fake: fake.clone(),
            empty_lists: zero(),
            empty_gets: zero(),
            empty_deletes: zero(),
            unique_names: AtomicBool::new(false),
            tenant: tenant.clone(),
            forget_ends: AtomicBool::new(false),
        };
        let name = tenant.name(CLAIM).unwrap();
        let (record, strays, limits) = (Record::default(), Strays::default(), Limits::default());
        Self { clock, fake, liar, tenant, name, record, strays, wish: Wish::Keep, limits, news: Vec::new() }
    }

    pub fn begin(&mut self) -> Permit {
        self.record.begin(intent(), self.clock.now()).unwrap()
    }

    /// Rents, as a caller does who does not die.
    pub async fn rent(&mut self) {
        let permit = self.begin();
        let advance = launch(permit, &self.record, &self.name, payload(), &self.liar, &self.clock).await;
        self.record = advance.record;
        self.news.extend(advance.news);
    }

    /// One step, and how long the caller may rest.
    pub async fn step(&mut self) -> Option<Duration> {
        let advance =
            step(&self.record, PROVIDER, &self.name, &self.wish, &self.limits, &self.liar, &self.clock).await;
        self.record = advance.record;
        self.news.extend(advance.news);
        advance.again
    }

    /// Steps for so long, whenever it is time to.
    pub async fn run(&mut self, length: i64) {
        let end = self.clock.now().checked_add(seconds(length)).unwrap();
        while self.clock.now() < end {
            let left = Duration::try_from(end.duration_since(self.clock.now())).unwrap();
            let rest = self.step().await.unwrap_or(left).min(left);
            self.clock.advance(SignedDuration::try_from(rest).unwrap());
        }
    }

    pub fn end(&mut self) {
        self.wish = Wish::End { reason: crate::Reason::Released, message: "done".to_owned() };
    }

    /// One pass of the collector, with or without the claim.
    pub async fn collect(&mut self, claimed: bool) -> usize {
        let claims = claimed.then(|| (self.name.clone(), &self.record));
        let live = crate::Live::of(PROVIDER, claims);
        let read = std::future::ready(Ok::<_, std::convert::Infallible>(live));
        let pass = collect(&self.liar, &self.tenant, &self.strays, read, &self.limits, &self.clock).await;
        let Ok(pass) = pass else { return 0 };
        self.strays = pass.strays;
        let now = self.clock.now();
        pass.found.iter().filter(|verdict| self.record.found(PROVIDER, &verdict.instance, now)).count()
    }

    pub fn bill(&self) -> Amount {
        Amount::sum(self.fake.bill().into_iter().map(|charge| charge.amount)).unwrap()
    }

    pub fn cost(&self) -> Amount {
        self.record.cost(self.clock.now()).unwrap()
    }

    /// How often the vendor was called so.
    pub fn calls(&self, verb: cooperator_providers::Verb) -> usize {
        self.fake.calls().iter().filter(|call| call.verb == verb).count()
    }

    /// Ends what there is and checks that nothing is left and everything is paid for.
    pub async fn finish(&mut self) {
        self.end();
        self.run(600).await;
        assert!(self.record.is_accounted(), "{:?}", self.record);
        assert!(self.fake.instances().is_empty());
        assert_eq!(self.cost(), self.bill());
        let live = crate::Live::of(PROVIDER, [(self.name.clone(), &self.record)]);
        let all = self.fake.list(&self.tenant).await.unwrap();
        assert_eq!(orphans(&self.tenant, &all, &live, Duration::ZERO, self.clock.now()), []);
    }
}
