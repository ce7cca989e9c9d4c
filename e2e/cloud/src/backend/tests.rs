use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{Backend, Key, Payload, Reporter, Started};
use crate::fault::{Fault, Rule};
use crate::testing::{Tenant, options, seconds};
use crate::vendor::Vendor;
use crate::{Cloud, Options};

/// Writes down what it is told, and keeps who can report.
#[derive(Default)]
struct Recorder {
    said: Mutex<Vec<String>>,
    reporters: Mutex<Vec<Reporter>>,
    /// Whether a start is reported at once, from within.
    at_once: bool,
}

impl Backend for Recorder {
    fn start(&self, started: &Started, reporter: Reporter) {
        let gpus = started.gpus.as_ref().map_or(0, |gpus| gpus.count);
        self.said.lock().unwrap().push(format!("start {} {:?} gpus={gpus}", started.name, started.payload));
        if self.at_once {
            reporter.running(None);
        }
        self.reporters.lock().unwrap().push(reporter);
    }

    fn stop(&self, key: Key) {
        self.said.lock().unwrap().push(format!("stop {key}"));
    }

    fn notice(&self, key: Key, seconds: u64) {
        self.said.lock().unwrap().push(format!("notice {key} {seconds}"));
    }

    fn logs(&self, key: Key) -> Option<String> {
        Some(format!("step 1 of {key}\nstep 2\n"))
    }
}

async fn cloud(recorder: &Arc<Recorder>, faults: Vec<Rule>) -> Cloud {
    let backend: Arc<dyn Backend> = recorder.clone();
    Cloud::start(Options { backend, faults, ..options() }).await.unwrap()
}

fn said(recorder: &Recorder) -> Vec<String> {
    recorder.said.lock().unwrap().clone()
}

async fn create(cloud: &Cloud) -> String {
    let tenant = Tenant::of(cloud, Vendor::Vast);
    let body = json!({ "image": "trainer:1", "label": "coop-a", "env": { "TOKEN": "secret" } });
    tenant.put("/api/v0/asks/101/", body).await.is(200)["new_contract"].to_string()
}

#[tokio::test]
async fn a_machine_begins_runs_when_it_is_reported_and_ends_in_order() {
    let recorder = Arc::new(Recorder::default());
    let cloud = cloud(&recorder, Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Vast);
    let id = create(&cloud).await;
    let path = format!("/api/v0/instances/{id}/");
    cloud.advance(seconds(999));
    assert_eq!(tenant.get(&path).await.is(200)["instances"]["actual_status"], "loading");
    let reporter = recorder.reporters.lock().unwrap()[0].clone();
    reporter.running(Some("10.1.2.3".parse().unwrap()));
    assert_eq!(tenant.get(&path).await.is(200)["instances"]["public_ipaddr"], "10.1.2.3");
    cloud.preempt(Vendor::Vast, &id, Some(30));
    cloud.advance(seconds(30));
    tenant.delete(&path).await.is(200);
    // Too late: it is gone.
    reporter.exited(1);
    reporter.running(None);
    let wanted = ["start coop-a Container(trainer:1) gpus=1", "notice 0 30", "stop 0", "stop 0"];
    assert_eq!(said(&recorder), wanted);
    assert_eq!(cloud.bill(Vendor::Vast, &id).unwrap().unwrap().compute.to_string(), "0.003");
}

#[tokio::test]
async fn a_backend_may_report_from_within_the_call_that_starts() {
    let recorder = Arc::new(Recorder { at_once: true, ..Recorder::default() });
    let cloud = cloud(&recorder, Vec::new()).await;
    let id = create(&cloud).await;
    assert!(cloud.machine(Vendor::Vast, &id).unwrap().unwrap().works);
}

#[tokio::test]
async fn what_ends_by_itself_or_could_not_start_is_shown_so() {
    let recorder = Arc::new(Recorder::default());
    let cloud = cloud(&recorder, Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Vast);
    let (first, second) = (create(&cloud).await, create(&cloud).await);
    let reporters = recorder.reporters.lock().unwrap().clone();
    reporters[0].running(None);
    reporters[0].exited(3);
    reporters[1].failed("no such image");
    for (id, wanted) in [(first, "exited with code 3"), (second, "no such image")] {
        let row = tenant.get(&format!("/api/v0/instances/{id}/")).await.is(200)["instances"].clone();
        assert_eq!((&row["actual_status"], &row["status_msg"]), (&json!("exited"), &json!(wanted)));
    }
}

#[tokio::test]
async fn a_host_that_lies_gives_a_machine_without_the_gpu_it_was_let_for() {
    let recorder = Arc::new(Recorder::default());
    let cloud = cloud(&recorder, vec![Rule::once(Fault::LyingHost)]).await;
    create(&cloud).await;
    assert_eq!(said(&recorder), ["start coop-a Container(trainer:1) gpus=0"]);
}

#[tokio::test]
async fn what_a_machine_prints_is_in_its_logs() {
    let recorder = Arc::new(Recorder::default());
    let cloud = cloud(&recorder, Vec::new()).await;
    let id = create(&cloud).await;
    let tenant = Tenant::of(&cloud, Vendor::Vast);
    let asked =
        tenant.put(&format!("/api/v0/instances/request_logs/{id}"), json!({ "tail": "10" })).await.is(200);
    // The link is enough: object storage asks for no key of the vendor's.
    let stranger = Tenant::at(&cloud.base(Vendor::Vast));
    let path = asked["result_url"].as_str().unwrap().strip_prefix("/vast").unwrap().to_owned();
    assert_eq!(stranger.get(&path).await.text, "step 1 of 0\nstep 2\n");
    stranger.get(&format!("{path}0")).await.is(401);
}

#[test]
fn a_payload_shows_no_secret() {
    let shown = format!("{:?}", Payload::UserData("token: secret".to_owned()));
    assert_eq!(shown, "UserData(13 bytes)");
}
