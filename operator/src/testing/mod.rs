//! An API server in memory, for tests: objects with resourceVersions, server-side apply of status, deletion, and a
//! switch that cuts the connection after the n-th write, which is how an operator looks that was killed there.

mod api;
mod control;
pub mod market;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use cooperator_contract::outcome::Outcome;
use cooperator_core::time::{Clock as _, TestClock};
use cooperator_store::Credentials;
use cooperator_store::testing::Server;
use kube::Client;
use kube::runtime::events::Reporter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::events::Events;
use crate::pipeline::Pipeline;
use crate::runs::Site;

/// The namespace and Collective of every test.
pub const HOME: &str = "presidents";
/// The time at which every test begins.
pub const START: &str = "2026-11-24T12:00:00Z";

#[derive(Default)]
struct World {
    objects: BTreeMap<String, Value>,
    managed: BTreeMap<(String, String), Vec<String>>,
    version: u64,
    writes: Vec<String>,
    events: Vec<String>,
    cut_after: Option<usize>,
    removed_kinds: Vec<String>,
}

/// An API server and an object store.
pub struct Cluster {
    world: Arc<Mutex<World>>,
    /// The object store behind it.
    pub storage: Server,
    /// The time.
    pub clock: TestClock,
    /// What reconciles are given.
    pub pipeline: Arc<Pipeline>,
}

impl Cluster {
    /// Empty but for the Collective of [`HOME`], its storage ready.
    pub async fn new() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let (service, handle) = tower_test::mock::pair();
        tokio::spawn(api::serve(handle, world.clone()));
        let client = Client::new(service, HOME);
        let clock = TestClock::new(START.parse().unwrap());
        let storage = Server::start_at(Arc::new(clock.clone())).await;
        storage.trust(&Credentials::new("id", "key"));
        let reporter = Reporter { controller: "test".into(), instance: None };
        let pipeline = Arc::new(Pipeline {
            events: Events::new(client.clone(), reporter),
            client,
            site: Site {
                trainer_image: "trainer:1".into(),
                pull_policy: "IfNotPresent".into(),
                operator_image: "operator:1".into(),
                progress_url: Some("http://operator:8080".into()),
                rented_progress_url: None,
                rents: true,
                otlp_endpoint: None,
            },
            clock: Arc::new(clock.clone()),
            listening_since: clock.now(),
        });
        let cluster = Self { world, storage, clock, pipeline };
        cluster.put(
            "v1",
            "secrets",
            json!({
                "metadata": { "name": "presidents-storage" },
                "data": { "AWS_ACCESS_KEY_ID": "aWQ=", "AWS_SECRET_ACCESS_KEY": "a2V5" },
            }),
        );
        let location = cluster.storage.location(HOME);
        cluster.coop(
            "collectives",
            json!({
                "metadata": { "name": HOME },
                "spec": {
                    "members": [{ "name": "grant" }, { "name": "lincoln" }],
                    "policy": {
                        "baseModelLicenses": ["Apache-2.0"],
                        "contributionLicenses": ["CC0-1.0", "PDDL-1.0"],
                        "requiredGrants": ["GenerativeTraining"],
                    },
                    "treasury": {
                        "currency": "USD", "decimals": 2, "settlementPeriod": "Monthly", "closeAfter": "24h",
                        "pricePerNodeHour": "0.60",
                        "split": [{ "name": "works", "basisPoints": 10000, "by": "Contribution" }],
                    },
                },
                "status": {
                    "conditions": [condition("StorageReady", "True")],
                    "storage": {
                        "endpoint": location.endpoint, "region": location.region, "bucket": location.bucket,
                        "prefix": location.prefix, "secretName": "presidents-storage",
                    },
                },
            }),
        );
        cluster
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Puts an object of ours there, or changes it, behind the operator's back.
    pub fn coop(&self, plural: &str, object: Value) {
        self.put("cooperator.dev/v1alpha1", plural, object);
    }

    /// Puts any object there.
    pub fn put(&self, api_version: &str, plural: &str, mut object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = api::path(api_version, plural, Some(&name));
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(api::kind(plural));
        let mut world = self.world();
        let before = world.objects.get(&path).cloned();
        api::stamp(&mut world, &mut object, before.as_ref());
        world.objects.insert(path, object);
    }

    /// An object of ours as it is.
    pub fn read<K: DeserializeOwned>(&self, plural: &str, name: &str) -> K {
        self.find("cooperator.dev/v1alpha1", plural, name).unwrap_or_else(|| panic!("no {plural}/{name}"))
    }

    /// Any object, if it is there.
    pub fn find<K: DeserializeOwned>(&self, api_version: &str, plural: &str, name: &str) -> Option<K> {
        let object = self.world().objects.get(&api::path(api_version, plural, Some(name))).cloned()?;
        Some(serde_json::from_value(object).unwrap())
    }

    /// Any object of a collection by its path.
    pub fn at<K: DeserializeOwned>(&self, folder: &str, name: &str) -> Option<K> {
        let object = self.world().objects.get(&format!("{folder}/{name}")).cloned()?;
        Some(serde_json::from_value(object).unwrap())
    }

    /// Puts any object into a collection by its path.
    pub fn put_at(&self, folder: &str, object: Value) {
        let path = format!("{folder}/{}", object["metadata"]["name"].as_str().unwrap());
        self.world().objects.insert(path, object);
    }

    /// Changes an object as `change` says.
    pub fn edit<K: DeserializeOwned + Serialize>(
        &self,
        plural: &str,
        name: &str,
        change: impl FnOnce(&mut K),
    ) {
        let mut object: K = self.read(plural, name);
        change(&mut object);
        self.coop(plural, serde_json::to_value(object).unwrap());
    }

    /// Takes an object away.
    pub fn remove(&self, api_version: &str, plural: &str, name: &str) {
        self.world().objects.remove(&api::path(api_version, plural, Some(name)));
    }

    /// Names of the objects of a kind, sorted.
    pub fn names(&self, api_version: &str, plural: &str) -> Vec<String> {
        let folder = format!("{}/", api::path(api_version, plural, None));
        self.world().objects.keys().filter_map(|path| path.strip_prefix(&folder)).map(str::to_owned).collect()
    }

    /// Takes the definition of a kind away: paths with this plural are unknown from now on.
    pub fn remove_kind(&self, plural: &str) {
        self.world().removed_kinds.push(plural.to_owned());
    }

    /// Ends a Job as its kubelet would.
    pub fn finish(&self, job: &str, outcome: &Outcome) {
        let (type_, code) = match outcome {
            Outcome::Succeeded { .. } => ("Complete", 0),
            Outcome::Failed { reason, .. } => ("Failed", i32::from(reason.exit_code())),
        };
        let now = cooperator_core::time::Clock::now(&self.clock).to_string();
        let mut object: Value = self.find("batch/v1", "jobs", job).unwrap_or_else(|| panic!("no job {job}"));
        object["status"] = json!({ "conditions": [
            { "type": type_, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": now }] });
        self.put("batch/v1", "jobs", object);
        self.put("v1", "pods", json!({
            "metadata": { "name": format!("{job}-x"), "labels": { "batch.kubernetes.io/job-name": job } },
            "spec": { "nodeName": "node0", "containers": [] },
            "status": { "containerStatuses": [{
                "name": "run", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "terminated": { "exitCode": code, "message": outcome.to_termination_message() } },
            }] },
        }));
    }

    /// Every write so far, `VERB plural/name`, without events.
    pub fn writes(&self) -> Vec<String> {
        self.world().writes.clone()
    }

    /// Reasons of all events so far, each written `Type Reason`, and `again` if it is a count of one before.
    pub fn events(&self) -> Vec<String> {
        self.world().events.clone()
    }

    /// Cuts the connection once, right after the n-th write from now (1: the next) has been done.
    pub fn cut_after(&self, writes: usize) {
        let mut world = self.world();
        world.cut_after = Some(world.writes.len() + writes);
    }

    /// Whether the cut asked for has come.
    pub fn was_cut(&self) -> bool {
        self.world().cut_after.is_none()
    }
}

/// A condition as status holds it.
pub fn condition(type_: &str, status: &str) -> Value {
    json!({ "type": type_, "status": status, "reason": "Test", "message": "", "lastTransitionTime": START })
}

/// Reconciles an object until a pass writes nothing; a pass that fails is a crash, and another operator goes on.
#[macro_export]
macro_rules! settle {
    ($cluster:expr, $kind:ty, $plural:expr, $name:expr, $reconcile:path) => {{
        let mut silent = false;
        for _ in 0..40 {
            let before = $cluster.writes().len();
            let object = std::sync::Arc::new($cluster.read::<$kind>($plural, $name));
            let done = $reconcile(object, $cluster.pipeline.clone()).await;
            if done.is_ok() && $cluster.writes().len() == before {
                silent = true;
                break;
            }
        }
        assert!(silent, "never silent: {:?}", $cluster.writes());
    }};
}
