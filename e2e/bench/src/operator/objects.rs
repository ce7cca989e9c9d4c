//! The objects of a Collective that has trained for long: most FineTunes have their adapter, every tenth waits for a
//! Dataset that nobody has made; nothing asks for a run.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use cooperator_cluster::progress::Step;
use cooperator_core::digest::Digest;
use cooperator_faults::stage::Stage;
use cooperator_faults::story::NAME;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::home::{apply, create, member_name, object, set_status};

/// Requests at once.
const AT_ONCE: usize = 16;
/// Members, and works.
const MEMBERS: usize = 10;
/// Deployments, and ApiKeys.
const OTHERS: usize = 5;
/// Every so many FineTunes one waits.
const WAITING: usize = 10;

/// ApiKeys, whose Secrets the operator makes.
pub fn keys() -> Vec<Value> {
    let key = |number| {
        let name = format!("key-{number}");
        let spec =
            json!({"collectiveRef": {"name": NAME}, "consumer": "a-radio", "secretRef": {"name": name}});
        object("ApiKey", &name, &spec)
    };
    (0..OTHERS).map(key).collect()
}

/// Makes all the others.
///
/// # Errors
/// What the API server refuses.
pub async fn make(stage: &Stage, tunes: usize, step: &Step) -> Result<()> {
    for object in [crate::home::collective(MEMBERS), base_model(), dataset()] {
        apply(stage, &object).await?;
    }
    let digest = |of: &str| Digest::of(of.as_bytes()).to_string();
    let model = json!({"digest": digest("model"), "architecture": "Llama", "parameters": 134_515_008});
    set_status(stage, "BaseModel", "tiny", &model).await?;
    let version = json!({"digest": digest("songs"), "inputsDigest": digest("inputs"), "records": 900, "tokens": 40_000});
    set_status(stage, "Dataset", "songs", &version).await?;
    for number in 0..MEMBERS {
        apply(stage, &work(number)).await?;
    }
    for number in 0..OTHERS {
        let spec = json!({"fineTuneRef": {"name": tune_name(number + 1)}, "price": {"inputTokensPerMillion": "0.2"}});
        apply(stage, &object("Deployment", &format!("served-{number}"), &spec)).await?;
    }
    let made = AtomicU64::new(0);
    each(tunes, async |number| {
        create(stage, &fine_tune(number)).await?;
        if number % WAITING != 0 {
            set_status(stage, "FineTune", &tune_name(number), &trained(number)).await?;
        }
        step.at(made.fetch_add(1, Ordering::Relaxed) + 1, tunes as u64);
        Ok(())
    })
    .await
}

/// Takes the conditions of every FineTune away: whoever comes next has to write them.
///
/// # Errors
/// What the API server refuses.
pub async fn without_conditions(stage: &Stage, tunes: usize) -> Result<()> {
    let none = json!({"conditions": []});
    each(tunes, async |number| set_status(stage, "FineTune", &tune_name(number), &none).await).await
}

async fn each(count: usize, act: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
    stream::iter(0..count).map(|number| act(number)).buffer_unordered(AT_ONCE).try_collect().await
}

fn base_model() -> Value {
    let source = json!({"storageUri": format!("s3://band.{NAME}/incoming/tiny/")});
    let spec = json!({"collectiveRef": {"name": NAME}, "license": "Apache-2.0", "source": source});
    object("BaseModel", "tiny", &spec)
}

/// A Dataset that keeps its version: nothing that it selects is there any more.
fn dataset() -> Value {
    let nothing = json!({"matchLabels": {"album": "not-there"}});
    let spec =
        json!({"collectiveRef": {"name": NAME}, "baseModelRef": {"name": "tiny"}, "selector": nothing});
    object("Dataset", "songs", &spec)
}

fn work(number: usize) -> Value {
    let member = member_name(number);
    let spec = json!({
        "collectiveRef": {"name": NAME}, "memberRef": {"name": member}, "license": "CC0-1.0",
        "source": {"storageUri": format!("s3://band.{NAME}/incoming/{member}.jsonl")},
        "grants": [{"use": "GenerativeTraining", "allowed": true}],
    });
    object("Contribution", &format!("{member}-songs"), &spec)
}

fn tune_name(number: usize) -> String {
    format!("tune-{number:05}")
}

fn fine_tune(number: usize) -> Value {
    let dataset = if number.is_multiple_of(WAITING) { "not-made-yet" } else { "songs" };
    let spec = json!({
        "baseModelRef": {"name": "tiny"}, "datasetRef": {"name": dataset},
        "lora": {"rank": 16, "alpha": 32, "targetModules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
        "training": {"maxSteps": 400, "batchSize": 4, "sequenceLength": 512, "learningRate": "2e-4", "seed": number},
        "checkpoint": {"everySteps": 50},
        "evaluation": {
            "prompts": ["Fellow-Citizens of the Senate and House of Representatives:", "The state of the Union is"],
            "gates": [{"metric": "HeldOutLossDrop", "operator": "GreaterThanOrEqual", "value": "0.10"}],
        },
        "compute": {"resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "8Gi"}}},
    });
    let mut tune = object("FineTune", &tune_name(number), &spec);
    tune["metadata"]["labels"] = json!({"team": "songs", "run": format!("r{number}")});
    tune
}

/// The status of a FineTune that was trained in two attempts.
fn trained(number: usize) -> Value {
    let digest = |what: &str| Digest::of(format!("{what}-{number}").as_bytes());
    let name = tune_name(number);
    let attempt = |attempt: u32, reason: &str| {
        json!({
            "number": attempt, "job": format!("{name}-{attempt}"), "tokenSha256": digest(&format!("token-{attempt}")).hex(),
            "startedAt": "2026-11-20T10:00:00Z", "endedAt": "2026-11-20T10:40:00Z", "node": "node-7",
            "reason": reason, "message": "the pod ended",
        })
    };
    let shares: Vec<Value> = (0..MEMBERS)
        .map(|member| json!({"member": member_name(member), "basisPoints": 10_000 / MEMBERS}))
        .collect();
    json!({
        "attempts": [attempt(1, "StorageUnavailable"), attempt(2, "Succeeded")],
        "collective": NAME, "baseModelDigest": Digest::of(b"model").to_string(),
        "datasetDigest": Digest::of(b"songs").to_string(), "cost": {"amount": "0", "currency": "EUR"},
        "adapter": {
            "digest": digest("adapter").to_string(), "bytes": 4_884_480,
            "storageUri": format!("s3://band.{NAME}/adapters/{}/", digest("adapter").hex()),
        },
        "evaluation": {
            "base": {"loss": "3.548", "perplexity": "34.74"}, "adapted": {"loss": "3.299", "perplexity": "27.09"},
            "gates": [{"metric": "HeldOutLossDrop", "value": "0.249", "passed": true}],
        },
        "attribution": shares, "observedGeneration": 1,
    })
}
