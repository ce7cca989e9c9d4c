//! Nodes of the cluster that are lent for work: a driver of the Kubernetes API. None is rented; one is taken by a label and a
//! taint, and given back when both go.
//!
//! The node itself holds who has it, as a member's machine does. What is changed on it is changed as it was read
//! (`resourceVersion`), so that of two claims one takes it: taints are one list to the API server, and to apply ours would
//! take away others'.

use std::time::Duration;

use async_trait::async_trait;
use cooperator_api::names::{
    ANNOTATION_PROVIDER, LABEL_INSTANCE, LABEL_NODE_CLAIM, LABEL_NODE_CLAIM_NAMESPACE, LABEL_NODE_POOL,
    LABEL_VERIFIED_CLAIM, TAINT_RENTED,
};
use cooperator_core::market::Offer;
use cooperator_kit::answer::is_conflict;
use cooperator_providers::own::{asked_for, parse};
use cooperator_providers::{
    Charge, Deleted, Driver, Error, Instance, InstanceId, InstanceName, Order, OwnMachine, Query, State,
    Tenant,
};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::domain::units;

/// What they are called.
const VENDOR: &str = "Static";
/// How often a node is read anew that has changed since it was read.
const TRIES: usize = 4;
/// Where a node is.
const REGION: &str = "topology.kubernetes.io/region";

/// The nodes of one Provider.
pub struct Nodes {
    api: Api<Node>,
    /// Namespace and name of the Provider: others may have nodes of the same cluster.
    provider: String,
    /// Each by the name of its node.
    machines: Vec<OwnMachine>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nodes({}, {} machines)", self.provider, self.machines.len())
    }
}

impl Nodes {
    /// These nodes, for this Provider.
    pub fn new(client: Client, provider: String, machines: Vec<OwnMachine>) -> Self {
        Self { api: Api::all(client), provider, machines }
    }

    async fn node(&self, name: &str) -> Result<Option<Node>, Error> {
        self.api.get_opt(name).await.map_err(unread)
    }

    /// What a node is while somebody has it; of one that is not among the machines any more, what it costs is not known.
    fn instance(&self, node: &Node, taken_by: &InstanceName) -> Instance {
        let name = node.name_any();
        let known = self.machines.iter().find(|machine| machine.name == name);
        let machine = known.cloned().unwrap_or_else(|| OwnMachine {
            name,
            cpu_millis: 0,
            memory_mib: 0,
            gpus: None,
            hourly: cooperator_core::money::PricePerHour::default(),
            address: None,
        });
        machine.instance(taken_by, State::Running, "taken")
    }

    /// Changes a node as it was read, anew if it has changed since. None: `patch` has nothing to change.
    async fn change(
        &self,
        name: &str,
        patch: impl Fn(&Node) -> Result<Option<Value>, Error>,
    ) -> Result<Option<Node>, Error> {
        for _ in 0..TRIES {
            let Some(node) = self.node(name).await? else { return Ok(None) };
            let Some(mut change) = patch(&node)? else { return Ok(Some(node)) };
            change["metadata"]["resourceVersion"] = json!(node.resource_version());
            match self.api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await {
                Ok(node) => return Ok(Some(node)),
                Err(error) if is_conflict(&error) => {}
                Err(kube::Error::Api(status)) if status.code < 500 => {
                    return Err(Error::Refused {
                        vendor: VENDOR,
                        message: format!("Node `{name}`: {status}"),
                    });
                }
                Err(error) => {
                    return Err(Error::Ambiguous {
                        vendor: VENDOR,
                        message: format!("Node `{name}`: {error}"),
                    });
                }
            }
        }
        let message = format!("Node `{name}` changes too often");
        Err(Error::Unavailable { vendor: VENDOR, message })
    }
}

fn unread(error: kube::Error) -> Error {
    Error::Unavailable { vendor: VENDOR, message: format!("the nodes cannot be read: {error}") }
}

/// Who has a node.
pub fn taken_by(node: &Node) -> Option<InstanceName> {
    InstanceName::parse(node.labels().get(LABEL_INSTANCE)?)
}

fn taints(node: &Node) -> Vec<Taint> {
    node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default()
}

/// Whether work can be put on a node that nobody has.
fn is_free(node: &Node) -> bool {
    let spec = node.spec.as_ref();
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|found| found.type_ == "Ready" && found.status == "True");
    // A machine that was rented as a node is its claim's, whoever names it here.
    let is_ours = [LABEL_INSTANCE, LABEL_NODE_CLAIM].iter().any(|label| node.labels().contains_key(*label));
    is_ready && !is_ours && !spec.and_then(|spec| spec.unschedulable).unwrap_or_default()
}

fn disk_gib(node: &Node) -> u64 {
    let status = node.status.as_ref();
    let allocatable = status.and_then(|status| status.allocatable.as_ref()?.get("ephemeral-storage"));
    allocatable.and_then(units).unwrap_or_default() >> 30
}

/// The change that takes a node.
fn take(node: &Node, name: &InstanceName, provider: &str) -> Value {
    let mut all = taints(node);
    all.retain(|taint| taint.key != TAINT_RENTED);
    let value = Some(name.to_string());
    all.push(Taint { key: TAINT_RENTED.into(), value, effect: "NoSchedule".into(), time_added: None });
    json!({
        "metadata": { "labels": { LABEL_INSTANCE: name.to_string() }, "annotations": { ANNOTATION_PROVIDER: provider } },
        "spec": { "taints": all },
    })
}

/// The change that gives it back: nothing of ours stays.
fn give_back(node: &Node) -> Value {
    let mut all = taints(node);
    all.retain(|taint| taint.key != TAINT_RENTED);
    let gone = Value::Null;
    json!({
        "metadata": {
            "labels": {
                LABEL_INSTANCE: gone, LABEL_NODE_CLAIM: gone, LABEL_NODE_CLAIM_NAMESPACE: gone, LABEL_NODE_POOL: gone,
                LABEL_VERIFIED_CLAIM: gone,
            },
            "annotations": { ANNOTATION_PROVIDER: gone },
        },
        "spec": { "taints": all },
    })
}

#[async_trait]
impl Driver for Nodes {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    /// The API server knows at once.
    fn settles_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Those that are ready and that nobody has.
    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let nodes = try_join_all(self.machines.iter().map(|machine| self.node(&machine.name))).await?;
        if nodes.iter().all(Option::is_none) {
            let names: Vec<&str> = self.machines.iter().map(|machine| machine.name.as_str()).collect();
            let message = format!(
                "none of the Nodes in spec.machines exists ({}): name those that do",
                names.join(", ")
            );
            return Err(Error::Refused { vendor: VENDOR, message });
        }
        let offers = self.machines.iter().zip(&nodes).filter_map(|(machine, node)| {
            let node = node.as_ref().filter(|node| is_free(node))?;
            Some(machine.offer(disk_gib(node), node.labels().get(REGION).map_or("", String::as_str)))
        });
        Ok(asked_for(offers.collect(), query))
    }

    /// Takes one. For whoever has it already, that is done.
    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        let (name, id) = (&order.name, &order.offer.id.0);
        let no_capacity = |what: &str| {
            let message = format!("Node `{id}` {what}");
            Error::NoCapacity { vendor: VENDOR, message }
        };
        let changed = self.change(id, |node| match taken_by(node) {
            Some(holder) if holder == *name => Ok(None),
            None if is_free(node) => Ok(Some(take(node, name, &self.provider))),
            _ => Err(no_capacity("is taken, or takes no work")),
        });
        match changed.await? {
            Some(node) => Ok(self.instance(&node, name)),
            None => Err(no_capacity("does not exist")),
        }
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let Some((node, name)) = parse(id) else { return Ok(None) };
        let node = self.node(node).await?.filter(|node| taken_by(node).as_ref() == Some(&name));
        Ok(node.map(|node| self.instance(&node, &name)))
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let (mut all, mut page) =
            (Vec::new(), ListParams::default().labels(LABEL_INSTANCE).limit(cooperator_kit::PAGE));
        loop {
            let list = self.api.list(&page).await.map_err(unread)?;
            for node in &list.items {
                let is_here = node.annotations().get(ANNOTATION_PROVIDER) == Some(&self.provider);
                let Some(name) = taken_by(node).filter(|name| is_here && name.tenant() == tenant) else {
                    continue;
                };
                let hourly = self.machines.iter().find(|machine| machine.name == node.name_any());
                let instance = self.instance(node, &name);
                all.push(Instance { hourly: hourly.map(|machine| machine.hourly), ..instance });
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    /// Gives it back, if it is still that instance's.
    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        if let Some((node, name)) = parse(id) {
            let is_of = |node: &Node| taken_by(node).as_ref() == Some(&name);
            self.change(node, |node| Ok(is_of(node).then(|| give_back(node)))).await?;
        }
        Ok(Deleted::Gone { at: None })
    }

    /// Nobody sends a bill.
    async fn charged(&self, _id: &InstanceId) -> Result<Option<Charge>, Error> {
        Ok(None)
    }
}
