use cooperator_core::market::{CapacityType, Granularity, Shape, Terms};
use cooperator_core::time::TestClock;

use super::*;
use crate::driver::Payload;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn tenant() -> Tenant {
    Tenant::of("6f1c2a700b1d").unwrap()
}

fn offer() -> Offer {
    Offer {
        provider: String::new(),
        id: "a".into(),
        host: None,
        region: "moon".to_owned(),
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

fn order() -> Order {
    Order {
        name: tenant().name("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9").unwrap(),
        offer: offer(),
        disk_gib: 10,
        bid: None,
        payload: Payload::UserData("#!/bin/sh".to_owned()),
    }
}

fn fake() -> (Fake, TestClock) {
    let clock = TestClock::new("2026-11-29T12:00:00Z".parse().unwrap());
    let fake = Fake::new(Arc::new(clock.clone()));
    fake.put_offer(offer());
    (fake, clock)
}

#[tokio::test]
async fn a_machine_is_made_found_and_gone_and_each_call_is_in_the_log() {
    let (fake, clock) = fake();
    assert_eq!(fake.offers(&Query::default()).await.unwrap(), [offer()]);
    let made = fake.create(&order()).await.unwrap();
    assert_eq!(made.state, State::Pending);
    assert_eq!(fake.list(&tenant()).await.unwrap(), std::slice::from_ref(&made));
    assert!(fake.set_state(&made.id, State::Running));
    assert_eq!(fake.get(&made.id).await.unwrap().unwrap().state, State::Running);
    assert_eq!(fake.delete(&made.id).await.unwrap(), Deleted::Gone { at: Some(clock.now()) });
    assert_eq!(fake.get(&made.id).await.unwrap(), None);
    assert_eq!(fake.delete(&InstanceId("never".to_owned())).await.unwrap(), Deleted::Gone { at: None });
    let verbs: Vec<Verb> = fake.calls().iter().map(|call| call.verb).collect();
    use Verb::{Create, Delete, Get, List, Offers};
    assert_eq!(verbs, [Offers, Create, List, Get, Delete, Get, Delete]);
    assert_eq!(fake.calls()[1].id, Some(made.id));
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_a_machine_and_a_lost_request_leaves_none() {
    let (fake, _) = fake();
    fake.fail_next(Verb::Create, Fault::LostRequest);
    fake.fail_next(Verb::Create, Fault::LostAnswer);
    assert!(fake.create(&order()).await.unwrap_err().may_have_happened());
    assert!(fake.instances().is_empty());
    assert!(fake.create(&order()).await.unwrap_err().may_have_happened());
    assert_eq!(fake.instances().len(), 1);
    fake.create(&order()).await.unwrap();
    let answers: Vec<&str> = fake.calls().iter().map(|call| call.answer).collect();
    assert_eq!(answers, ["Ambiguous", "Ambiguous", "Ok"]);
}

#[tokio::test]
async fn a_refusal_makes_nothing_and_lasts_until_it_is_healed() {
    let (fake, _) = fake();
    fake.fail_always(Verb::Create, Fault::NoCapacity);
    for _ in 0..2 {
        assert_eq!(fake.create(&order()).await.unwrap_err().kind(), "NoCapacity");
    }
    fake.heal();
    fake.create(&order()).await.unwrap();
    fake.take_offer(&"a".into());
    assert_eq!(fake.create(&order()).await.unwrap_err().kind(), "NoCapacity");
    assert_eq!(fake.instances().len(), 1);
}

#[tokio::test]
async fn a_list_that_lags_shows_a_machine_only_later() {
    let (fake, clock) = fake();
    fake.lag(SECOND * 20);
    let made = fake.create(&order()).await.unwrap();
    assert_eq!(fake.settles_after(), Duration::from_secs(20));
    assert!(fake.list(&tenant()).await.unwrap().is_empty() && fake.get(&made.id).await.unwrap().is_none());
    clock.advance(SECOND * 20);
    assert_eq!(fake.list(&tenant()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_deletion_that_is_lost_was_not_done_and_one_that_takes_time_is_on_its_way() {
    let (fake, clock) = fake();
    let made = fake.create(&order()).await.unwrap();
    fake.fail_next(Verb::Delete, Fault::LostRequest);
    assert_eq!(fake.delete(&made.id).await.unwrap_err().kind(), "Ambiguous");
    fake.ends_in(SECOND * 5);
    assert_eq!(fake.delete(&made.id).await.unwrap(), Deleted::Ending);
    assert_eq!(fake.get(&made.id).await.unwrap().unwrap().state, State::Ending);
    clock.advance(SECOND * 9);
    let at = Some(later(clock.now(), SECOND * -4));
    assert_eq!(fake.delete(&made.id).await.unwrap(), Deleted::Gone { at });
    assert_eq!(fake.bill()[0].amount, order().offer.terms.amount(10, 5).unwrap());
}

#[tokio::test]
async fn a_double_and_a_bid_that_is_too_low_are_made_all_the_same() {
    let (fake, _) = fake();
    fake.fail_next(Verb::Create, Fault::Twice);
    fake.fail_next(Verb::Create, Fault::BidTooLow);
    fake.create(&order()).await.unwrap();
    assert_eq!(fake.instances().len(), 2);
    assert_eq!(fake.create(&order()).await.unwrap().state, State::Stopped);
    assert_eq!(fake.create(&order()).await.unwrap().state, State::Pending);
    assert_eq!(fake.list(&tenant()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn the_bill_counts_full_time_and_stopped_time_and_nothing_after_the_end() {
    let (fake, clock) = fake();
    fake.boots_in(SECOND * 10);
    let id = fake.create(&order()).await.unwrap().id;
    clock.advance(SECOND * 60);
    assert_eq!(fake.instances()[0].state, State::Running);
    fake.set_state(&id, State::Stopped);
    clock.advance(SECOND * 40);
    fake.delete(&id).await.unwrap();
    clock.advance(SECOND * 1000);
    let terms = order().offer.terms;
    let true_bill = terms.amount(10, 60).unwrap().plus(terms.disk(10, 40).unwrap()).unwrap();
    assert_eq!(fake.bill(), [Charge { id: id.clone(), amount: true_bill, is_final: true }]);
    assert_eq!(fake.charged(&id).await.unwrap(), fake.bill().pop());
}

#[tokio::test]
async fn a_strangers_machine_is_in_the_account_and_not_in_the_list() {
    let (fake, _) = fake();
    let stranger = Tenant::of("ffffffffffff").unwrap();
    let made = fake.create(&order()).await.unwrap();
    let name = stranger.name("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9").unwrap();
    fake.put_instance(Instance { id: InstanceId("x".to_owned()), name, ..made.clone() });
    assert_eq!(fake.list(&tenant()).await.unwrap(), [made]);
    assert_eq!((fake.list(&stranger).await.unwrap().len(), fake.instances().len()), (1, 2));
}
