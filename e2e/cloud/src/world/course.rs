//! Random courses of events, by seeds.

use cooperator_core::time::{SignedDuration, Timestamp};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Account, Phase, World};
use crate::backend::Key;
use crate::fault::{Drawn, Fault, Faults};
use crate::market::{Market, Place, Size};
use crate::testing;
use crate::vendor::Vendor;

const FAULTS: [Fault; 9] = [
    Fault::CreatedThenInvisible,
    Fault::DoubleAccept,
    Fault::LoadingForEver,
    Fault::DeleteFails,
    Fault::ExitedButBilling,
    Fault::PreemptedWithNotice,
    Fault::Preempted,
    Fault::SilentDisconnect,
    Fault::LyingHost,
];

fn accounts() -> Vec<Account> {
    Vendor::ALL.into_iter().map(Account::default_of).collect()
}

/// Some place of this vendor.
fn place(market: &Market, vendor: Vendor, dice: &mut ChaCha8Rng) -> Place {
    let some = |free: &std::collections::BTreeMap<String, u32>, dice: &mut ChaCha8Rng| {
        free.keys().cloned().collect::<Vec<_>>().choose(dice).unwrap().clone()
    };
    match vendor {
        Vendor::Vast => Place::Ask(*market.asks.keys().copied().collect::<Vec<_>>().choose(dice).unwrap()),
        Vendor::RunPod => {
            let kind = market.pods.choose(dice).unwrap();
            let data_center = some(&kind.free, dice);
            Place::Pod { id: kind.id.clone(), count: dice.random_range(1..4), data_center }
        }
        Vendor::Lambda => {
            let kind = market.boxes.choose(dice).unwrap();
            Place::Box { name: kind.name.clone(), region: some(&kind.free, dice) }
        }
        Vendor::Hetzner => {
            let kind = market.servers.choose(dice).unwrap();
            Place::Server { name: kind.name.clone(), location: some(&kind.free, dice) }
        }
    }
}

fn create(world: &mut World, dice: &mut ChaCha8Rng, drawn: Option<Drawn>) {
    let vendor = *Vendor::ALL.choose(dice).unwrap();
    let place = place(&world.market, vendor, dice);
    let holds = drawn.is_none_or(|drawn| drawn.fault != Fault::DoubleAccept);
    if holds && !world.market.is_free(&place) {
        return;
    }
    let name = format!("coop-{}", dice.random_range(0..20));
    let paid_disk = (10, 72_000, 144_000);
    let order = super::New { place, holds, paid_disk, ..testing::order(vendor, &name) };
    world.create(order, drawn);
}

fn something_happens(world: &mut World, dice: &mut ChaCha8Rng) {
    let fault = *FAULTS.choose(dice).unwrap();
    let drawn = dice.random_ratio(1, 3).then_some(Drawn { fault, seconds: dice.random_range(0..900) });
    let count = world.instances().len();
    let key = Key(if count == 0 { 0 } else { dice.random_range(0..count) });
    match dice.random_range(0..16) {
        0..=4 => create(world, dice, drawn),
        5 => world.delete(key, drawn).unwrap_or_default(),
        6 => world.stop(key).unwrap_or_default(),
        7 => world.start(key).unwrap_or_default(),
        8 => world.preempt(key),
        9 => world.notify(key, dice.random_range(0..300)),
        10 => world.exit(key, "exited", false),
        11 => world.fail(key, "failed"),
        12 => world.disconnect(key),
        13 => world.rename(key, "renamed"),
        _ => {
            let step = SignedDuration::from_millis(dice.random_range(0..400_000));
            world.advance(world.now() + step);
        }
    }
}

fn accounts_for_all(world: &World) {
    for (account, vendor) in Vendor::ALL.into_iter().enumerate() {
        assert_eq!(world.listed(vendor, account), world.list(vendor, account, None).count());
    }
    for one in world.instances() {
        assert_eq!(one.ended.is_some(), one.meter.bill(world.now()).unwrap().is_final, "{one:?}");
        assert!(one.phase != Phase::Over || one.ended.is_some(), "{one:?}");
        assert!(!one.works() || one.is_alive(), "{one:?}");
    }
}

#[test]
fn whatever_happens_all_can_be_ended_and_the_market_is_whole_again_and_no_bill_moves_any_more() {
    for seed in 0..60 {
        let market = Market::generated(seed, Size::SMALL);
        let faults = Faults::new(Vec::new(), seed);
        let start = Timestamp::from_second(1_796_083_200).unwrap();
        let mut world = World::new(start, seed, market.clone(), accounts(), faults);
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..300 {
            something_happens(&mut world, &mut dice);
            accounts_for_all(&world);
        }
        assert!(world.instances().len() > 20);
        for key in (0..world.instances().len()).map(Key) {
            world.end(key);
        }
        world.advance(world.now() + SignedDuration::from_hours(2));
        accounts_for_all(&world);
        let spent = |world: &World| (0..4).map(|account| world.spent(account).unwrap()).collect::<Vec<_>>();
        let before = spent(&world);
        assert!(
            world.instances().iter().all(|one| one.phase == Phase::Over && !one.is_alive()),
            "seed {seed}"
        );
        assert_eq!(world.market, market, "seed {seed}");
        assert!(
            Vendor::ALL.into_iter().enumerate().all(|(account, vendor)| world.listed(vendor, account) == 0)
        );
        world.advance(world.now() + SignedDuration::from_hours(20));
        assert_eq!(before, spent(&world), "seed {seed}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = |seed| {
        let market = Market::generated(1, Size::SMALL);
        let start = Timestamp::from_second(1_796_083_200).unwrap();
        let mut world = World::new(start, seed, market, accounts(), Faults::new(Vec::new(), seed));
        let mut dice = ChaCha8Rng::seed_from_u64(9);
        (0..200).for_each(|_| something_happens(&mut world, &mut dice));
        world.instances().iter().map(|one| (one.id.clone(), one.phase, one.running)).collect::<Vec<_>>()
    };
    assert_eq!(tell(4), tell(4));
    assert_ne!(tell(4), tell(5));
}
