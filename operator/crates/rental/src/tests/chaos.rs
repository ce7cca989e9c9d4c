//! Callers that die between any two lines, at a vendor at which anything fails.

use std::sync::atomic::Ordering;

use cooperator_core::market::Granularity;
use cooperator_core::money::Amount;
use cooperator_core::time::Clock;
use cooperator_providers::testing::Fault;
use cooperator_providers::{State, Verb};

use super::world::{PROVIDER, World, payload, seconds};
use crate::{Record, launch, step};

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.throw(sides) == 0
    }
}

fn harm(world: &World, dice: &mut Dice) {
    let faults = [
        (Verb::Create, Fault::LostAnswer),
        (Verb::Create, Fault::LostRequest),
        (Verb::Create, Fault::Twice),
        (Verb::Create, Fault::BidTooLow),
        (Verb::Create, Fault::NoCapacity),
        (Verb::Get, Fault::Malformed),
        (Verb::List, Fault::Unavailable),
        (Verb::List, Fault::LostAnswer),
        (Verb::Delete, Fault::LostAnswer),
        (Verb::Delete, Fault::LostRequest),
        (Verb::Charged, Fault::Unavailable),
    ];
    let (verb, fault) = faults[usize::try_from(dice.throw(faults.len() as u64)).unwrap()];
    world.fake.fail_next(verb, fault);
    if let Some(machine) = world.fake.instances().pop().filter(|_| dice.one_in(10)) {
        let states = [State::Preempted, State::Stopped, State::Failed, State::Over];
        world.fake.set_state(&machine.id, states[usize::try_from(dice.throw(4)).unwrap()]);
    }
    match dice.throw(8) {
        0 => world.liar.empty_lists.store(1, Ordering::SeqCst),
        1 => world.liar.empty_gets.store(2, Ordering::SeqCst),
        _ => {}
    }
}

/// Tells one world, and how many machines it had.
async fn tell(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut world = World::new();
    world.fake.ends_in(seconds(i64::try_from(dice.throw(10)).unwrap()));
    let mut removed = false;
    for turn in 0..200 {
        if dice.one_in(4) {
            harm(&world, &mut dice);
        }
        if turn > 100 {
            world.end();
        }
        if turn > 60 && dice.one_in(100) {
            removed = true;
            world.record = Record::default();
        }
        world.collect(!removed).await;
        if !removed && turn <= 100 && world.record.is_closed() {
            let permit = world.begin();
            if !dice.one_in(5) {
                let made =
                    launch(permit, &world.record, &world.name, payload(), &world.liar, &world.clock).await;
                if !dice.one_in(4) {
                    world.record = made.record;
                }
            }
        }
        if !removed {
            let made = step(
                &world.record,
                PROVIDER,
                &world.name,
                &world.wish,
                &world.limits,
                &world.liar,
                &world.clock,
            )
            .await;
            if !dice.one_in(4) {
                world.record = made.record;
            }
        }
        assert!(world.fake.instances().len() <= 3, "seed {seed}");
        world.clock.advance(seconds(i64::try_from(dice.throw(8)).unwrap()));
    }
    world.fake.heal();
    world.liar.empty_lists.store(0, Ordering::SeqCst);
    for _ in 0..200 {
        world.collect(!removed).await;
        if !removed {
            world.step().await;
        }
        world.clock.advance(seconds(10));
    }
    let left = world.fake.instances().into_iter().find(|left| left.state != State::Over);
    assert_eq!(left, None, "seed {seed}");
    let now = world.clock.now();
    for stray in &world.strays.machines {
        let billed = world.fake.bill().into_iter().find(|charge| charge.id == stray.machine.instance);
        assert_eq!(
            stray.cost(Granularity::Second, now).ok(),
            billed.map(|charge| charge.amount),
            "seed {seed}"
        );
    }
    // What a record held that was removed by hand is known to the vendor alone.
    if !removed {
        let all = Amount::sum([world.cost(), world.strays.cost(now).unwrap()]).unwrap();
        assert_eq!(all, world.bill(), "seed {seed}: {:?}", world.record);
    }
    world.fake.bill().len()
}

#[tokio::test]
async fn whoever_dies_and_whatever_fails_nothing_is_left_and_everything_is_paid_for() {
    let mut machines = 0;
    for seed in 0..150 {
        machines += tell(seed).await;
    }
    assert!(machines > 300, "{machines}");
}
