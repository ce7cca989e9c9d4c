//! A cluster that rents: Providers whose vendors are fakes, and machines that join as nodes when they are told to.

use std::sync::Arc;

use cooperator_api::node_claim::NodeClaim;
use cooperator_core::basis_points::BasisPoints;
use cooperator_core::market::{CapacityType, HostId, Offer, Shape, Terms};
use cooperator_core::money::Amount;
use cooperator_core::time::SignedDuration;
use cooperator_providers::testing::Fake;
use cooperator_telemetry::metrics::Metrics;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::{Cluster, HOME};
use crate::node_claim;
use crate::rent::{Kubelet, Rent, Site};

/// The uid of the cluster.
const CLUSTER: &str = "6f1c2a70-0b1d-4a55-9d0e-1c2f3a4b5c6d";

/// A cluster, what rents for it, and its vendors.
pub struct Renting {
    /// The cluster.
    pub cluster: Cluster,
    /// What rents.
    pub rent: Arc<Rent>,
}

impl Renting {
    /// With a pool `cheap` of the Providers that are added later.
    pub async fn new() -> Self {
        Self::over(Cluster::new().await)
    }

    /// The same over a cluster that is there.
    pub fn over(cluster: Cluster) -> Self {
        cluster.put("v1", "namespaces", json!({ "metadata": { "name": "kube-system", "uid": CLUSTER } }));
        let site = Site {
            api_server: "https://198.51.100.1:6443".to_owned(),
            authority: AUTHORITY.into(),
            kubelet: Some(Kubelet { address: [10, 0, 0, 7].into(), port: 10250 }),
            ..Site::default()
        };
        let rent = Arc::new(Rent::new(cluster.pipeline.clone(), site, &Metrics::new()));
        let renting = Self { cluster, rent };
        renting.pool(json!({}));
        renting
    }

    /// Puts the pool there, its spec changed by `more`.
    pub fn pool(&self, more: Value) {
        let mut spec = json!({
            "collectiveRef": { "name": HOME }, "providerRefs": [{ "name": "one" }, { "name": "other" }], "diskGi": 40,
            "template": { "spec": { "expireAfter": "24h" } }, "limits": { "machines": 4 },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.cluster.coop("nodepools", json!({ "metadata": { "name": "cheap" }, "spec": spec }));
    }

    /// A Provider of this name, whose vendor has these offers: id and price of an hour.
    pub fn provider(&self, name: &str, offers: &[(&str, &str)]) -> Fake {
        self.seller(name, offers, Shape::Machine)
    }

    /// The same of one that has containers alone.
    pub fn container(&self, name: &str, offers: &[(&str, &str)]) -> Fake {
        self.seller(name, offers, Shape::Container)
    }

    fn seller(&self, name: &str, offers: &[(&str, &str)], shape: Shape) -> Fake {
        self.cluster.coop(
            "providers",
            json!({
                "metadata": { "name": name },
                "spec": {
                    "collectiveRef": { "name": HOME }, "type": "Hetzner", "secretRef": { "name": "key" },
                    "timeouts": { "launch": "10m", "registration": "15m", "idle": "24h" },
                },
            }),
        );
        let fake = Fake::new(Arc::new(self.cluster.clock.clone()));
        fake.boots_in(SignedDuration::from_secs(30));
        for (id, price) in offers {
            fake.put_offer(Offer { shape, ..offer(name, id, price) });
        }
        self.rent.drivers.set.lock().unwrap().insert(name.to_owned(), Arc::new(fake.clone()));
        fake
    }

    /// A Provider of this name that lends nodes of these names, at 0.50 an hour; each has a taint of its own.
    pub fn lend(&self, name: &str, nodes: &[&str]) {
        let machine = |node: &&str| json!({ "name": node, "node": node, "pricePerHour": "0.50", "cpu": 4, "memory": "8Gi" });
        self.cluster.coop("providers", json!({
            "metadata": { "name": name },
            "spec": {
                "collectiveRef": { "name": HOME }, "type": "Static", "machines": nodes.iter().map(machine).collect::<Vec<_>>(),
                "timeouts": { "launch": "10m", "registration": "15m", "idle": "24h" },
            },
        }));
        for node in nodes {
            self.cluster.put(
                "v1",
                "nodes",
                json!({
                    "metadata": { "name": node, "labels": { "topology.kubernetes.io/region": "EU" } },
                    "spec": { "taints": [{ "key": "example.org/attic", "effect": "NoSchedule" }] },
                    "status": {
                        "conditions": [{ "type": "Ready", "status": "True" }],
                        "allocatable": { "cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi" },
                    },
                }),
            );
        }
    }

    /// A claim of this name that nobody's work stands behind.
    pub fn claim(&self, name: &str, more: Value) {
        let mut spec = json!({
            "nodePoolRef": { "name": "cheap" }, "diskGi": 40, "expireAfter": "24h",
            "resources": { "requests": { "cpu": "2", "memory": "4Gi" } },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let uid = format!(
            "0a1b2c3d-4e5f-6071-8293-{:012x}",
            name.bytes().fold(7_u64, |sum, byte| sum * 31 + u64::from(byte)) & 0xffff_ffff_ffff
        );
        self.cluster.coop("nodeclaims", json!({ "metadata": { "name": name, "uid": uid }, "spec": spec }));
    }

    /// Reconciles a claim once; an error is a crash. None: it is gone.
    pub async fn pass(&self, name: &str) -> Option<Result<Action, crate::pipeline::Error>> {
        let claim: NodeClaim = self.cluster.find("cooperator.dev/v1alpha1", "nodeclaims", name)?;
        Some(node_claim::reconcile(Arc::new(claim), self.rent.clone()).await)
    }

    /// Reconciles a claim for so many seconds, every five.
    pub async fn run(&self, name: &str, seconds: i64) {
        for _ in 0..seconds / 5 {
            for _ in 0..6 {
                let before = self.cluster.writes().len();
                match self.pass(name).await {
                    None => return,
                    Some(Ok(_)) if self.cluster.writes().len() == before => break,
                    Some(_) => {}
                }
            }
            self.cluster.clock.advance(SignedDuration::from_secs(5));
        }
    }

    /// The claim as it is.
    pub fn read(&self, name: &str) -> NodeClaim {
        self.cluster.read("nodeclaims", name)
    }

    /// Whether the machine of a claim runs.
    pub fn launched(&self, name: &str) -> bool {
        let claim: Option<NodeClaim> = self.cluster.find("cooperator.dev/v1alpha1", "nodeclaims", name);
        let conditions =
            claim.and_then(|claim| claim.status).map(|status| status.conditions).unwrap_or_default();
        conditions.iter().any(|found| found.type_ == "Launched" && found.status == "True")
    }

    /// Lets the machine of a claim join as a node with so much memory.
    pub fn join(&self, name: &str, memory: &str) {
        let claim = self.read(name);
        let node = claim.status.unwrap().node_name.unwrap();
        self.cluster.put("v1", "nodes", json!({
            "metadata": { "name": node, "labels": {
                "cooperator.dev/node-claim": name, "cooperator.dev/node-claim-namespace": HOME } },
            "spec": { "taints": [
                { "key": "cooperator.dev/unverified", "effect": "NoSchedule" },
                { "key": "cooperator.dev/rented", "value": name, "effect": "NoSchedule" } ] },
            "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "allocatable": { "cpu": "4", "memory": memory }, "capacity": { "cpu": "4", "memory": memory },
            },
        }));
    }

    /// The machine of a claim tells that it is powered off.
    pub fn power_off(&self, name: &str) {
        let node = self.read(name).status.unwrap().node_name.unwrap();
        let mut object = self.cluster.find::<serde_json::Value>("v1", "nodes", &node).unwrap();
        let condition = json!({ "type": "PowerOff", "status": "True", "reason": "PowerButton" });
        object["status"]["conditions"].as_array_mut().unwrap().push(condition);
        self.cluster.put("v1", "nodes", object);
    }

    /// Somebody deletes the claim.
    pub async fn delete(&self, name: &str) {
        let api: kube::Api<NodeClaim> = kube::Api::namespaced(self.cluster.pipeline.client.clone(), HOME);
        // A connection that is cut has done what was asked.
        drop(api.delete(name, &kube::api::DeleteParams::default()).await);
    }
}

/// What a vendor bills in all.
pub fn billed(vendor: &Fake) -> Amount {
    Amount::sum(vendor.bill().into_iter().map(|charge| charge.amount)).unwrap()
}

/// Status and reason of a condition of a claim.
pub fn told(claim: &NodeClaim, type_: &str) -> (String, String) {
    let conditions = &claim.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|found| found.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn offer(provider: &str, id: &str, price: &str) -> Offer {
    Offer {
        provider: provider.into(),
        id: id.into(),
        host: Some(HostId(format!("host-of-{id}"))),
        region: "EU".into(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: 4000,
        memory_mib: 8192,
        disk_gib: 100,
        gpus: None,
        gigaflops: None,
        reliability: BasisPoints::new(9900).ok(),
        until: None,
        terms: Terms { hourly: price.parse().unwrap(), ..Terms::default() },
    }
}

/// No authority at all: nothing joins here.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUb2s=\n-----END CERTIFICATE-----\n";
