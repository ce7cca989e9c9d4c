//! A Collective with a bucket on a stage, and the operator as a process of its own, without anything between it and the
//! API server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cooperator_api::collective::Collective;
use cooperator_cluster::ports;
use cooperator_cluster::processes::{Life, Processes};
use cooperator_faults::operator::{Reach, command};
use cooperator_faults::stage::Stage;
use cooperator_faults::story::NAME;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// Longest wait for something to come about.
const PATIENCE: Duration = Duration::from_secs(120);
const FIELD_MANAGER: &str = "cooperator-bench";

/// An operator that runs; it ends, and gives its Lease back, when this is dropped.
pub struct Operator {
    processes: Processes,
    name: String,
    /// Its process id.
    pub pid: i32,
    /// Where it answers for its metrics.
    pub metrics: u16,
}

impl Operator {
    /// Starts one in a pod of this name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, stage: &Stage, name: &str) -> Result<Self> {
        let reach = Reach { kubeconfig: stage.kubeconfig.clone(), ..stage.reach()? };
        let processes = Processes::new(&stage.folder.join(name), Life::Tied);
        let [listen, metrics] = ports::free()?;
        let mut operator = command(program, &reach, name, listen, metrics);
        // As the chart does.
        operator.env("_RJEM_MALLOC_CONF", "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0,lg_tcache_max:12");
        let pid = processes.start(name, &operator)?;
        Ok(Self { processes, name: name.to_owned(), pid, metrics })
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.processes.running(&self.name).is_some()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.processes.stop_all(&[]));
    }
}

/// An object of ours.
pub fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "cooperator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// The Collective of a benchmark: its members share what comes in, an hour of a machine costs nothing.
pub fn collective(members: usize) -> Value {
    let members: Vec<Value> = (0..members).map(|member| json!({"name": member_name(member)})).collect();
    object(
        "Collective",
        NAME,
        &json!({
            "members": members,
            "policy": {"baseModelLicenses": ["Apache-2.0"], "contributionLicenses": ["CC0-1.0"]},
            "treasury": {
                "currency": "EUR", "decimals": 6,
                "split": [{"name": "works", "basisPoints": 10000, "by": "Contribution"}],
            },
        }),
    )
}

/// Name of the n-th member.
pub fn member_name(member: usize) -> String {
    format!("member-{member:02}")
}

/// Applies an object in the stage's namespace.
///
/// # Errors
/// What the API server refuses.
pub async fn apply(stage: &Stage, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let kind = object.types.clone().context("an object has a kind")?.kind;
    let name = object.name_any();
    let api = stage.access().dynamic(&kind);
    let applied = api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await;
    applied.map(drop).with_context(|| format!("{kind} {name}"))
}

/// Makes an object of a kind in the stage's namespace.
///
/// # Errors
/// What the API server refuses.
pub async fn create(stage: &Stage, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let kind = object.types.clone().context("an object has a kind")?.kind;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let made = stage.access().dynamic(&kind).create(&params, &object).await;
    made.map(drop).with_context(|| format!("{kind} {}", object.name_any()))
}

/// Sets fields of an object's status.
///
/// # Errors
/// What the API server refuses.
pub async fn set_status(stage: &Stage, kind: &str, name: &str, status: &Value) -> Result<()> {
    let api = stage.access().dynamic(kind);
    let patch = Patch::Merge(json!({"status": status}));
    let set = api.patch_status(name, &PatchParams::default(), &patch).await;
    set.map(drop).with_context(|| format!("status of {kind} {name}"))
}

/// Has an operator make the bucket of a new Collective; it is gone again afterwards.
///
/// # Errors
/// When the storage does not become ready.
pub async fn with_bucket(stage: &Stage, operator: &Path, objects: &[Value]) -> Result<()> {
    let running = Operator::start(operator, stage, "operator-home")?;
    apply(stage, &collective(3)).await?;
    for object in objects {
        apply(stage, object).await?;
    }
    until("the Collective has its storage", async || {
        let home: Collective = stage.access().get(NAME).await?;
        Ok(home.status.is_some_and(|status| {
            let conditions = &status.conditions;
            conditions.iter().any(|found| found.type_ == "StorageReady" && found.status == "True")
        }))
    })
    .await?;
    for object in objects {
        let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str());
        let api = stage.access().dynamic(kind.unwrap_or_default());
        until("the objects are ready", async || {
            let object = api.get(name.unwrap_or_default()).await?;
            Ok(is_true(&object.data, "Ready"))
        })
        .await?;
    }
    drop(running);
    Ok(())
}

/// Whether an object has a condition that is True.
pub fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|found| found["type"] == condition && found["status"] == "True")
}

/// Waits until it is so.
///
/// # Errors
/// When it never is, or cannot be asked.
pub async fn until(what: &str, is_so: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so().await? {
        if began.elapsed() > PATIENCE {
            bail!("not after {} s: {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
