//! Every rule of the API, broken once, against a real kube-apiserver: the refusal names field, bound and way out.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use cooperator_e2e_api::{Server, examples};
use serde_json::{Value, json};

/// Kind, JSON pointer, the bad value (null: the field is taken away), and what the refusal must say.
fn cases() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let name64 = "x".repeat(64);
    vec![
        ("Collective", "/metadata/name", json!("a".repeat(41)), "metadata.name must be 1 to 40"),
        ("Collective", "/metadata/name", json!("with.dot"), "metadata.name must be 1 to 40"),
        ("Collective", "/spec/members", json!([]), "spec.members in body should have at least 1 items"),
        ("Collective", "/spec/members", json!([{"name": "a"}, {"name": "a"}]), "Duplicate value"),
        (
            "Collective",
            "/spec/members/0/name",
            json!("No Spaces"),
            "spec.members[0].name in body should match",
        ),
        ("Collective", "/spec/members/0/name", json!(name64), "may not be more than 63"),
        ("Collective", "/spec/members/0/roles", json!(["King"]), "Unsupported value: \"King\""),
        ("Collective", "/spec/members/0/payout/account", json!("x".repeat(257)), "may not be more than 256"),
        ("Collective", "/spec/members/0/keys", json!([{"type": "rsa", "publicKey": "A"}]), "keys[0].type"),
        ("Collective", "/spec/policy/baseModelLicenses", json!([]), "at least 1 items"),
        ("Collective", "/spec/policy/contributionLicenses", json!([""]), "at least 1 chars long"),
        (
            "Collective",
            "/spec/policy/requiredGrants",
            json!(["Everything"]),
            "Unsupported value: \"Everything\"",
        ),
        (
            "Collective",
            "/spec/treasury/currency",
            json!("usd"),
            "spec.treasury.currency in body should match",
        ),
        ("Collective", "/spec/treasury/currency", Value::Null, "spec.treasury.currency: Required value"),
        ("Collective", "/spec/treasury/decimals", json!(13), "should be less than or equal to 12"),
        ("Collective", "/spec/treasury/decimals", json!(-1), "should be greater than or equal to 0"),
        ("Collective", "/spec/treasury/settlementPeriod", json!("Fortnightly"), "Unsupported value"),
        (
            "Collective",
            "/spec/treasury/closeAfter",
            json!("a day"),
            "spec.treasury.closeAfter in body should match",
        ),
        (
            "Collective",
            "/spec/treasury/pricePerNodeHour",
            json!("-1"),
            "pricePerNodeHour in body should match",
        ),
        (
            "Collective",
            "/spec/treasury/pricePerNodeHour",
            json!("0.1234567"),
            "pricePerNodeHour in body should match",
        ),
        ("Collective", "/spec/treasury/reserve/basisPoints", json!(10001), "less than or equal to 10000"),
        ("Collective", "/spec/treasury/reserve/account", json!(""), "at least 1 chars long"),
        ("Collective", "/spec/treasury/split/0/basisPoints", json!(8999), "must add up to 10000"),
        ("Collective", "/spec/treasury/split/0/basisPoints", json!(0), "greater than or equal to 1"),
        ("Collective", "/spec/treasury/split/0/by", json!("Luck"), "Unsupported value: \"Luck\""),
        ("Collective", "/spec/treasury/split/1/name", json!("works"), "Duplicate value"),
        ("Collective", "/spec/treasury/split/2/shares", json!([]), "shares must be given with by: Fixed"),
        (
            "Collective",
            "/spec/treasury/split/0/shares",
            json!([{"member": "grant", "parts": 1}]),
            "by: Fixed",
        ),
        (
            "Collective",
            "/spec/treasury/split/2/shares/0/member",
            json!("nobody"),
            "must be one of spec.members",
        ),
        ("Collective", "/spec/treasury/split/2/shares/0/parts", json!(0), "greater than or equal to 1"),
        (
            "Collective",
            "/spec/storage",
            json!({"bucket": "b", "endpoint": "https://s3.example", "secretRef": {"name": "s"}}),
            "at least 3 chars",
        ),
        (
            "Collective",
            "/spec/storage",
            json!({"bucket": "bucket", "endpoint": "ftp://s3.example", "secretRef": {"name": "s"}}),
            "storage.endpoint",
        ),
        (
            "Collective",
            "/spec/storage",
            json!({"bucket": "bucket", "endpoint": "https://a:b@s3.example", "secretRef": {"name": "s"}}),
            "storage.endpoint",
        ),
        (
            "Collective",
            "/spec/storage",
            json!({"bucket": "bucket", "endpoint": "https://s3.example", "prefix": "no-slash", "secretRef": {"name": "s"}}),
            "storage.prefix",
        ),
        ("Collective", "/spec/gateway", json!({"replicas": 17}), "less than or equal to 16"),
        ("Collective", "/spec/budget", json!({"amount": "1e3"}), "spec.budget.amount"),
        ("Contribution", "/spec/source/storageUri", json!("file:///etc/passwd"), "storageUri must be s3://"),
        (
            "Contribution",
            "/spec/source/storageUri",
            json!("http://example.org/x"),
            "storageUri must be s3://",
        ),
        (
            "Contribution",
            "/spec/source/storageUri",
            json!("https://user:pw@example.org/x"),
            "without user info",
        ),
        ("Contribution", "/spec/source/storageUri", json!("s3://bucket/../other"), "must not contain `..`"),
        (
            "Contribution",
            "/spec/source/storageUri",
            json!("hf://owner/data"),
            "must be s3://, https:// or pvc://",
        ),
        ("Contribution", "/spec/source/storageUri", json!("x".repeat(1025)), "may not be more than 1024"),
        (
            "Contribution",
            "/spec/source/digest",
            json!("sha256:abc"),
            "spec.source.digest in body should match",
        ),
        ("Contribution", "/spec/license", json!(""), "spec.license in body should be at least 1 chars"),
        ("Contribution", "/spec/modality", json!("Video"), "Unsupported value: \"Video\""),
        (
            "Contribution",
            "/spec/grants",
            json!([{"use": "Training", "allowed": true}, {"use": "Training", "allowed": false}]),
            "Duplicate value",
        ),
        ("Contribution", "/spec/grants/0/use", json!("Selling"), "Unsupported value: \"Selling\""),
        (
            "Contribution",
            "/spec/splitSheet",
            json!([{"member": "grant", "basisPoints": 9999}]),
            "splitSheet[].basisPoints must add up to 10000",
        ),
        (
            "Contribution",
            "/spec/splitSheet",
            json!([{"member": "a", "basisPoints": 5000}, {"member": "a", "basisPoints": 5000}]),
            "Duplicate value",
        ),
        ("Contribution", "/spec/memberRef", Value::Null, "spec.memberRef: Required value"),
        ("BaseModel", "/metadata/name", json!("m".repeat(41)), "metadata.name must be at most 40 characters"),
        ("BaseModel", "/spec/modality", json!("Image"), "modality must be Text"),
        ("BaseModel", "/spec/source/storageUri", json!("hf://no-owner"), "storageUri must be s3://"),
        ("BaseModel", "/spec/license", Value::Null, "spec.license: Required value"),
        ("Dataset", "/spec/text/recordTokens", json!(15), "greater than or equal to 16"),
        ("Dataset", "/spec/text/recordTokens", json!(40000), "less than or equal to 32768"),
        ("Dataset", "/spec/text/format", json!("Zip"), "Unsupported value: \"Zip\""),
        ("Dataset", "/spec/holdout/basisPoints", json!(5001), "less than or equal to 5000"),
        ("Dataset", "/spec/deduplicate", json!("Fuzzy"), "Unsupported value: \"Fuzzy\""),
        ("Dataset", "/spec/baseModelRef/name", json!("../up"), "spec.baseModelRef.name in body should match"),
        ("FineTune", "/spec/runtimeRef", json!({"name": "axolotl"}), "runtimeRef.name must be candle"),
        ("FineTune", "/spec/lora/rank", json!(0), "greater than or equal to 1"),
        ("FineTune", "/spec/lora/rank", json!(257), "less than or equal to 256"),
        ("FineTune", "/spec/lora/dropout", json!("1.0"), "spec.lora.dropout in body should match"),
        ("FineTune", "/spec/lora/targetModules", json!(["lm_head"]), "Unsupported value: \"lm_head\""),
        ("FineTune", "/spec/lora/targetModules", json!([]), "at least 1 items"),
        ("FineTune", "/spec/training/maxSteps", json!(0), "greater than or equal to 1"),
        (
            "FineTune",
            "/spec/training/warmupSteps",
            json!(61),
            "warmupSteps must not exceed training.maxSteps",
        ),
        ("FineTune", "/spec/training/learningRate", json!("fast"), "learningRate in body should match"),
        ("FineTune", "/spec/training/learningRate", json!(0.001), "must be of type string"),
        ("FineTune", "/spec/training/seed", json!(-1), "greater than or equal to 0"),
        ("FineTune", "/spec/training/schedule", json!("Zigzag"), "Unsupported value: \"Zigzag\""),
        ("FineTune", "/spec/checkpoint/keep", json!(0), "greater than or equal to 1"),
        ("FineTune", "/spec/evaluation/gates/0/metric", json!("Beauty"), "Unsupported value: \"Beauty\""),
        ("FineTune", "/spec/evaluation/gates/0/value", json!("a lot"), "gates[0].value in body should match"),
        ("FineTune", "/spec/evaluation/prompts", json!([""]), "at least 1 chars long"),
        ("FineTune", "/spec/backoffLimit", json!(21), "less than or equal to 20"),
        ("FineTune", "/spec/activeDeadlineSeconds", json!(59), "greater than or equal to 60"),
        ("FineTune", "/spec/deletionPolicy", json!("Maybe"), "Unsupported value: \"Maybe\""),
        ("FineTune", "/spec/compute/budget", json!("-5"), "spec.compute.budget in body should match"),
        (
            "FineTune",
            "/spec/datasetRef/digest",
            json!("latest"),
            "spec.datasetRef.digest in body should match",
        ),
        ("Deployment", "/metadata/name", json!("9lives"), "metadata.name must be 1 to 40"),
        ("Deployment", "/spec/modelName", json!("bad name"), "spec.modelName in body should match"),
        ("Deployment", "/spec/replicas", json!(101), "less than or equal to 100"),
        (
            "Deployment",
            "/spec/price/inputTokensPerMillion",
            json!("-0.2"),
            "inputTokensPerMillion in body should match",
        ),
        (
            "Deployment",
            "/spec/price/outputTokensPerMillion",
            json!("0.1234567"),
            "outputTokensPerMillion in body should match",
        ),
        ("Deployment", "/spec/access/mode", json!("Secret"), "Unsupported value: \"Secret\""),
        ("Deployment", "/spec/limits/maxOutputTokens", json!(0), "greater than or equal to 1"),
        ("ApiKey", "/spec/consumer", json!("a\nb"), "spec.consumer in body should match"),
        ("ApiKey", "/spec/expiresAt", json!("tomorrow"), "spec.expiresAt in body should match"),
        ("ApiKey", "/spec/budget/amount", json!("10,00"), "spec.budget.amount in body should match"),
        ("ApiKey", "/spec/deployments", json!(["a", "a"]), "Duplicate value"),
        ("ApiKey", "/spec/limits/requestsPerMinute", json!(0), "greater than or equal to 1"),
        ("ApiKey", "/spec/secretRef", Value::Null, "spec.secretRef: Required value"),
    ]
}

fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let mut at = &mut object;
    for part in parent.split('/').skip(1) {
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    match (value, field.parse::<usize>()) {
        (Value::Null, _) => drop(at.as_object_mut().unwrap().remove(field)),
        (value, Ok(index)) => at[index] = value,
        (value, Err(_)) => at[field] = value,
    }
    object
}

#[tokio::test]
async fn each_broken_rule_is_refused_by_a_line_that_names_field_and_bound() {
    let server = Server::start().await.unwrap();
    let good = examples().unwrap();
    let mut wrong = Vec::new();
    for (kind, pointer, value, expected) in cases() {
        let base = good.iter().find(|object| object["kind"] == kind).unwrap();
        match server.try_create(&with(base, pointer, value.clone())).await.unwrap() {
            Ok(_) => wrong.push(format!("{kind} {pointer} = {value}: accepted")),
            Err(message) if message.contains(expected) => {}
            Err(message) => {
                wrong.push(format!("{kind} {pointer} = {value}: says `{message}`, not `{expected}`"))
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_example_is_accepted_and_what_is_immutable_stays() {
    let server = Server::start().await.unwrap();
    for object in examples().unwrap() {
        let kind = object["kind"].as_str().unwrap();
        let dynamic = serde_json::from_value(object.clone()).unwrap();
        server.api(kind).create(&Default::default(), &dynamic).await.unwrap();
    }
    let changes = [
        ("Collective", "presidents", json!({"spec": {"treasury": {"currency": "EUR"}}}), "immutable"),
        ("Collective", "presidents", json!({"spec": {"treasury": {"decimals": 2}}}), "immutable"),
        ("Contribution", "grant-addresses", json!({"spec": {"memberRef": {"name": "hayes"}}}), "immutable"),
        ("BaseModel", "smollm2-135m", json!({"spec": {"source": {"storageUri": "hf://a/b"}}}), "immutable"),
        ("Dataset", "addresses", json!({"spec": {"collectiveRef": {"name": "other"}}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"spec": {"training": {"seed": 2}}}), "immutable"),
        ("FineTune", "addresses-v1", json!({"spec": {"lora": {"rank": 4}}}), "immutable"),
        ("ApiKey", "reader", json!({"spec": {"consumer": "another"}}), "immutable"),
    ];
    for (kind, name, change, expected) in changes {
        let message = server.try_update(kind, name, &change).await.unwrap().expect_err(kind);
        assert!(message.contains(expected), "{kind} {change}: {message}");
    }
    for (kind, name) in [("Contribution", "grant-addresses"), ("ApiKey", "reader")] {
        let revoke = json!({"spec": {"revoked": true}});
        server.api(kind).patch(name, &Default::default(), &kube::api::Patch::Merge(&revoke)).await.unwrap();
        let back = server.try_update(kind, name, &json!({"spec": {"revoked": false}})).await.unwrap();
        assert!(back.unwrap_err().contains("revoked cannot be taken back"));
    }
    let suspended =
        server.try_update("FineTune", "addresses-v1", &json!({"spec": {"suspend": true}})).await.unwrap();
    assert!(suspended.is_ok(), "suspend is not immutable: {suspended:?}");
}

#[tokio::test]
async fn defaults_are_filled_in_by_the_server() {
    let server = Server::start().await.unwrap();
    let bare = json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "FineTune", "metadata": {"name": "bare"},
        "spec": {"baseModelRef": {"name": "m"}, "datasetRef": {"name": "d"}},
    });
    let stored = server.try_create(&bare).await.unwrap().unwrap();
    for (pointer, expected) in [
        ("/spec/runtimeRef/name", json!("candle")),
        ("/spec/lora/rank", json!(8)),
        ("/spec/lora/targetModules/6", json!("down_proj")),
        ("/spec/training/learningRate", json!("1e-3")),
        ("/spec/training/schedule", json!("Cosine")),
        ("/spec/checkpoint/everySteps", json!(50)),
        ("/spec/attribution/method", json!("Tokens")),
        ("/spec/backoffLimit", json!(3)),
        ("/spec/deletionPolicy", json!("Retain")),
    ] {
        assert_eq!(stored.pointer(pointer), Some(&expected), "{pointer} in {stored}");
    }
}

#[tokio::test]
async fn a_settlement_never_changes() {
    let server = Server::start().await.unwrap();
    let settlement = json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Settlement", "metadata": {"name": "presidents-2026-11"},
        "spec": {
            "collectiveRef": {"name": "presidents"}, "currency": "USD", "decimals": 2, "gross": "3.40",
            "period": {"name": "2026-11", "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
            "recovered": "0", "reserve": "0.17", "suspense": "0.01",
            "payments": [{"member": "lincoln", "tokens": 1, "basisPoints": 10000, "amount": "3.22"}],
            "usage": {"rows": 1, "segments": 1, "rootDigest": "sha256:00"},
            "statement": {"storageUri": "s3://b/settlements/", "digest": "sha256:00"},
        },
    });
    let dynamic = serde_json::from_value(settlement).unwrap();
    server.api("Settlement").create(&Default::default(), &dynamic).await.unwrap();
    let change = json!({"spec": {"gross": "3.41"}});
    let message = server.try_update("Settlement", "presidents-2026-11", &change).await.unwrap().unwrap_err();
    assert!(message.contains("a Settlement is immutable"), "{message}");
}
