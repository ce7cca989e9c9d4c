//! A collective's whole life in a few seconds: works, a model, an adapter, a key, a closed period, and leaving.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cooperator_api::collective::{Collective, StorageStatus};
use cooperator_api::deployment::Deployment;
use cooperator_api::names::ANNOTATION_SETTLE_THROUGH;
use cooperator_cli::items::{self, Item};
use cooperator_cli::{kind::Kind, storage};
use cooperator_contract::layout;
use cooperator_contract::run::StorageLocation;
use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_core::digest::Digest;
use cooperator_store::{Credentials, Store};
use cooperator_usage::chain::Chain;
use cooperator_usage::chunk;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::stage::{NAMESPACE, Stage};

/// Name of the Collective, and of all that there is one of.
pub const NAME: &str = "band";
/// Longest that one step may take, deaths included, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks, as long as the operator is silent.
const LOOK: Duration = Duration::from_millis(500);
const FIELD_MANAGER: &str = "a-member";

/// Tells the story to its end.
///
/// # Errors
/// The step that does not come about, with what the objects say.
pub async fn tell(stage: &Stage) -> Result<()> {
    prepare(stage).await?;
    let through = use_it(stage).await?;
    close(stage, through).await?;
    leave(stage).await
}

/// The story up to an adapter that is served and a key that opens it.
///
/// # Errors
/// As [`tell`].
pub async fn prepare(stage: &Stage) -> Result<()> {
    apply(stage, &collective()).await?;
    ready(stage, &[(Kind::Collective, NAME)]).await?;
    give(&store(stage).await?).await?;
    for object in works().iter().chain(&model()) {
        apply(stage, object).await?;
    }
    ready(stage, &[(Kind::Deployment, NAME), (Kind::ApiKey, "radio"), (Kind::Contribution, "ann-songs")])
        .await
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "cooperator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn collective() -> Value {
    let rule = |name: &str, points: i32, by: &str| json!({"name": name, "basisPoints": points, "by": by});
    object(
        "Collective",
        NAME,
        json!({
            "members": [{"name": "ann"}, {"name": "bob"}, {"name": "cat"}],
            "policy": {"baseModelLicenses": ["Apache-2.0"], "contributionLicenses": ["CC0-1.0"]},
            "treasury": {
                "currency": "EUR", "decimals": 6, "reserve": {"basisPoints": 500, "account": "reserve"},
                "split": [rule("works", 9000, "Contribution"), rule("dues", 1000, "Membership")],
            },
        }),
    )
}

/// Two members' works, and one that the policy does not allow.
fn works() -> [Value; 3] {
    let work = |member: &str, license: &str| {
        object(
            "Contribution",
            &format!("{member}-songs"),
            json!({
                "collectiveRef": {"name": NAME}, "memberRef": {"name": member}, "license": license,
                "source": {"storageUri": format!("s3://{NAMESPACE}.{NAME}/incoming/{member}.jsonl")},
                "grants": [{"use": "GenerativeTraining", "allowed": true}],
            }),
        )
    };
    [work("ann", "CC0-1.0"), work("bob", "CC0-1.0"), work("cat", "CC-BY-NC-4.0")]
}

fn model() -> [Value; 6] {
    let (home, base) = (json!({"name": NAME}), json!({"name": "tiny"}));
    let tune = |name: &str, seed: i32| {
        object(
            "FineTune",
            name,
            json!({
                "baseModelRef": base, "datasetRef": {"name": "songs"}, "deletionPolicy": "Delete",
                "lora": {"rank": 4, "alpha": 8, "targetModules": ["q_proj", "v_proj"]},
                "training": {"maxSteps": 6, "batchSize": 2, "sequenceLength": 24, "learningRate": "0.05", "seed": seed},
                "checkpoint": {"everySteps": 2}, "evaluation": {"prompts": ["w10 w11"]},
            }),
        )
    };
    [
        object(
            "BaseModel",
            "tiny",
            json!({
                "collectiveRef": home, "license": "Apache-2.0",
                "source": {"storageUri": format!("s3://{NAMESPACE}.{NAME}/incoming/tiny/")},
            }),
        ),
        object(
            "Dataset",
            "songs",
            json!({
                "collectiveRef": home, "selector": {}, "baseModelRef": base, "text": {"recordTokens": 64},
                "holdout": {"basisPoints": 1000},
            }),
        ),
        tune("first", 1),
        tune("second", 2),
        object(
            "Deployment",
            NAME,
            json!({
                "fineTuneRef": {"name": "first"},
                "price": {"inputTokensPerMillion": "20", "outputTokensPerMillion": "80"},
            "limits": {"maxInputTokens": 100000, "requestsPerMinute": 1000000, "tokensPerMinute": 1000000000},
            }),
        ),
        object(
            "ApiKey",
            "radio",
            json!({
                "collectiveRef": home, "consumer": "a-radio", "secretRef": {"name": "radio-key"},
            }),
        ),
    ]
}

async fn apply(stage: &Stage, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let kind = &object.types.as_ref().context("an object has a kind")?.kind;
    let api = stage.access().dynamic(kind);
    api.patch(&object.name_any(), &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&object)).await?;
    Ok(())
}

/// Waits until all of these are as they should be.
async fn ready(stage: &Stage, wanted: &[(Kind, &str)]) -> Result<()> {
    until(stage, |items| {
        let find = |id: &(Kind, &str)| items.iter().find(|item| item.id() == *id);
        wanted.iter().all(|id| find(id).is_some_and(Item::is_ready))
    })
    .await
    .with_context(|| format!("waiting for {wanted:?}"))
}

async fn look(stage: &Stage) -> Result<Vec<Item>> {
    items::fetch(&stage.access()).await
}

async fn until(stage: &Stage, wanted: impl Fn(&[Item]) -> bool) -> Result<()> {
    let (began, mut news) = (Instant::now(), stage.gate.news());
    loop {
        news.mark_unchanged();
        let items = look(stage).await?;
        if wanted(&items) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let says = |item: &Item| {
                let main =
                    item.main().map(|main| format!("{} {}: {}", main.status, main.reason, main.message));
                format!("{}/{} {}", item.kind, item.name, main.unwrap_or_else(|| "not looked at".into()))
            };
            bail!(
                "not after {} s: {}",
                PATIENCE.as_secs(),
                items.iter().map(says).collect::<Vec<_>>().join("; ")
            );
        }
        drop(tokio::time::timeout(LOOK, news.changed()).await);
    }
}

/// The Collective's bucket, past the gate.
///
/// # Errors
/// When the Collective has none.
pub async fn store(stage: &Stage) -> Result<Store> {
    let (location, key) = bucket(stage).await?;
    Ok(Store::connect(&location, key))
}

/// Where the Collective's bucket is, past the gate, and its key.
///
/// # Errors
/// When the Collective has none.
pub async fn bucket(stage: &Stage) -> Result<(StorageLocation, Credentials)> {
    let collective: Collective = stage.access().get(NAME).await?;
    let storage = collective.status.and_then(|status| status.storage);
    let storage = storage.context("a ready Collective has storage")?;
    let key = storage::key(&stage.client, NAMESPACE, &storage).await?;
    let StorageStatus { endpoint: _, region, bucket, prefix, secret_name: _ } = storage;
    let endpoint = format!("http://{}", stage.s3);
    Ok((StorageLocation { endpoint, region, bucket, prefix }, key))
}

/// Puts works and model into the bucket.
async fn give(store: &Store) -> Result<()> {
    for (member, first) in [("ann", 0), ("bob", 1), ("cat", 2)] {
        let rows: Vec<String> = (first..90)
            .step_by(3)
            .map(|place| json!({"text": sentence(place * 5, 6 + place % 5)}).to_string())
            .collect();
        store.put(&format!("incoming/{member}.jsonl"), rows.join("\n").into()).await?;
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../trainer-image/crates/models/tests/fixtures/tied");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        store.put_file(&format!("incoming/tiny/{name}"), &folder.join(name)).await?;
    }
    Ok(())
}

/// Words of the tiny model that follow each other like numbers, so that there is something to learn.
fn sentence(first: usize, length: usize) -> String {
    (first..first + length).map(|place| format!("w{}", 3 + place % 58)).collect::<Vec<_>>().join(" ")
}

/// Three requests as a gateway logs them, soon after the month began; returns when the period may be closed. Times are
/// the same in every telling, so that statements are, too.
async fn use_it(stage: &Stage) -> Result<Timestamp> {
    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), NAMESPACE);
    let status = deployments.get(NAME).await?.status.context("a ready Deployment has a status")?;
    let adapter: Digest = status.adapter_digest.context("and an adapter")?.parse()?;
    let month = Timestamp::now().to_zoned(TimeZone::UTC).first_of_month()?.start_of_day()?.timestamp();
    let gateway = "band-gateway-0";
    let mut chain = Chain::genesis(gateway);
    let row = |sequence: u64| UsageRow {
        gateway: gateway.into(),
        sequence,
        time: month + SignedDuration::from_secs(sequence as i64),
        key: "a-key".into(),
        consumer: "a-radio".into(),
        deployment: NAME.into(),
        adapter: Some(adapter),
        input_tokens: 100 * sequence,
        output_tokens: 10,
        price: PriceTag { currency: "EUR".into(), input: "20".into(), output: "80".into() },
        status: UsageStatus::Completed,
    };
    let (header, bytes) = chunk::encode(&mut chain, &[row(1), row(2), row(3)])?;
    let key = layout::usage_chunk(&header.gateway, header.first_sequence, &Digest::of(&bytes));
    store(stage).await?.put(&key, bytes.into()).await?;
    Ok(month + SignedDuration::from_secs(60))
}

/// Closes the period early and waits for its Settlement.
async fn close(stage: &Stage, through: Timestamp) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {ANNOTATION_SETTLE_THROUGH: through.to_string()}}});
    let collectives: Api<Collective> = Api::namespaced(stage.client.clone(), NAMESPACE);
    collectives.patch(NAME, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    until(stage, |items| items.iter().any(|item| item.kind == Kind::Settlement && item.is_ready()))
        .await
        .context("closing the period")
}

/// A work is revoked, a key ended, an adapter that nobody serves deleted with all that it left in the bucket.
async fn leave(stage: &Stage) -> Result<()> {
    let with_bob = built(&look(stage).await?);
    for (kind, name) in [("ApiKey", "radio"), ("Contribution", "bob-songs")] {
        let api = stage.access().dynamic(kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": {"revoked": true}}))).await?;
    }
    ready(stage, &[(Kind::FineTune, "second")]).await?;
    let tunes: Api<cooperator_api::fine_tune::FineTune> = Api::namespaced(stage.client.clone(), NAMESPACE);
    tunes.delete("second", &DeleteParams::background()).await?;
    until(stage, |items| {
        let gone = !items.iter().any(|item| item.id() == (Kind::FineTune, "second"));
        let said = |kind: Kind, name: &str, reason: &str| {
            let item = items.iter().find(|item| item.id() == (kind, name));
            item.and_then(Item::main).is_some_and(|main| main.reason == reason)
        };
        // The version before stays Ready while the next is built.
        let without_bob = built(items).is_some_and(|now| Some(&now) != with_bob.as_ref());
        gone && without_bob
            && said(Kind::ApiKey, "radio", "Revoked")
            && said(Kind::Contribution, "bob-songs", "Revoked")
    })
    .await
    .context("leaving")
}

/// What the Dataset's newest version holds, when no other is being built.
fn built(items: &[Item]) -> Option<String> {
    let dataset = items.iter().find(|item| item.id() == (Kind::Dataset, "songs"))?;
    (dataset.main()?.reason == "Built").then(|| dataset.summary.clone())
}
