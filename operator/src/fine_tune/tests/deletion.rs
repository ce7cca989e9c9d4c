use cooperator_api::collective::Collective;
use cooperator_api::common::DeletionPolicy;
use cooperator_api::fine_tune::FineTune;
use cooperator_store::testing::{Fault, Rule};
use jiff::SignedDuration;
use serde_json::json;

use super::super::reconcile::reconcile;
use super::{cluster, edit, settled, through};
use crate::settle;
use crate::testing::{Cluster, HOME};

/// Somebody deletes it.
fn delete(cluster: &Cluster) {
    edit(cluster, |tune| {
        tune.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-24T13:00:00Z")).unwrap();
    });
}

#[tokio::test]
async fn with_policy_delete_the_adapter_goes_with_its_fine_tune() {
    let cluster = cluster().await;
    edit(&cluster, |tune| tune.spec.deletion_policy = DeletionPolicy::Delete);
    through(&cluster, true).await;
    assert!(cluster.storage.keys(HOME).iter().any(|key| key.starts_with("adapters/")));
    delete(&cluster);
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
    assert!(!cluster.storage.keys(HOME).iter().any(|key| key.starts_with("adapters/")));
    assert!(cluster.events().contains(&"Normal DataDeleted".to_owned()), "{:?}", cluster.events());
    let tune: FineTune = cluster.read("finetunes", "addresses-v1");
    assert!(tune.metadata.finalizers.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn what_a_deleted_fine_tune_cost_is_written_down_once_also_after_a_crash() {
    for cut in 1..=4 {
        let cluster = cluster().await;
        through(&cluster, true).await;
        delete(&cluster);
        cluster.cut_after(cut);
        settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
        let collective: Collective = cluster.read("collectives", HOME);
        let departed = collective.status.unwrap().departed;
        let costs: Vec<_> = departed.iter().map(|one| (one.fine_tune.as_str(), one.cost.as_str())).collect();
        assert_eq!(costs, [("addresses-v1", "0.1")], "cut after write {cut}");
        let tune: FineTune = cluster.read("finetunes", "addresses-v1");
        assert!(tune.metadata.finalizers.unwrap_or_default().is_empty(), "cut after write {cut}");
        let kept = cluster.storage.keys(HOME).iter().any(|key| key.starts_with("adapters/"));
        assert!(kept, "deletionPolicy is Retain");
        assert!(cluster.events().contains(&"Normal DataKept".to_owned()), "{:?}", cluster.events());
    }
}

#[tokio::test]
async fn an_attempt_that_is_stopped_by_a_deletion_is_paid_for_until_then() {
    let cluster = cluster().await;
    settled(&cluster).await;
    cluster.clock.advance(SignedDuration::from_mins(30));
    delete(&cluster);
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
    let collective: Collective = cluster.read("collectives", HOME);
    let departed = collective.status.unwrap().departed;
    assert_eq!(departed[0].cost, "0.3", "half an hour at 0.60");
    assert!(cluster.names("batch/v1", "jobs").is_empty());
}

#[tokio::test]
async fn a_fine_tune_under_deletion_whose_collective_is_gone_is_let_go() {
    let cluster = cluster().await;
    edit(&cluster, |tune| tune.spec.deletion_policy = DeletionPolicy::Delete);
    through(&cluster, true).await;
    cluster.edit("collectives", HOME, |collective: &mut Collective| collective.status = None);
    delete(&cluster);
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
    let tune: FineTune = cluster.read("finetunes", "addresses-v1");
    assert!(tune.metadata.finalizers.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn a_fine_tune_under_deletion_is_let_go_where_the_kinds_it_refers_to_are_no_more() {
    let cluster = cluster().await;
    settled(&cluster).await;
    for plural in ["collectives", "datasets", "basemodels", "contributions", "deployments"] {
        cluster.remove_kind(plural);
    }
    delete(&cluster);
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
    let tune: FineTune = cluster.read("finetunes", "addresses-v1");
    assert!(tune.metadata.finalizers.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn a_deletion_that_object_storage_holds_up_says_so_and_ends_once_it_answers() {
    let cluster = cluster().await;
    edit(&cluster, |tune| tune.spec.deletion_policy = DeletionPolicy::Delete);
    through(&cluster, true).await;
    cluster.storage.fault(Rule::new(Fault::Status(403)));
    delete(&cluster);
    let tune = std::sync::Arc::new(cluster.read::<FineTune>("finetunes", "addresses-v1"));
    reconcile(tune, cluster.pipeline.clone()).await.unwrap_err();
    assert!(cluster.events().contains(&"Warning DeletionWaits".to_owned()), "{:?}", cluster.events());
    let tune: FineTune = cluster.read("finetunes", "addresses-v1");
    assert!(!tune.metadata.finalizers.unwrap_or_default().is_empty());
    cluster.storage.heal();
    settle!(cluster, FineTune, "finetunes", "addresses-v1", reconcile);
    assert!(!cluster.storage.keys(HOME).iter().any(|key| key.starts_with("adapters/")));
}
