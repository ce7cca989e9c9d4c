//! Pods that stand for others: a policy knows a pod by namespace and labels alone, so what has these of a run is let and
//! refused what the run is.

use std::collections::BTreeMap;
use std::process::Command;

use cooperator_cluster::command::output;
use cooperator_cluster::{Progress, images, tools};
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cluster::{eventually, kubeconfig};

/// The port that every one of them listens at.
pub const PORT: u16 = 8080;
/// The label by which they are found, to be removed.
const LABEL: &str = "cooperator.dev/probe";
/// Tries each target in turn, a line for each: nothing when it was reached, else why not.
const TRY: &str = "for target in \"$@\"; do \
                   echo \"$(/bin/busybox timeout 4 /bin/busybox nc -w 2 ${target%:*} ${target##*:} </dev/null \
                   2>&1 >/dev/null)\"; done";

/// What a policy knows of a pod.
#[derive(Clone)]
pub struct Probe {
    /// Namespace.
    pub namespace: &'static str,
    /// Name of the probe.
    pub name: &'static str,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// How a try to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The packets passed, whether or not anybody was there.
    Passed,
    /// A policy refused them.
    Refused,
}

/// Probes that run, until they are removed.
pub struct Probes {
    cluster: Cluster,
    probes: Vec<Probe>,
}

impl Probes {
    /// Starts them all.
    pub async fn start(cluster: &Cluster, probes: Vec<Probe>) -> Self {
        let progress = Progress::new();
        let toolbox = images::toolbox(&progress).unwrap();
        let local = cooperator_cluster::Cluster::open(kubeconfig().parent().unwrap()).unwrap();
        local.load(&toolbox).unwrap();
        let started = Self { cluster: cluster.clone(), probes };
        for probe in &started.probes {
            let pod = pod(probe, &toolbox.reference);
            started.pods(probe.namespace).create(&PostParams::default(), &pod).await.unwrap();
        }
        for probe in &started.probes {
            started.address(probe).await;
        }
        started
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), namespace)
    }

    /// The address of one, once it runs.
    pub async fn address(&self, probe: &Probe) -> String {
        let pods = self.pods(probe.namespace);
        let mut address = None;
        eventually(&format!("{}/{} runs", probe.namespace, probe.name), async || {
            let status = pods.get(probe.name).await.unwrap().status.unwrap_or_default();
            address = status.pod_ip.filter(|_| status.phase.as_deref() == Some("Running"));
            address.is_some()
        })
        .await;
        address.unwrap()
    }

    /// What became of a try of each probe to connect to each `host:port`, probes beside each other.
    pub fn tries(&self, targets: &[String]) -> Vec<Vec<Outcome>> {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                self.probes.iter().map(|probe| scope.spawn(move || tries(probe, targets))).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    /// Removes every probe there is, also those that a failed test has left.
    pub async fn remove_all(cluster: &Cluster) {
        let (now, ours) = (DeleteParams::default().grace_period(0), ListParams::default().labels(LABEL));
        let everywhere: Api<Pod> = Api::all(cluster.client.clone());
        eventually("the probes are gone", async || {
            let left = everywhere.list(&ours).await.unwrap().items;
            for pod in &left {
                let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &pod.namespace().unwrap());
                // It may be gone by now, which is what was wanted.
                drop(pods.delete(&pod.name_any(), &now).await);
            }
            left.is_empty()
        })
        .await;
    }
}

fn tries(probe: &Probe, targets: &[String]) -> Vec<Outcome> {
    let mut kubectl: Command = tools::kubectl(&kubeconfig());
    kubectl.args([
        "--namespace",
        probe.namespace,
        "exec",
        probe.name,
        "--",
        "/bin/busybox",
        "sh",
        "-c",
        TRY,
        "sh",
    ]);
    let printed = output("kubectl exec", kubectl.args(targets)).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), targets.len(), "{}: {printed}", probe.name);
    lines.into_iter().map(outcome).collect()
}

/// The enforcer answers what it refuses with an ICMP message of its own; nobody else does. Without a name server there is
/// no address to try.
fn outcome(line: &str) -> Outcome {
    let refused = line.contains("No route to host") || line.contains("bad address");
    if refused { Outcome::Refused } else { Outcome::Passed }
}

/// It is never ready, so no Service leads to it, whatever its labels say.
fn pod(probe: &Probe, image: &str) -> Pod {
    let mut labels = probe.labels.clone();
    labels.insert(LABEL.to_owned(), probe.name.to_owned());
    let mut pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": probe.name, "namespace": probe.namespace},
        "spec": {
            "automountServiceAccountToken": false,
            "readinessGates": [{"conditionType": "cooperator.dev/never"}],
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe", "image": image, "imagePullPolicy": "Never",
                "command": ["/bin/busybox", "httpd", "-f", "-p", PORT.to_string(), "-h", "/etc"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))
    .unwrap();
    *pod.labels_mut() = labels;
    pod
}
