//! What a cluster's own controllers do with Jobs, as far as tests need it: a Job gets one pod, bound to the node that it asks
//! for; it ends as its pod does; and one that is deleted waits until its pod is gone.

use cooperator_core::time::{Clock as _, SignedDuration, Timestamp, later};
use serde_json::{Value, json};

use super::Cluster;

/// Seconds that a deleted pod of ours has.
const GRACE: SignedDuration = SignedDuration::from_secs(120);

impl Cluster {
    /// One pass over every Job.
    pub fn control(&self) {
        for name in self.names("batch/v1", "jobs") {
            let job: Value = self.find("batch/v1", "jobs", &name).unwrap();
            let pod: Option<Value> = self.find("v1", "pods", &pod_of(&name));
            if job["metadata"]["deletionTimestamp"].is_string() {
                self.dissolve(&name, pod);
            } else if job["status"]["conditions"].is_null() {
                self.drive(job, pod);
            }
        }
    }

    /// Somebody deletes the pod of a Job: it has its grace.
    pub fn delete_pod(&self, job: &str) {
        let mut pod: Value = self.find("v1", "pods", &pod_of(job)).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!(later(self.clock.now(), GRACE).to_string());
        self.put("v1", "pods", pod);
    }

    /// The pod of a Job.
    pub fn pod(&self, job: &str) -> Option<Value> {
        self.find("v1", "pods", &pod_of(job))
    }

    fn dissolve(&self, name: &str, pod: Option<Value>) {
        match pod {
            None => self.remove("batch/v1", "jobs", name),
            Some(pod) if ended(&pod).is_some() => self.remove("v1", "pods", &pod_of(name)),
            Some(pod) if pod["metadata"]["deletionTimestamp"].is_null() => self.delete_pod(name),
            Some(_) => {}
        }
    }

    fn drive(&self, mut job: Value, pod: Option<Value>) {
        let end = match &pod {
            Some(pod) => ended(pod),
            None if job["status"]["active"].is_number() => Some("Failed"),
            None => return self.bind(job),
        };
        let Some(end) = end else { return };
        let now: Timestamp = self.clock.now();
        job["status"] = json!({ "conditions": [{
            "type": end, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": now.to_string() }] });
        self.put("batch/v1", "jobs", job);
    }

    /// Makes the pod, once a node has the labels it asks for.
    fn bind(&self, mut job: Value) {
        let name = job["metadata"]["name"].as_str().unwrap().to_owned();
        let template = job["spec"]["template"].clone();
        let wanted = template["spec"]["nodeSelector"].as_object().cloned().unwrap_or_default();
        let fits = |node: &String| {
            let node: Value = self.find("v1", "nodes", node).unwrap();
            wanted.iter().all(|(label, value)| node["metadata"]["labels"][label] == *value)
        };
        let Some(node) = self.names("v1", "nodes").into_iter().find(fits) else { return };
        let (mut labels, mut spec) = (template["metadata"]["labels"].clone(), template["spec"].clone());
        labels["batch.kubernetes.io/job-name"] = json!(name);
        spec["nodeName"] = json!(node);
        let bound = super::condition("PodScheduled", "True");
        self.put("v1", "pods", json!({
            "metadata": { "name": pod_of(&name), "labels": labels, "creationTimestamp": self.clock.now().to_string() },
            "spec": spec, "status": { "phase": "Pending", "conditions": [bound] },
        }));
        job["status"] = json!({ "active": 1 });
        job["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        self.put("batch/v1", "jobs", job);
    }
}

fn pod_of(job: &str) -> String {
    format!("{job}-x")
}

/// How its Job ends with it.
fn ended(pod: &Value) -> Option<&'static str> {
    match pod["status"]["phase"].as_str() {
        Some("Succeeded") => Some("Complete"),
        Some("Failed") => Some("Failed"),
        _ => None,
    }
}
