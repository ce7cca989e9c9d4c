use std::sync::Arc;

use cooperator_api::node_pool::{NodePool, NodePoolStatus};
use serde_json::json;

use super::reconcile::reconcile;
use crate::testing::market::Renting;

async fn settled(renting: &Renting) -> NodePoolStatus {
    let pool: Arc<NodePool> = Arc::new(renting.cluster.read("nodepools", "cheap"));
    reconcile(pool, renting.cluster.pipeline.clone()).await.unwrap();
    renting.cluster.read::<NodePool>("nodepools", "cheap").status.unwrap()
}

/// A FineTune whose machine was so fast.
fn tune(renting: &Renting, name: &str, tokens_per_second: i64, ended: &str) {
    renting.cluster.coop("finetunes", json!({
        "metadata": { "name": name },
        "spec": { "baseModelRef": { "name": "smollm" }, "datasetRef": { "name": "addresses" } },
        "status": {
            "baseModelDigest": "sha256:aa",
            "machines": [{
                "claim": "m", "uid": name, "provider": "one", "nodePool": "cheap", "instance": "hetzner://1", "machine": "4 cpu",
                "offer": "4 cpu", "pricePerHour": "0.6", "startedAt": "2026-11-24T10:00:00Z", "endedAt": ended, "seconds": 60,
                "cost": "0.01", "final": true, "tokensPerSecond": tokens_per_second,
            }],
        },
    }));
}

#[tokio::test]
async fn a_pool_sums_up_what_is_rented_from_it() {
    let renting = Renting::new().await;
    renting.provider("one", &[("a", "0.60")]);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    let status = settled(&renting).await;
    assert_eq!((status.machines, status.price_per_hour.as_deref()), (Some(1), Some("0.6")));
}

#[tokio::test]
async fn a_pool_learns_from_every_run_once() {
    let renting = Renting::new().await;
    tune(&renting, "first", 100, "2026-11-24T11:00:00Z");
    tune(&renting, "second", 200, "2026-11-24T11:30:00Z");
    let status = settled(&renting).await;
    assert_eq!((status.throughput[0].tokens_per_second, status.throughput[0].runs), (150, 2));
    assert_eq!(settled(&renting).await.throughput, status.throughput);
    assert_eq!(status.spent.unwrap().amount, "0.02");
}

#[tokio::test]
async fn what_was_learnt_outlives_its_fine_tune() {
    let renting = Renting::new().await;
    tune(&renting, "first", 100, "2026-11-24T11:00:00Z");
    let learnt = settled(&renting).await.throughput;
    renting.cluster.remove("cooperator.dev/v1alpha1", "finetunes", "first");
    assert_eq!(settled(&renting).await.throughput, learnt);
}
