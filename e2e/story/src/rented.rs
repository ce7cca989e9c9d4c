//! The story of `examples/rented`: the presidents have no machine. One is rented for a training, its host takes it back in the
//! midst, the training goes on at another vendor, and what both cost is recovered before anybody is paid.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cooperator_api::fine_tune::{FineTune, RentedMachine};
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_cloud::Vendor;
use cooperator_cloud::world::{Machine, Rules};
use cooperator_cluster::progress::Progress;
use cooperator_contract::settle::Statement;
use cooperator_core::market::ExchangeRate;
use cooperator_core::money::Amount;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::{PRESIDENTS, ask, settle, wait};

/// The FineTune of the story, and the one of the presidents that trains the same without an interruption.
pub const RENTED: &str = "addresses-rented";
const UNINTERRUPTED: &str = "addresses-v1";
/// The step after whose checkpoint the machine is taken back.
const INTERRUPTED_AT: u64 = 10;
/// Seconds that it is told before.
const NOTICE: u64 = 120;
/// How long machines have to be gone once nobody needs them.
const PATIENCE: Duration = Duration::from_secs(300);

/// What happened.
#[derive(Debug)]
pub struct Told {
    /// The FineTune as it ended.
    pub fine_tune: FineTune,
    /// Digest of its adapter, and of the one that was trained without an interruption.
    pub digests: [String; 2],
    /// What each machine cost.
    pub costs: Vec<Cost>,
    /// The closed period.
    pub statement: Statement,
}

/// The local cloud, as whoever owns it sees it.
pub struct Cloud {
    url: String,
    http: reqwest::Client,
}

impl Cloud {
    /// The cloud at this URL.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), http: reqwest::Client::new() }
    }

    /// All machines it ever let, or those that cost still.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn machines(&self, alive: bool) -> Result<Vec<Machine>> {
        let url = format!("{}/control/machines?alive={alive}", self.url);
        let answer = self.http.get(&url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Takes a machine back, so many seconds after it was told.
    ///
    /// # Errors
    /// When there is none of this id.
    pub async fn take_back(&self, machine: &Machine, notice: u64) -> Result<()> {
        let url = format!("{}/control/machines/{}/{}/preempt", self.url, machine.vendor, machine.id);
        self.http.post(&url).json(&json!({"noticeSeconds": notice})).send().await?.error_for_status()?;
        Ok(())
    }
}

/// Tells it, on a cluster where the presidents' own story was told and machines of `cloud` may be rented.
///
/// # Errors
/// The first step that fails, with what the cluster says about it and how to go on.
pub async fn tell(cluster: &Cluster, examples: &Path, cloud: &Cloud, progress: &Progress) -> Result<Told> {
    prepare(cluster, examples, cloud, progress).await?;
    cluster.apply(&examples.join("rented/finetune.yaml")).await?;
    let overhead = first_step(cluster, progress).await?;
    if let Some(seconds) = overhead {
        progress.say(&format!("    {seconds:.1} s from the machine's being ready to the first step"));
    }
    interrupt(cluster, cloud, progress).await?;
    let fine_tune: FineTune = wait::ready(cluster, RENTED, progress).await?;
    all_gone(cloud, progress).await?;
    let fine_tune = accounted(cluster, fine_tune, progress).await?;
    let costs = costs(cluster, cloud, &fine_tune).await?;
    say_costs(&costs, progress);
    let digests = [digest(&fine_tune)?, digest(&get(cluster, UNINTERRUPTED).await?)?];
    progress.say(&format!("    adapter {} | uninterrupted {}", digests[0], digests[1]));
    ask::ask(cluster, progress).await?;
    let statement = settle::close(cluster, progress).await?;
    Ok(Told { fine_tune, digests, costs, statement })
}

/// Whom may be rented from, and for how much.
///
/// # Errors
/// When a vendor does not answer.
pub async fn prepare(cluster: &Cluster, examples: &Path, cloud: &Cloud, progress: &Progress) -> Result<()> {
    let folder = examples.join("rented");
    for vendor in [Vendor::Vast, Vendor::Lambda, Vendor::Hetzner] {
        put_key(cluster, vendor).await?;
    }
    let to_cloud = |object: &mut DynamicObject| {
        let endpoint = format!("{}/{}", cloud.url, object.name_any());
        object.data["spec"]["endpoint"] = endpoint.into();
        // The local cloud bills at once.
        object.data["spec"]["timeouts"] = json!({"billing": "30s"});
    };
    cluster.apply_with(&folder.join("providers.yaml"), to_cloud).await?;
    cluster.apply(&folder.join("nodepool.yaml")).await?;
    for vendor in [Vendor::Vast, Vendor::Lambda, Vendor::Hetzner] {
        let _: Provider = wait::ready(cluster, vendor.prefix(), progress).await?;
    }
    let _: NodePool = wait::ready(cluster, "machines", progress).await?;
    Ok(())
}

/// Seconds from the moment when its machine was ready to the first step of the training. None: that was before.
async fn first_step(cluster: &Cluster, progress: &Progress) -> Result<Option<f64>> {
    let claims: Api<NodeClaim> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let is_underway = |value: &Value| {
        value["status"]["progress"]["step"].as_u64().is_some_and(|step| step >= 1)
            || value["status"]["adapter"].is_object()
    };
    let tune: FineTune = wait::until(cluster, RENTED, progress, is_underway).await?;
    let now = Timestamp::now();
    let attempts = tune.status.unwrap_or_default().attempts;
    let [only] = attempts.as_slice() else { return Ok(None) };
    let Some(name) = &only.node_claim else { return Ok(None) };
    let Some(status) = claims.get_opt(name).await?.and_then(|claim| claim.status) else { return Ok(None) };
    let ready = status.conditions.iter().find(|found| found.type_ == "Ready" && found.status == "True");
    Ok(ready.map(|ready| now.duration_since(ready.last_transition_time.0).as_secs_f64()))
}

/// The key of an account with a vendor, as somebody pastes it into a Secret.
async fn put_key(cluster: &Cluster, vendor: Vendor) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": vendor.prefix()},
        "stringData": {"apiKey": vendor.default_key()},
    });
    let apply = PatchParams::apply("cooperator-story").force();
    secrets.patch(vendor.prefix(), &apply, &Patch::Apply(&secret)).await?;
    Ok(())
}

/// Takes back the first machine once it has written a checkpoint. A training that is further is left alone.
async fn interrupt(cluster: &Cluster, cloud: &Cloud, progress: &Progress) -> Result<()> {
    let is_underway = |value: &Value| {
        let step = value["status"]["progress"]["step"].as_u64().unwrap_or(0);
        let attempts = value["status"]["attempts"].as_array().map_or(0, Vec::len);
        attempts > 1 || step > INTERRUPTED_AT || value["status"]["adapter"].is_object()
    };
    let tune: FineTune = wait::until(cluster, RENTED, progress, is_underway).await?;
    let status = tune.status.unwrap_or_default();
    if status.attempts.len() > 1 || status.adapter.is_some() {
        return Ok(());
    }
    let machines = cloud.machines(true).await?;
    let [machine] = machines.as_slice() else {
        anyhow::bail!("one machine should run for {RENTED}; the cloud knows {}", machines.len());
    };
    let step = status.progress.and_then(|progress| progress.step).unwrap_or_default();
    progress.say(&format!(
        "    {} takes its machine {} back in {NOTICE} s; the training is at step {step}",
        machine.vendor, machine.id
    ));
    cloud.take_back(machine, NOTICE).await
}

async fn all_gone(cloud: &Cloud, progress: &Progress) -> Result<()> {
    let step = progress.step("Machines that cost still", None);
    let began = tokio::time::Instant::now();
    loop {
        let alive = cloud.machines(true).await?;
        if alive.is_empty() {
            step.done();
            return Ok(());
        }
        step.note(&format!("{}", alive.len()));
        ensure!(began.elapsed() < PATIENCE, "after {PATIENCE:?} these are let still: {alive:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until what each machine of a FineTune cost is final.
///
/// # Errors
/// When it is not for long.
pub async fn accounted(cluster: &Cluster, tune: FineTune, progress: &Progress) -> Result<FineTune> {
    let is_final = |value: &Value| {
        value["status"]["machines"]
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(|machine| machine["final"] == true))
    };
    wait::until(cluster, &tune.name_any(), progress, is_final).await
}

/// What a rented machine cost, in the treasury's currency.
#[derive(Clone, Debug)]
pub struct Cost {
    /// What status says of it.
    pub machine: RentedMachine,
    /// By our ledger, as status says it.
    pub counted: Amount,
    /// By the vendor's true bill.
    pub billed: Amount,
    /// What the ledger may be above the bill: one more of the units that the vendor counts in, where it tells neither a bill
    /// nor when it ceased to count. Nobody else can then know on which side of a minute a machine's end fell.
    pub unit: Amount,
}

impl Cost {
    fn check(&self) -> Result<()> {
        let Self { machine, counted, billed, unit } = self;
        ensure!(
            billed <= counted && *counted <= billed.plus(*unit)?,
            "{} {}: the ledger says {counted}, the bill {billed}; it may be {unit} more and nothing less",
            machine.provider,
            machine.instance
        );
        Ok(())
    }
}

/// Seconds that a vendor counts as one, of those that tell no bill; 0 of those that do.
fn unit(vendor: Vendor) -> u64 {
    let Rules { granularity, tells_bill, .. } = Rules::of(vendor);
    if tells_bill { 0 } else { granularity.paid(1) }
}

/// What each machine of a FineTune cost, held against the vendor's bill.
///
/// # Errors
/// When the cloud never let one of them, or our ledger and the bill disagree.
pub async fn costs(cluster: &Cluster, cloud: &Cloud, tune: &FineTune) -> Result<Vec<Cost>> {
    let truth = cloud.machines(false).await?;
    let providers: Api<Provider> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let mut costs = Vec::new();
    for machine in tune.status.clone().unwrap_or_default().machines {
        let provider = providers.get(&machine.provider).await?;
        let rate: ExchangeRate = provider.spec.exchange_rate.as_deref().unwrap_or("1").parse()?;
        // `<vendor>://<its id>`
        let id = machine.instance.rsplit_once("://").map_or(machine.instance.as_str(), |(_, id)| id);
        let found = truth.iter().find(|one| one.id == id);
        let found = found
            .with_context(|| format!("the cloud never let {} {}", machine.provider, machine.instance))?;
        let cost = Cost {
            counted: machine.cost.parse()?,
            billed: rate.amount(found.bill.total()?)?,
            unit: rate.amount(found.hourly.amount(unit(found.vendor))?)?,
            machine,
        };
        cost.check()?;
        costs.push(cost);
    }
    Ok(costs)
}

fn say_costs(costs: &[Cost], progress: &Progress) {
    progress.say("    provider  instance                          offer                      USD/h    seconds  cost        billed");
    for Cost { machine, billed, .. } in costs {
        progress.say(&format!(
            "    {:<9} {:<33} {:<26} {:<8} {:>7}  {:<11} {billed}",
            machine.provider,
            machine.instance,
            machine.offer,
            machine.price_per_hour,
            machine.seconds,
            machine.cost
        ));
    }
}

async fn get(cluster: &Cluster, name: &str) -> Result<FineTune> {
    Ok(Api::namespaced(cluster.client.clone(), PRESIDENTS).get(name).await?)
}

fn digest(tune: &FineTune) -> Result<String> {
    let adapter = tune.status.as_ref().and_then(|status| status.adapter.as_ref());
    Ok(adapter.with_context(|| format!("{} has no adapter", tune.name_any()))?.digest.clone())
}
