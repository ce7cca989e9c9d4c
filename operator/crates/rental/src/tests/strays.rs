//! Machines without a claim.

use cooperator_core::money::Amount;
use cooperator_core::time::Clock;
use cooperator_providers::testing::Fault;
use cooperator_providers::{Driver, Instance, Tenant, Verb};

use super::world::{CLAIM, PROVIDER, World, seconds};
use crate::{Limits, Live, NoPass, Record, Strays, Why, collect, orphans};

fn none() -> Live {
    Live::default()
}

#[tokio::test]
async fn a_machine_whose_claim_is_gone_is_written_down_ended_and_paid_for() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.collect(true).await;
    assert!(world.strays.machines.is_empty());
    world.record = Record::default();
    world.collect(false).await;
    assert_eq!((world.strays.machines.len(), world.calls(Verb::Delete)), (1, 0), "written down first");
    world.clock.advance(seconds(10));
    world.fake.fail_next(Verb::Delete, Fault::LostRequest);
    for _ in 0..20 {
        world.collect(false).await;
        world.clock.advance(seconds(2));
    }
    assert!(world.fake.instances().is_empty());
    assert_eq!(world.strays.cost(world.clock.now()).unwrap(), world.bill());
    assert!(world.strays.machines[0].machine.accounted_at.is_some());
}

#[tokio::test]
async fn a_claim_that_has_forgotten_what_it_rented_has_no_machine() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.record = Record::default();
    world.collect(true).await;
    assert_eq!(world.strays.machines.len(), 1);
}

#[tokio::test]
async fn nothing_is_ended_when_machines_or_claims_cannot_be_read() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    let (strays, limits) = (Strays::default(), Limits::default());
    let unread = std::future::ready(Err("no answer"));
    let pass = collect(&world.liar, &world.tenant, &strays, unread, &limits, &world.clock).await;
    assert_eq!(pass.unwrap_err(), NoPass::Read("no answer"));
    world.fake.fail_next(Verb::List, Fault::Malformed);
    let read = std::future::ready(Ok::<_, &str>(none()));
    let pass = collect(&world.liar, &world.tenant, &strays, read, &limits, &world.clock).await;
    assert!(matches!(pass.unwrap_err(), NoPass::List(_)));
    assert_eq!(world.calls(Verb::Delete), 0);
}

#[tokio::test]
async fn a_strangers_machine_is_never_touched() {
    let world = World::new();
    let stranger = Tenant::of("ffffffffffff").unwrap();
    let theirs = |instance: Instance| Instance { name: stranger.name(CLAIM).unwrap(), ..instance };
    let mut ours = World::new();
    ours.rent().await;
    let instances: Vec<Instance> = ours.fake.instances().into_iter().map(theirs).collect();
    let now = world.clock.now();
    assert_eq!(orphans(&world.tenant, &instances, &none(), std::time::Duration::ZERO, now), []);
}

#[tokio::test]
async fn a_machine_that_its_claim_may_yet_adopt_is_left_to_it() {
    let mut world = World::new();
    world.fake.fail_next(Verb::Create, Fault::LostAnswer);
    world.rent().await;
    world.clock.advance(seconds(30));
    assert_eq!(world.collect(true).await, 0);
    assert!(world.strays.machines.is_empty());
    let live = Live::of("elsewhere", [(world.name.clone(), &world.record)]);
    let all = world.fake.list(&world.tenant).await.unwrap();
    let verdicts = orphans(&world.tenant, &all, &live, std::time::Duration::ZERO, world.clock.now());
    assert_eq!(verdicts[0].why, Why::NoClaim, "a doubt at one Provider says nothing of another");
}

#[tokio::test]
async fn a_machine_that_lives_on_after_it_was_closed_is_ended_again() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    let lost = world.fake.instances().remove(0);
    world.finish().await;
    world.fake.put_instance(lost.clone());
    assert_eq!(world.collect(true).await, 1);
    assert!(!world.record.is_closed());
    world.end();
    world.run(60).await;
    assert!(world.record.is_closed() && world.fake.instances().is_empty());
    assert!(!world.record.found("elsewhere", &lost, world.clock.now()));
}

#[tokio::test]
async fn strays_are_bounded_and_none_is_lost_from_their_cost() {
    let mut world = World::new();
    for number in 0..80 {
        let claim = format!("{number:032x}");
        world.name = world.tenant.name(&claim).unwrap();
        world.record = Record::default();
        world.rent().await;
    }
    world.clock.advance(seconds(30));
    for _ in 0..120 {
        world.collect(false).await;
        world.clock.advance(seconds(2));
    }
    assert!(world.fake.instances().is_empty());
    assert!(world.strays.machines.len() <= 32);
    assert!(world.strays.earlier > Amount::ZERO);
    assert_eq!(world.strays.cost(world.clock.now()).unwrap(), world.bill());
    let text = serde_json::to_string(&world.strays).unwrap();
    assert_eq!(serde_json::from_str::<Strays>(&text).unwrap(), world.strays);
}

#[tokio::test]
async fn a_pass_comes_to_rest_when_the_claim_of_a_machine_that_was_to_be_ended_may_yet_adopt_it() {
    let mut world = World::new();
    world.rent().await;
    world.run(100).await;
    world.record = Record::default();
    world.collect(true).await;
    world.collect(true).await;
    assert!(world.strays.machines[0].machine.unsure_at.is_some(), "its deletion is to be asked for");
    // The call that rents does not come.
    let _permit = world.begin();
    let mut passes = 0;
    loop {
        let live = Live::of(PROVIDER, [(world.name.clone(), &world.record)]);
        let read = std::future::ready(Ok::<_, std::convert::Infallible>(live));
        let limits = world.limits;
        let pass = collect(&world.liar, &world.tenant, &world.strays, read, &limits, &world.clock).await;
        let pass = pass.unwrap();
        world.strays = pass.strays;
        passes += 1;
        if pass.again != Some(std::time::Duration::ZERO) {
            break;
        }
        assert!(passes < 5, "pass after pass without an end: {:?}", world.strays.machines);
    }
    assert_eq!(world.calls(Verb::Delete), 0);
}
