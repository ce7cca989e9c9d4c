//! The driver of members' machines against real SSH servers, each with a folder for a disk.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod machine;

use std::time::Duration;

use cooperator_core::market::{CapacityType, Granularity, Offer, Shape, Terms};
use cooperator_providers::{
    Deleted, Driver as _, Instance, InstanceName, Key, Order, Payload, Query, Ssh, State, Tenant,
};
use machine::{Fault, Machine, OURS, secret};

const TENANT: &str = "6f1c2a700b1d";
const SLEEPS: &str = "#!/bin/sh\necho hello; sleep 600 &\nsleep 600\n";

fn tenant() -> Tenant {
    Tenant::of(TENANT).unwrap()
}

/// The name of the instance of a claim. Each test has its own: processes are found by it.
fn name(claim: u8) -> InstanceName {
    tenant().name(&format!("0a1b2c3d-4e5f-6071-8293-{:08x}{:04x}", std::process::id(), claim)).unwrap()
}

fn order(machine: &str, name: InstanceName, script: &str) -> Order {
    let offer = Offer {
        provider: String::new(),
        id: machine.into(),
        host: None,
        region: String::new(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: 8000,
        memory_mib: 16384,
        disk_gib: 100,
        gpus: None,
        gigaflops: None,
        reliability: None,
        until: None,
        terms: Terms { granularity: Granularity::Second, ..Terms::default() },
    };
    Order { name, offer, disk_gib: 1, bid: None, payload: Payload::UserData(script.to_owned()) }
}

fn driver(machines: &[&Machine]) -> Ssh {
    Ssh::new(machines.iter().map(|machine| machine.spec()).collect(), &Key::new(&secret(OURS))).unwrap()
}

/// The machine's instance once it is in this state.
async fn becomes(ssh: &Ssh, made: &Instance, state: State) -> Instance {
    for _ in 0..200 {
        let seen = ssh.get(&made.id).await.unwrap().unwrap();
        if seen.state == state {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} does not become {state:?}", ssh.get(&made.id).await);
}

#[tokio::test]
async fn a_machine_is_taken_once_and_is_free_again_once_its_instance_was_ended() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    assert_eq!(ssh.offers(&Query::default()).await.unwrap()[0].terms.hourly.to_string(), "0.05");
    let made = ssh.create(&order("attic", name(1), SLEEPS)).await.unwrap();
    assert_eq!(made.id.0, format!("attic/{}", name(1)));
    let runs = becomes(&ssh, &made, State::Running).await;
    assert_eq!(
        (runs.hourly, runs.since),
        (None, None),
        "what was agreed is in the books, not on the machine"
    );
    assert!(ssh.offers(&Query::default()).await.unwrap().is_empty());
    let listed = ssh.list(&tenant()).await.unwrap();
    assert_eq!((listed.len(), listed[0].hourly), (1, Some("0.05".parse().unwrap())));
    assert!(ssh.list(&Tenant::of("000000000000").unwrap()).await.unwrap().is_empty());
    let other = ssh.create(&order("attic", name(2), SLEEPS)).await.unwrap_err();
    assert_eq!(other.kind(), "NoCapacity");
    assert!(attic.processes(&name(1)) >= 2);
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    assert_eq!(attic.processes(&name(1)), 0);
    assert_eq!(ssh.get(&made.id).await.unwrap(), None);
    assert_eq!(ssh.offers(&Query::default()).await.unwrap().len(), 1);
    let left: Vec<_> = std::fs::read_dir(attic.path("var/lib/cooperator")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None }, "as often as one likes");
}

#[tokio::test]
async fn an_instance_whose_answer_was_lost_is_found_and_made_once() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    attic.fail(Fault::LostAnswer);
    let lost = ssh.create(&order("attic", name(3), SLEEPS)).await.unwrap_err();
    assert!(lost.may_have_happened(), "{lost}");
    let found = ssh.list(&tenant()).await.unwrap().remove(0);
    assert_eq!(found.name, name(3));
    let again = ssh.create(&order("attic", name(3), "#!/bin/sh\ntouch $0.second\n")).await.unwrap();
    assert_eq!(again.id, found.id);
    becomes(&ssh, &again, State::Running).await;
    assert!(!attic.path("var/lib/cooperator/first-start.second").exists());
    ssh.delete(&again.id).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_last_line_runs_nothing() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    attic.fail(Fault::Half);
    let lost = ssh.create(&order("attic", name(4), SLEEPS)).await.unwrap_err();
    assert!(lost.may_have_happened(), "{lost}");
    assert!(ssh.list(&tenant()).await.unwrap().is_empty());
    assert!(!attic.path("var/lib/cooperator").exists());
}

#[tokio::test]
async fn of_two_who_want_one_machine_at_once_one_has_it() {
    let attic = Machine::start("attic", 7).await;
    let (one, other) = (driver(&[&attic]), driver(&[&attic]));
    let (first, second) = (order("attic", name(5), SLEEPS), order("attic", name(6), SLEEPS));
    let (first, second) = tokio::join!(one.create(&first), other.create(&second));
    let made: Vec<Instance> =
        [&first, &second].into_iter().filter_map(|made| made.as_ref().ok().cloned()).collect();
    assert_eq!(made.len(), 1, "{first:?} {second:?}");
    let refused = first.err().or(second.err()).unwrap();
    assert_eq!(refused.kind(), "NoCapacity");
    one.delete(&made[0].id).await.unwrap();
}

#[tokio::test]
async fn a_machine_with_another_host_key_is_told_nothing_and_named_with_the_way_out() {
    let attic = Machine::start("attic", 7).await;
    let mut spec = attic.spec();
    spec.host_key = machine::key(8).public_key().to_openssh().unwrap();
    let ssh = Ssh::new(vec![spec], &Key::new(&secret(OURS))).unwrap();
    let error = ssh.create(&order("attic", name(7), SLEEPS)).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_happened()), ("HostKey", false));
    let text = error.to_string();
    let scan = format!("ssh-keyscan -t ed25519 -p {} 127.0.0.1", attic.spec().port);
    for part in ["`attic`", "SHA256:", &scan, "hostKey"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(attic.commands().is_empty());
    assert_eq!(ssh.list(&tenant()).await.unwrap_err().kind(), "HostKey");
}

#[tokio::test]
async fn a_machine_that_does_not_let_us_in_says_which_key_it_has_to_take() {
    let attic = Machine::start("attic", 7).await;
    let ssh = Ssh::new(vec![attic.spec()], &Key::new(&secret(9))).unwrap();
    let error = ssh.offers(&Query::default()).await.unwrap_err();
    assert_eq!(error.kind(), "Unauthorized");
    let text = error.to_string();
    assert!(
        text.contains("`attic`") && text.contains("ssh-ed25519 AAAA") && text.contains("authorized_keys"),
        "{text}"
    );
    assert!(attic.commands().is_empty());
    let none = Ssh::new(vec![attic.spec()], &Key::new("no key")).unwrap_err();
    assert!(none.to_string().contains("privateKey"), "{none}");
}

#[tokio::test]
async fn a_user_who_cannot_become_root_is_named() {
    let attic = Machine::start("attic", 7).await;
    attic.fail(Fault::NoRoot);
    let mut spec = attic.spec();
    spec.user = "coop".to_owned();
    let ssh = Ssh::new(vec![spec], &Key::new(&secret(OURS))).unwrap();
    let error = ssh.offers(&Query::default()).await.unwrap_err();
    assert_eq!(error.kind(), "Refused");
    assert!(error.to_string().contains("user `coop`") && error.to_string().contains("password"), "{error}");
    assert_eq!(attic.commands(), ["sudo -n sh -s -- look"]);
}

#[tokio::test]
async fn a_machine_that_does_not_answer_is_neither_gone_nor_free() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    let made = ssh.create(&order("attic", name(10), SLEEPS)).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    attic.fail(Fault::Down);
    for kind in [
        ssh.get(&made.id).await.unwrap_err().kind(),
        ssh.list(&tenant()).await.unwrap_err().kind(),
        ssh.delete(&made.id).await.unwrap_err().kind(),
        ssh.offers(&Query::default()).await.unwrap_err().kind(),
    ] {
        assert_eq!(kind, "Unavailable");
    }
    attic.fail(Fault::None);
    assert_eq!(ssh.get(&made.id).await.unwrap().unwrap().state, State::Running);
    ssh.delete(&made.id).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_was_seen_free_may_be_off_and_keeps_no_other_back() {
    let (attic, cellar) = (Machine::start("attic", 7).await, Machine::start("cellar", 8).await);
    let ssh = driver(&[&attic, &cellar]);
    attic.fail(Fault::Down);
    assert_eq!(ssh.list(&tenant()).await.unwrap_err().kind(), "Unavailable", "nobody knows what it holds");
    assert_eq!(ssh.offers(&Query::default()).await.unwrap().len(), 1);
    attic.fail(Fault::None);
    assert!(ssh.list(&tenant()).await.unwrap().is_empty());
    attic.fail(Fault::Down);
    let made = ssh.create(&order("cellar", name(11), SLEEPS)).await.unwrap();
    assert_eq!(ssh.list(&tenant()).await.unwrap().len(), 1);
    ssh.delete(&made.id).await.unwrap();
    attic.fail(Fault::LostAnswer);
    ssh.create(&order("attic", name(12), SLEEPS)).await.unwrap_err();
    attic.fail(Fault::Down);
    assert_eq!(ssh.list(&tenant()).await.unwrap_err().kind(), "Unavailable", "it may have been taken");
    attic.fail(Fault::None);
    let found = ssh.list(&tenant()).await.unwrap().remove(0);
    ssh.delete(&found.id).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_is_in_no_spec_any_more_is_not_taken_for_gone() {
    let (attic, cellar) = (Machine::start("attic", 7).await, Machine::start("cellar", 8).await);
    let made = driver(&[&attic]).create(&order("attic", name(13), SLEEPS)).await.unwrap();
    let without = driver(&[&cellar]);
    for error in [without.get(&made.id).await.unwrap_err(), without.delete(&made.id).await.unwrap_err()] {
        assert!(error.to_string().contains("put it back"), "{error}");
    }
    driver(&[&attic]).delete(&made.id).await.unwrap();
}

#[tokio::test]
async fn a_script_that_fails_says_so_with_its_last_words() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    let script = "#!/bin/sh\necho 'cooperator: line 7 failed' >&2\nexit 1\n";
    let made = ssh.create(&order("attic", name(14), script)).await.unwrap();
    assert_eq!(becomes(&ssh, &made, State::Failed).await.said, "cooperator: line 7 failed");
    ssh.delete(&made.id).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_was_restarted_without_systemd_has_failed() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    let made = ssh.create(&order("attic", name(15), SLEEPS)).await.unwrap();
    becomes(&ssh, &made, State::Running).await;
    std::fs::write(attic.path("var/lib/cooperator/instance"), format!("{}\nanother boot\n", name(15)))
        .unwrap();
    assert!(becomes(&ssh, &made, State::Failed).await.said.contains("restarted"));
    ssh.delete(&made.id).await.unwrap();
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_asked_for_again_and_hits_no_other() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    let made = ssh.create(&order("attic", name(16), SLEEPS)).await.unwrap();
    attic.fail(Fault::LostAnswer);
    assert!(ssh.delete(&made.id).await.unwrap_err().may_have_happened());
    let next = ssh.create(&order("attic", name(17), SLEEPS)).await.unwrap();
    becomes(&ssh, &next, State::Running).await;
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    assert_eq!(ssh.get(&next.id).await.unwrap().unwrap().state, State::Running);
    ssh.delete(&next.id).await.unwrap();
}

#[tokio::test]
async fn an_end_that_broke_off_in_the_middle_is_gone_on_with() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    let made = ssh.create(&order("attic", name(18), SLEEPS)).await.unwrap();
    std::fs::write(attic.path("var/lib/cooperator/ending"), "").unwrap();
    assert_eq!(ssh.get(&made.id).await.unwrap().unwrap().state, State::Ending);
    assert_eq!(ssh.create(&order("attic", name(19), SLEEPS)).await.unwrap_err().kind(), "NoCapacity");
    assert_eq!(ssh.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
    assert_eq!(attic.processes(&name(18)), 0);
}

#[tokio::test]
async fn what_is_secret_is_in_no_error_and_in_no_process_list() {
    let attic = Machine::start("attic", 7).await;
    let ssh = driver(&[&attic]);
    let script = "#!/bin/sh\nBOOTSTRAP=abcdef.0123456789abcdef\n";
    attic.fail(Fault::Half);
    let error = ssh.create(&order("attic", name(20), script)).await.unwrap_err();
    let shown = format!("{error} {error:?} {ssh:?} {:?}", attic.commands());
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("PRIVATE"), "{shown}");
}
