use cooperator_core::market::{Granularity, Shape};

use super::*;
use crate::http::stub::{NAME, Reply, Stub, json, order, tenant};

/// A model as the API gives it, with fields that nobody reads.
const GPU: &str = r#"{"id":"NVIDIA GeForce RTX 4090","name":"RTX 4090","pool":"ADA_24","manufacturer":"NVIDIA","memory":24,
    "secure":true,"community":true,"price":{"secure":0.69,"community":0.343434343,"serverless":1.1},
    "maxCount":{"secure":8,"community":2},"availability":"HIGH","dataCenters":[
    {"id":"US-TX-3","name":"Texas","availability":"HIGH"},{"id":"EU-RO-1","name":"Romania","availability":"NONE"}]}"#;
const OFFER: &str = "SECURE/2/US-TX-3/NVIDIA GeForce RTX 4090";

async fn runpod(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (RunPod, Stub) {
    let stub = Stub::start(answer).await;
    (RunPod { client: stub.client(VENDOR) }, stub)
}

async fn answering(status: u16, body: impl Into<String>) -> RunPod {
    let body = body.into();
    runpod(move |_| json(status, body.clone())).await.0
}

fn id(text: &str) -> InstanceId {
    InstanceId(text.to_owned())
}

fn pod(name: &str, status: &str) -> String {
    format!(
        r#"{{"id":"pod_1","name":"{name}","status":"{status}","cost":0.69,"createdAt":"2026-11-29T11:00:00Z",
        "startedAt":"2026-11-29T11:01:00Z","runtime":{{"uptime":5,"ports":[{{"private":22,"public":null,"ip":null}},
        {{"private":8888,"public":43210,"type":"tcp","ip":"203.0.113.8"}}]}}}}"#
    )
}

fn problem(status: u16, detail: &str) -> String {
    format!(r#"{{"title":"Title","status":{status},"detail":"{detail}","errors":["$: a rule"]}}"#)
}

#[tokio::test]
async fn each_cloud_is_an_offer_at_the_price_of_all_its_gpus() {
    let (runpod, stub) = runpod(|_| json(200, format!(r#"{{"gpus":[{GPU}]}}"#))).await;
    let query = Query { gpus: 2, disk_gib: 50, ..Query::default() };
    let offers = runpod.offers(&query).await.unwrap();
    let [secure, community] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!((secure.id.0.as_str(), secure.region.as_str()), (OFFER, "US-TX-3"));
    assert_eq!(community.id.0, "COMMUNITY/2//NVIDIA GeForce RTX 4090");
    assert_eq!(secure.terms.hourly.to_string(), "1.38");
    assert_eq!(community.terms.hourly.to_string(), "0.68687"); // 2 * 0.343435
    assert_eq!((secure.terms.disk_month_micros, secure.terms.granularity), (100_000, Granularity::Second));
    let gpus = secure.gpus.as_ref().unwrap();
    assert_eq!((gpus.model.as_str(), gpus.count, gpus.memory_mib), ("rtx-4090", 2, 24 * 1024));
    assert_eq!((secure.shape, secure.cpu_millis, secure.memory_mib), (Shape::Container, 4000, 16 * 1024));
    assert_eq!(stub.lines(), ["GET /catalog/gpus?include=AVAILABILITY&product=POD&count=2"]);
}

#[tokio::test]
async fn what_a_cloud_has_not_is_no_offer() {
    for (from, to, left) in [
        (r#""availability":"HIGH","data"#, r#""availability":"NONE","data"#, 0),
        (r#""secure":true"#, r#""secure":false"#, 1),
        (r#""secure":0.69"#, r#""secure":0"#, 1),
        (r#""maxCount":{"secure":8,"community":2}"#, r#""maxCount":{"secure":8,"community":1}"#, 1),
    ] {
        let gpu = GPU.replace(from, to);
        assert_ne!(gpu, GPU);
        let runpod = answering(200, format!(r#"{{"gpus":[{gpu}]}}"#)).await;
        let query = Query { gpus: 2, ..Query::default() };
        assert_eq!(runpod.offers(&query).await.unwrap().len(), left, "{to}");
    }
    for body in ["{}", r#"{"gpus":[{"id":1}]}"#, r#"{"gpus":{}}"#] {
        assert_eq!(
            answering(200, body).await.offers(&Query::default()).await.unwrap_err().kind(),
            "Malformed"
        );
    }
}

#[tokio::test]
async fn a_pod_is_ordered_by_name_cloud_and_data_centre() {
    let (runpod, stub) = runpod(|_| json(201, pod(NAME, "PROVISIONING"))).await;
    let made = runpod.create(&order(OFFER, Shape::Container)).await.unwrap();
    assert_eq!((made.id, made.state, made.name.to_string()), (id("pod_1"), State::Pending, NAME.to_owned()));
    let seen = stub.seen().remove(0);
    assert_eq!(seen.line, "POST /pods");
    assert_eq!(
        seen.body,
        serde_json::json!({
            "name": NAME,
            "image": "registry.example/trainer:1",
            "args": r"run 'it'\''s one'",
            "env": { "RUN_TOKEN": "very-secret-token" },
            "disk": 40,
            "gpu": { "id": "NVIDIA GeForce RTX 4090", "count": 2 },
            "cloud": "SECURE",
            "dataCenterIds": ["US-TX-3"],
        })
    );
}

#[tokio::test]
async fn an_order_that_it_cannot_take_is_refused_before_it_is_sent() {
    let (runpod, stub) = runpod(|_| json(201, "{}")).await;
    let mut crowded = order(OFFER, Shape::Container);
    let environment = (0..51).map(|number| (number.to_string(), String::new())).collect();
    crowded.payload =
        crate::driver::Payload::Container(crate::driver::Container { environment, ..Default::default() });
    for wanted in [
        crowded,
        order(OFFER, Shape::Machine),
        order("12345", Shape::Container),
        order("SECURE/0//x", Shape::Container),
    ] {
        assert_eq!(runpod.create(&wanted).await.unwrap_err().kind(), "Refused");
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn each_refusal_of_an_order_has_its_meaning() {
    for (status, kind) in [
        (400, "NoCapacity"),
        (401, "Unauthorized"),
        (402, "AccountLimit"),
        (403, "Refused"),
        (422, "Refused"),
        (429, "Throttled"),
        (500, "Ambiguous"),
    ] {
        let runpod = answering(status, problem(status, "no very-secret-token")).await;
        let error = runpod.create(&order(OFFER, Shape::Container)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        assert!(!error.to_string().contains("very-secret-token"), "{error}");
        assert!(kind == "Throttled" || error.to_string().contains("a rule"), "{error}");
    }
    for body in ["", "{}", "<html>"] {
        let error = answering(201, body).await.create(&order(OFFER, Shape::Container)).await.unwrap_err();
        assert_eq!(error.kind(), "Ambiguous");
    }
    assert_eq!(
        answering(403, problem(403, "no")).await.list(&tenant()).await.unwrap_err().kind(),
        "Unauthorized"
    );
}

#[tokio::test]
async fn a_pod_tells_its_state_and_price_and_none_when_it_does_not_run() {
    for (status, state) in [
        ("PROVISIONING", State::Pending),
        ("STARTING", State::Pending),
        ("RUNNING", State::Running),
        ("EXITED", State::Stopped),
        ("ERROR", State::Failed),
        ("TERMINATED", State::Over),
        ("DREAMING", State::Pending),
    ] {
        let found = answering(200, pod(NAME, status)).await.get(&id("pod_1")).await.unwrap().unwrap();
        assert_eq!((found.state, found.said.as_str()), (state, status));
    }
    let found = answering(200, pod(NAME, "RUNNING")).await.get(&id("pod_1")).await.unwrap().unwrap();
    assert_eq!(found.hourly.unwrap().to_string(), "0.69");
    assert_eq!(found.since.unwrap().to_string(), "2026-11-29T11:01:00Z");
    assert_eq!(found.address, Some("203.0.113.8".parse().unwrap()));
    let exited = pod(NAME, "EXITED").replace("0.69", "0.0");
    assert_eq!(answering(200, exited).await.get(&id("pod_1")).await.unwrap().unwrap().hourly, None);
}

#[tokio::test]
async fn none_is_said_only_where_runpod_says_it() {
    assert_eq!(answering(404, problem(404, "pod not found")).await.get(&id("pod_1")).await.unwrap(), None);
    for (status, body, kind) in [
        (404, "<html>".to_owned(), "Refused"),
        (200, "{}".to_owned(), "Malformed"),
        (200, pod("somebody's", "RUNNING"), "Malformed"),
        (503, String::new(), "Unavailable"),
    ] {
        assert_eq!(answering(status, body).await.get(&id("pod_1")).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_list_has_only_the_tenants_pods_and_is_never_taken_from_a_missing_field() {
    let stranger = "coop-ffffffffffff-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let pods = [pod(NAME, "RUNNING"), pod(stranger, "RUNNING"), pod("mine", "RUNNING")].join(",");
    let listed = answering(200, format!(r#"{{"pods":[{pods}]}}"#)).await.list(&tenant()).await.unwrap();
    assert_eq!(listed.iter().map(|pod| pod.name.to_string()).collect::<Vec<_>>(), [NAME]);
    for body in ["{}", r#"{"pods":null}"#, "[]", r#"{"pods":[{"id":"x"}]}"#, ""] {
        assert_eq!(
            answering(200, body).await.list(&tenant()).await.unwrap_err().kind(),
            "Malformed",
            "{body}"
        );
    }
    assert!(answering(200, r#"{"pods":[]}"#).await.list(&tenant()).await.unwrap().is_empty());
}

async fn deleting(delete: (u16, String), get: (u16, String)) -> Result<Deleted, Error> {
    let (runpod, _) = runpod(move |line| {
        let (status, body) = if line == "DELETE /pods/pod_1" { &delete } else { &get };
        json(*status, body.clone())
    })
    .await;
    runpod.delete(&id("pod_1")).await
}

#[tokio::test]
async fn gone_is_what_is_not_there_any_more() {
    let absent = || (404, problem(404, "pod not found"));
    let done = || (204, String::new());
    assert_eq!(deleting(done(), absent()).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(absent(), absent()).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(done(), (200, pod(NAME, "TERMINATED"))).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(done(), (200, pod(NAME, "EXITED"))).await, Ok(Deleted::Ending));
    assert_eq!(deleting(done(), (500, String::new())).await, Ok(Deleted::Ending));
    assert_eq!(deleting((500, String::new()), absent()).await.unwrap_err().kind(), "Ambiguous");
    assert_eq!(deleting((404, "<html>".to_owned()), absent()).await.unwrap_err().kind(), "Refused");
}

#[tokio::test]
async fn what_was_charged_is_the_sum_of_all_its_records() {
    let body = |count: u32| {
        format!(
            r#"{{"records":[{{"podId":"pod_1","totalAmount":1.2500000001,"diskAmount":0.1}},
            {{"podId":"pod_1","totalAmount":2}}],"metadata":{{"recordCount":{count}}}}}"#
        )
    };
    let charge = answering(200, body(2)).await.charged(&id("pod_1")).await.unwrap().unwrap();
    assert_eq!((charge.amount.to_string(), charge.is_final), ("3.2500000001".to_owned(), false));
    assert_eq!(answering(200, body(3)).await.charged(&id("pod_1")).await.unwrap_err().kind(), "Malformed");
    assert_eq!(answering(200, r#"{"records":[]}"#).await.charged(&id("pod_1")).await.unwrap(), None);
    assert_eq!(answering(200, "{}").await.charged(&id("pod_1")).await.unwrap_err().kind(), "Malformed");
}
