use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use cooperator_api::node_claim::NodeClaim;
use cooperator_providers::testing::{Fake, Fault};
use cooperator_providers::{State, Verb};
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use super::super::reconcile::reconcile;
use super::{cluster, edit, found, trained, waits};
use crate::settle;
use crate::testing::market::{Renting, billed, told};
use crate::testing::{Cluster, HOME};

/// A FineTune whose attempts run on machines of a pool.
pub(super) async fn renting() -> Renting {
    let renting = Renting::over(cluster().await);
    edit(&renting.cluster, |tune| {
        tune.spec.compute.node_pool_ref = Some(serde_json::from_value(json!({ "name": "cheap" })).unwrap());
    });
    renting
}

/// Both controllers, for so many seconds.
pub(super) async fn run(renting: &Renting, seconds: i64) -> FineTuneStatus {
    for _ in 0..seconds / 5 {
        tune(&renting.cluster).await;
        for claim in claims(&renting.cluster) {
            for _ in 0..4 {
                drop(renting.pass(&claim).await);
            }
        }
        renting.cluster.clock.advance(SignedDuration::from_secs(5));
    }
    tune(&renting.cluster).await;
    renting.cluster.read::<FineTune>("finetunes", "addresses-v1").status.unwrap_or_default()
}

pub(super) async fn tune(cluster: &Cluster) {
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
}

pub(super) fn claims(cluster: &Cluster) -> Vec<String> {
    cluster.names("cooperator.dev/v1alpha1", "nodeclaims")
}

pub(super) fn jobs(cluster: &Cluster) -> Vec<String> {
    cluster.names("batch/v1", "jobs")
}

/// Trained through on one machine.
async fn through(renting: &Renting) -> FineTuneStatus {
    for _ in 0..20 {
        run(renting, 30).await;
        if renting.launched("addresses-v1-m1") {
            break;
        }
    }
    renting.join("addresses-v1-m1", "8Gi");
    run(renting, 20).await;
    renting.cluster.clock.advance(SignedDuration::from_mins(10));
    let outcome = trained(&renting.cluster, "addresses-v1-1", true).await;
    renting.cluster.finish("addresses-v1-1", &outcome);
    run(renting, 3600).await
}

/// Runs at the cheaper of two vendors, `one` and `other`.
async fn at_the_cheaper(renting: &Renting) -> (Fake, Fake) {
    let both = (renting.provider("one", &[("a", "0.40")]), renting.provider("other", &[("b", "0.60")]));
    run(renting, 60).await;
    renting.join("addresses-v1-m1", "8Gi");
    run(renting, 20).await;
    both
}

/// Deleted, and gone within the hour.
async fn delete(renting: &Renting) {
    let api: kube::Api<FineTune> = kube::Api::namespaced(renting.cluster.pipeline.client.clone(), HOME);
    drop(api.delete("addresses-v1", &kube::api::DeleteParams::default()).await.unwrap());
    let tune = || renting.cluster.find("cooperator.dev/v1alpha1", "finetunes", "addresses-v1");
    for _ in 0..720 {
        let Some(tune) = tune() else { break };
        drop(reconcile(std::sync::Arc::new(tune), renting.cluster.pipeline.clone()).await);
        for claim in claims(&renting.cluster) {
            drop(renting.pass(&claim).await);
        }
        renting.cluster.clock.advance(SignedDuration::from_secs(5));
    }
    let left: Option<FineTune> = tune();
    assert!(left.is_none(), "{:?} {:?}", left.unwrap().status, renting.read("addresses-v1-m1").status);
}

pub(super) fn lives(vendor: &Fake) -> usize {
    vendor
        .instances()
        .iter()
        .filter(|instance| !matches!(instance.state, State::Over | State::Ending))
        .count()
}

#[tokio::test]
async fn a_fine_tune_rents_a_machine_trains_there_and_gives_it_back() {
    let renting = renting().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    let status = run(&renting, 60).await;
    assert_eq!(waits(&status), "WaitingForMachine");
    assert!(status.waiting.unwrap().for_.contains("addresses-v1-m1"));
    assert!(jobs(&renting.cluster).is_empty(), "nothing runs before its machine is ready");
    assert_eq!(status.estimate.unwrap().price_per_hour, "0.6");
    renting.join("addresses-v1-m1", "8Gi");
    run(&renting, 20).await;
    let job: Job = renting.cluster.find("batch/v1", "jobs", "addresses-v1-1").unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    let claim: NodeClaim = renting.read("addresses-v1-m1");
    let node = "node-restriction.kubernetes.io/cooperator-node-claim";
    assert_eq!(pod.node_selector.unwrap()[node], claim.metadata.uid.unwrap());
    assert_eq!(pod.tolerations.unwrap()[0].key.as_deref(), Some("cooperator.dev/rented"));
    let outcome = trained(&renting.cluster, "addresses-v1-1", true).await;
    renting.cluster.finish("addresses-v1-1", &outcome);
    let status = run(&renting, 3600).await;
    assert_eq!(found(&status, "Ready").0, "True");
    assert_eq!(lives(&vendor), 0);
    assert!(claims(&renting.cluster).is_empty());
    assert_eq!(
        status.cost.unwrap().amount,
        billed(&vendor).to_string(),
        "what the vendor bills, and nothing else"
    );
    assert!(status.machines[0].is_final);
    assert_eq!(status.waiting, None);
    assert_eq!(status.attempts[0].node_claim.as_deref(), Some("addresses-v1-m1"));
}

#[tokio::test]
async fn a_disk_that_the_base_model_alone_fills_is_not_rented_and_what_to_set_is_said() {
    let renting = renting().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    renting.cluster.edit("basemodels", "smollm", |model: &mut BaseModel| {
        model.status.get_or_insert_default().bytes = Some(40 << 30);
    });
    let status = run(&renting, 60).await;
    assert_eq!(waits(&status), "DiskTooSmall", "the pool has 40 GiB");
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(
        ready.message,
        "BaseModel `smollm` alone needs 41 GiB of disk, the machine would have 40 GiB: set spec.compute.diskGi to more than 41"
    );
    assert!(claims(&renting.cluster).is_empty() && vendor.calls().is_empty());
    edit(&renting.cluster, |tune| tune.spec.compute.disk_gi = Some(41));
    run(&renting, 60).await;
    assert_eq!(vendor.instances().len(), 1);
}

#[tokio::test]
async fn a_machine_that_is_taken_away_is_followed_by_another_elsewhere_and_both_are_paid_for() {
    let renting = renting().await;
    let (one, other) = at_the_cheaper(&renting).await;
    one.set_state(&one.instances()[0].id, State::Preempted);
    one.take_offer(&"a".into());
    run(&renting, 30).await;
    renting.cluster.remove("batch/v1", "jobs", "addresses-v1-1");
    let status = run(&renting, 120).await;
    assert_eq!(status.attempts[0].reason.as_deref(), Some("Preempted"));
    assert_eq!((lives(&one), lives(&other)), (0, 1));
    renting.join("addresses-v1-m2", "8Gi");
    run(&renting, 20).await;
    let outcome = trained(&renting.cluster, "addresses-v1-2", true).await;
    renting.cluster.finish("addresses-v1-2", &outcome);
    let status = run(&renting, 3600).await;
    assert_eq!(found(&status, "Ready").0, "True");
    assert_eq!((lives(&one), lives(&other)), (0, 0));
    let bills = billed(&one).plus(billed(&other)).unwrap();
    assert_eq!(status.cost.unwrap().amount, bills.to_string());
    let machines: Vec<&str> = status.machines.iter().map(|machine| machine.provider.as_str()).collect();
    assert_eq!(machines, ["one", "other"]);
}

#[tokio::test]
async fn a_machine_that_is_powered_off_is_left_with_time_for_a_checkpoint_and_the_work_goes_on_elsewhere() {
    let renting = renting().await;
    let (one, other) = at_the_cheaper(&renting).await;
    renting.power_off("addresses-v1-m1");
    run(&renting, 30).await;
    let job = renting.cluster.find::<Job>("batch/v1", "jobs", "addresses-v1-1");
    assert!(job.is_none_or(|job| job.metadata.deletion_timestamp.is_some()), "its pod is told to end");
    renting.cluster.remove("batch/v1", "jobs", "addresses-v1-1");
    let status = run(&renting, 300).await;
    assert_eq!(status.attempts[0].reason.as_deref(), Some("Preempted"));
    assert_eq!((lives(&one), lives(&other)), (0, 1), "the offer is not taken again");
}

#[tokio::test]
async fn an_operator_killed_after_any_write_trains_once_on_one_machine() {
    for cut in 1..=24 {
        let renting = renting().await;
        let vendor = renting.provider("one", &[("a", "0.60")]);
        renting.cluster.cut_after(cut);
        let status = through(&renting).await;
        assert_eq!(found(&status, "Ready").0, "True", "cut after write {cut}");
        assert_eq!(status.attempts.len(), 1, "cut after write {cut}");
        let made =
            vendor.calls().iter().filter(|call| call.verb == Verb::Create && call.answer == "Ok").count();
        assert_eq!(made, 1, "cut after write {cut}");
        assert_eq!(lives(&vendor), 0, "cut after write {cut}");
        assert_eq!(status.cost.unwrap().amount, billed(&vendor).to_string(), "cut after write {cut}");
        assert!(claims(&renting.cluster).is_empty(), "cut after write {cut}");
    }
}

#[tokio::test]
async fn a_fine_tune_that_is_deleted_gives_its_machine_back_and_what_it_cost_is_recovered() {
    let renting = renting().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    run(&renting, 60).await;
    renting.join("addresses-v1-m1", "8Gi");
    run(&renting, 20).await;
    delete(&renting).await;
    assert_eq!(lives(&vendor), 0);
    assert!(claims(&renting.cluster).is_empty());
    let home: Collective = renting.cluster.read("collectives", HOME);
    let departed = home.status.unwrap().departed;
    assert_eq!(departed.len(), 1);
    assert_eq!(departed[0].cost, billed(&vendor).to_string());
}

#[tokio::test]
async fn a_budget_that_is_spent_is_said_before_anything_is_rented() {
    let renting = renting().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    edit(&renting.cluster, |tune| tune.spec.compute.budget = Some("0".into()));
    assert_eq!(waits(&run(&renting, 30).await), "BudgetSpent");
    assert!(claims(&renting.cluster).is_empty());
    assert_eq!(vendor.instances().len(), 0);
}

#[tokio::test]
async fn what_the_market_lacks_is_said_where_people_look() {
    let renting = renting().await;
    renting.provider("one", &[("a", "0.60")]);
    edit(&renting.cluster, |tune| tune.spec.compute.max_price_per_hour = Some("0.10".into()));
    let status = run(&renting, 30).await;
    assert_eq!(waits(&status), "NoOffer");
    let ready = status.conditions.iter().find(|found| found.type_ == "Ready").unwrap();
    assert!(ready.message.contains("0.6"), "{}", ready.message);
}

#[tokio::test]
async fn a_fine_tune_for_which_no_machine_could_be_had_goes_when_it_is_deleted() {
    let renting = renting().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    vendor.fail_always(Verb::Create, Fault::Refused);
    run(&renting, 60).await;
    assert!(!renting.read("addresses-v1-m1").status.unwrap().launches.is_empty());
    delete(&renting).await;
    assert!(claims(&renting.cluster).is_empty());
}

#[tokio::test]
async fn suspension_gives_the_machine_back_once_the_run_has_stopped() {
    let renting = renting().await;
    let vendor = renting.provider("one", &[("a", "0.60")]);
    run(&renting, 60).await;
    renting.join("addresses-v1-m1", "8Gi");
    run(&renting, 20).await;
    edit(&renting.cluster, |tune| tune.spec.suspend = true);
    let status = run(&renting, 3600).await;
    assert_eq!(found(&status, "Suspended").0, "True");
    assert_eq!(lives(&vendor), 0);
    assert!(jobs(&renting.cluster).is_empty());
    edit(&renting.cluster, |tune| tune.spec.suspend = false);
    run(&renting, 60).await;
    assert_eq!(told(&renting.read("addresses-v1-m2"), "Launched").0, "True");
}

#[tokio::test]
async fn the_budget_of_a_pool_stops_a_run_in_time_for_a_checkpoint_and_is_said_where_people_look() {
    let renting = renting().await;
    renting.pool(json!({ "limits": { "machines": 4, "budget": { "amount": "0.30", "period": "Monthly" } } }));
    // A job that the budget pays for, as far as anybody knows.
    edit(&renting.cluster, |tune| tune.spec.training.max_steps = 1);
    let vendor = renting.provider("one", &[("a", "0.60")]);
    run(&renting, 60).await;
    renting.join("addresses-v1-m1", "8Gi");
    for _ in 0..28 {
        run(&renting, 60).await;
        pool(&renting).await;
    }
    renting.cluster.remove("batch/v1", "jobs", "addresses-v1-1");
    let status = run(&renting, 60).await;
    let attempt = &status.attempts[0];
    assert_eq!(attempt.reason.as_deref(), Some("Preempted"), "it goes on from its checkpoint");
    assert!(attempt.message.as_ref().is_some_and(|said| said.contains("BudgetSpent")), "{attempt:?}");
    assert_eq!(waits(&status), "NoOffer", "what is left pays for no job");
    let ready = status.conditions.iter().find(|found| found.type_ == "Ready").unwrap();
    assert!(ready.message.contains("spec.limits.budget of NodePool `cheap`"), "{}", ready.message);
    assert_eq!(lives(&vendor), 0);
    assert!(billed(&vendor) <= "0.30".parse().unwrap(), "{}", billed(&vendor));
}

/// The pool's own controller, once.
async fn pool(renting: &Renting) {
    let pool = std::sync::Arc::new(renting.cluster.read("nodepools", "cheap"));
    crate::node_pool::reconcile(pool, renting.cluster.pipeline.clone()).await.unwrap();
}
