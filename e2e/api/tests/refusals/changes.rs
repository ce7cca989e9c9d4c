//! What may not change, what is filled in, and what only the operator may write.

use cooperator_e2e_api::Server;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::api_key::INSTANT;
use super::collective::{LABEL, TEXT};
use super::good;

async fn create(server: &Server, object: &Value) {
    let dynamic = serde_json::from_value(object.clone()).unwrap();
    server.api(object["kind"].as_str().unwrap()).create(&PostParams::default(), &dynamic).await.unwrap();
}

pub async fn of_the_examples_are_refused(server: &Server) {
    let refused = [
        ("Collective", "presidents", json!({"treasury": {"currency": "EUR"}}), "immutable"),
        ("Collective", "presidents", json!({"treasury": {"decimals": 2}}), "immutable"),
        ("Contribution", "grant-addresses", json!({"memberRef": {"name": "hayes"}}), "immutable"),
        ("Contribution", "grant-addresses", json!({"collectiveRef": {"name": "other"}}), "immutable"),
        ("BaseModel", "smollm2-135m", json!({"source": {"storageUri": "hf://a/b"}}), "immutable"),
        ("BaseModel", "smollm2-135m", json!({"source": {"digest": null}}), "immutable"),
        ("BaseModel", "smollm2-135m", json!({"collectiveRef": {"name": "other"}}), "immutable"),
        ("Dataset", "addresses", json!({"collectiveRef": {"name": "other"}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"training": {"seed": 2}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"lora": {"rank": 4}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"lora": {"targetModules": ["q_proj"]}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"baseModelRef": {"name": "other"}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"datasetRef": {"name": "other"}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"evaluation": {"gates": []}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"attribution": {"method": "None"}}), "immutable"),
        ("ApiKey", "reader", json!({"consumer": "another"}), "immutable"),
        ("ApiKey", "reader", json!({"secretRef": {"name": "another"}}), "immutable"),
        ("ApiKey", "reader", json!({"collectiveRef": {"name": "other"}}), "immutable"),
        ("Deployment", "presidents", json!({"replicas": -1}), "greater than or equal to 0"),
    ];
    for (kind, name, spec, expected) in &refused {
        let said = server.try_update(kind, name, &json!({"spec": spec})).await.unwrap().expect_err(kind);
        assert!(said.contains(expected) && said.contains("spec"), "{kind} {spec}: {said}");
    }
    let suspend = json!({"spec": {"suspend": true, "compute": {"budget": "5"}}});
    let suspended = server.try_update("FineTune", "addresses-v1", &suspend).await.unwrap();
    assert!(suspended.is_ok(), "suspend and compute are not immutable: {suspended:?}");
    eprintln!("{} changes refused", refused.len());
}

pub async fn revoked_stays_revoked(server: &Server) {
    for (kind, name) in [("Contribution", "grant-addresses"), ("ApiKey", "reader")] {
        let revoke = Patch::Merge(json!({"spec": {"revoked": true}}));
        server.api(kind).patch(name, &PatchParams::default(), &revoke).await.unwrap();
        for back in [json!(false), Value::Null] {
            let back = json!({"spec": {"revoked": back}});
            let said = server.try_update(kind, name, &back).await.unwrap().unwrap_err();
            assert!(said.contains("revoked cannot be taken back"), "{said}");
        }
    }
}

/// Digests in status point into the storage that was there when they were written.
pub async fn storage_stays_where_it_is(server: &Server) {
    let mut own = good::object("Collective");
    own["metadata"]["name"] = json!("own");
    create(server, &own).await;
    let mut lent = own.clone();
    lent["metadata"]["name"] = json!("lent");
    let storage = lent["spec"].as_object_mut().unwrap().remove("storage").unwrap();
    create(server, &lent).await;

    let refused = |name, change| async move {
        server.try_update("Collective", name, &change).await.unwrap().expect_err("a change of storage")
    };
    for other in
        [json!({"bucket": "another"}), json!({"prefix": "another/"}), json!({"endpoint": "https://another"})]
    {
        let said = refused("own", json!({"spec": {"storage": other}})).await;
        assert!(said.contains("storage is immutable"), "{said}");
    }
    let said = refused("own", json!({"spec": {"storage": null}})).await;
    assert!(said.contains("spec.storage must stay"), "{said}");

    let give = json!({"spec": {"storage": storage}});
    let given = server.try_update("Collective", "lent", &give).await.unwrap();
    assert!(given.is_ok(), "nothing lies anywhere yet: {given:?}");
    let location = json!({"endpoint": "http://garage", "region": "r", "bucket": "b", "secretName": "s"});
    let status = Patch::Merge(json!({"status": {"storage": location}}));
    server.api("Collective").patch_status("lent", &PatchParams::default(), &status).await.unwrap();
    let said = refused("lent", give).await;
    assert!(said.contains("spec.storage must not be given once"), "{said}");
}

pub async fn a_settlement_never_changes(server: &Server) {
    create(server, &good::object("Settlement")).await;
    let name = "presidents-2026-11";
    for spec in [
        json!({"gross": "3.41"}),
        json!({"payments": []}),
        json!({"costs": null}),
        json!({"statement": {"storageUri": "s3://bucket/other/"}}),
        json!({"period": {"end": "2026-12-01T00:00:00Z"}}),
    ] {
        let said = server.try_update("Settlement", name, &json!({"spec": spec})).await.unwrap().unwrap_err();
        assert!(said.contains("a Settlement is immutable"), "{spec}: {said}");
    }
    let paid = |member: &str, at: &str, reference: &str| json!({"status": {"paid": [{"member": member, "at": at, "reference": reference}]}});
    let now = "2026-12-02T09:00:00Z";
    for (mark, expected) in [
        (paid("elsewhere/lincoln", now, ""), LABEL),
        (paid("lincoln", "yesterday", ""), INSTANT),
        (paid("lincoln", "2026-12-32T00:00:00Z", ""), INSTANT),
        (paid("lincoln", now, "\u{1b}[2J"), TEXT),
        (paid("lincoln", now, &"x".repeat(257)), "may not be more than 256"),
    ] {
        let said = server.try_status("Settlement", name, &mark).await.unwrap().unwrap_err();
        assert!(said.contains(expected) && said.contains("status.paid[0]"), "{mark}: {said}");
    }
    let marked = server.try_status("Settlement", name, &paid("lincoln", now, "SEPA 42")).await.unwrap();
    assert!(marked.is_ok(), "{marked:?}");
}

/// Machines are rented by an account, for a Collective's money.
pub async fn whose_machines_they_are_stays(server: &Server) {
    create(server, &good::object("NodePool")).await;
    for (kind, name, spec, expected) in [
        (
            "Provider",
            "hetzner",
            json!({"collectiveRef": {"name": "other"}}),
            "collectiveRef and type are immutable",
        ),
        ("Provider", "hetzner", json!({"type": "Vast"}), "collectiveRef and type are immutable"),
        ("NodePool", "gpus", json!({"collectiveRef": {"name": "other"}}), "collectiveRef is immutable"),
    ] {
        let said = server.try_update(kind, name, &json!({"spec": spec})).await.unwrap().unwrap_err();
        assert!(said.contains(expected), "{kind} {spec}: {said}");
    }
    let dearer = json!({"spec": {"limits": {"machines": 9}, "exchangeRate": "1.09"}});
    let changed = server.try_update("Provider", "hetzner", &dearer).await.unwrap();
    assert!(changed.is_ok(), "limits and exchangeRate are not immutable: {changed:?}");
}

/// What was ordered is what is paid for.
pub async fn a_node_claim_never_changes(server: &Server) {
    let claim = good::object("NodeClaim");
    create(server, &claim).await;
    let name = claim["metadata"]["name"].as_str().unwrap();
    for spec in [
        json!({"diskGi": 41}),
        json!({"budget": null}),
        json!({"maxPricePerHour": "9"}),
        json!({"requirements": []}),
        json!({"nodePoolRef": {"name": "other"}}),
    ] {
        let said = server.try_update("NodeClaim", name, &json!({"spec": spec})).await.unwrap().unwrap_err();
        assert!(said.contains("a NodeClaim is immutable"), "{spec}: {said}");
    }
    let offer = json!({"provider": "hetzner", "id": "ccx23@fsn1", "terms": {"hourly": "0.05", "granularity": "Hour"}});
    let launch = json!({"number": 1, "provider": "hetzner", "offer": offer, "diskGib": 40, "intendedAt": "2026-12-02T09:00:00Z"});
    let ledger = json!({"status": {"providerID": "hetzner://42", "launches": [launch]}});
    let stored = server.try_status("NodeClaim", name, &ledger).await.unwrap().unwrap();
    assert_eq!(stored["status"]["launches"][0]["offer"], offer, "of an offer nothing is dropped");
    let twice = json!({"status": {"launches": [launch, launch]}});
    let said = server.try_status("NodeClaim", name, &twice).await.unwrap().unwrap_err();
    assert!(said.contains("Duplicate value"), "{said}");
}

/// Who may write an object, but not its status, cannot say that it is ready, paid for, or what its key is.
pub async fn status_is_not_written_through_the_object(server: &Server) {
    let ready = json!([{
        "type": "Ready", "status": "True", "reason": "Faked", "message": "", "lastTransitionTime": "2026-12-02T09:00:00Z",
    }]);
    let digest = format!("sha256:{}", "0".repeat(64));
    let faked = [
        ("Collective", json!({"conditions": ready, "spent": {"amount": "0", "currency": "USD"}})),
        ("Contribution", json!({"conditions": ready})),
        ("BaseModel", json!({"conditions": ready, "digest": digest})),
        ("Dataset", json!({"conditions": ready, "digest": digest, "tokens": 1})),
        (
            "FineTune",
            json!({"conditions": ready, "attribution": [{"member": "grant", "basisPoints": 10000}]}),
        ),
        ("Deployment", json!({"conditions": ready, "upstream": "http://169.254.169.254:80"})),
        ("ApiKey", json!({"conditions": ready, "sha256": "0".repeat(64), "leases": []})),
        (
            "Settlement",
            json!({"conditions": ready, "paid": [{"member": "lincoln", "at": "2026-12-02T09:00:00Z"}]}),
        ),
        ("Provider", json!({"conditions": ready, "machines": 0})),
        ("NodePool", json!({"conditions": ready, "machines": 0})),
        ("NodeClaim", json!({"conditions": ready, "providerID": "vast://1"})),
    ];
    for (kind, status) in faked {
        let mut object = good::object(kind);
        object["metadata"]["name"] = json!("faked");
        object["status"] = status.clone();
        let stored = server.try_create(&object).await.unwrap().unwrap();
        assert_eq!(stored.get("status"), None, "{kind}: a status that came with the object is kept");
        object.as_object_mut().unwrap().remove("status");
        create(server, &object).await;
        let changed = server.try_update(kind, "faked", &json!({"status": status})).await.unwrap().unwrap();
        assert_eq!(changed.get("status"), None, "{kind}: a status that came with a change is kept");
    }
}

pub async fn defaults_are_filled_in(server: &Server) {
    let bare = |kind: &str, spec: Value| json!({"apiVersion": "cooperator.dev/v1alpha1", "kind": kind, "metadata": {"name": "bare"}, "spec": spec});
    let ours = json!({"name": "presidents"});
    let tune = json!({"baseModelRef": {"name": "m"}, "datasetRef": {"name": "d"}});
    let provider = json!({"collectiveRef": ours, "type": "Vast", "secretRef": {"name": "vast"}});
    let pool = json!({"collectiveRef": ours, "providerRefs": [{"name": "vast"}]});
    for (kind, spec, expected) in [
        ("FineTune", tune, defaults_of_a_fine_tune()),
        (
            "Provider",
            provider,
            vec![
                ("/spec/currency", json!("USD")),
                (
                    "/spec/timeouts",
                    json!({"launch": "10m", "registration": "15m", "idle": "5m", "billing": "30m"}),
                ),
                ("/spec/breaker", json!({"failures": 5, "window": "10m", "pause": "10m"})),
            ],
        ),
        (
            "NodePool",
            pool,
            vec![
                ("/spec/providerRefs/0/weight", json!(1)),
                ("/spec/template/spec/expireAfter", json!("24h")),
                ("/spec/limits", json!({"machines": 4})),
                ("/spec/disruption", json!({"consolidationPolicy": "WhenEmpty", "consolidateAfter": "0s"})),
                ("/spec/diskGi", json!(40)),
                ("/spec/priceHeadroom", json!(2000)),
            ],
        ),
        (
            "NodeClaim",
            json!({"nodePoolRef": {"name": "gpus"}, "diskGi": 40}),
            vec![("/spec/spot", json!("Never")), ("/spec/expireAfter", json!("24h"))],
        ),
    ] {
        let stored = server.try_create(&bare(kind, spec)).await.unwrap().unwrap();
        for (pointer, expected) in expected {
            assert_eq!(stored.pointer(pointer), Some(&expected), "{pointer} in {stored}");
        }
    }
}

fn defaults_of_a_fine_tune() -> Vec<(&'static str, Value)> {
    vec![
        ("/spec/runtimeRef/name", json!("candle")),
        ("/spec/lora/rank", json!(8)),
        ("/spec/lora/targetModules/6", json!("down_proj")),
        ("/spec/training/learningRate", json!("1e-3")),
        ("/spec/training/schedule", json!("Cosine")),
        ("/spec/checkpoint/everySteps", json!(50)),
        ("/spec/attribution/method", json!("Tokens")),
        ("/spec/compute/spot", json!("Never")),
        ("/spec/backoffLimit", json!(3)),
        ("/spec/deletionPolicy", json!("Retain")),
    ]
}
