use cooperator_core::money::Amount;
use serde_json::{Value, json};

use crate::testing::{Tenant, options, seconds, start};
use crate::world::Account;
use crate::{Cloud, Options, Vendor};

const GPU: &str = "NVIDIA GeForce RTX 4090";

fn body() -> Value {
    json!({ "name": "coop-a", "image": "trainer:1", "args": "train --fast", "env": { "TOKEN": "t" }, "disk": 20,
            "gpu": { "id": GPU, "count": 1 }, "cloud": "COMMUNITY" })
}

async fn create(tenant: &Tenant, body: Value) -> String {
    tenant.post("/pods", body).await.is(201)["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_pod_is_created_starts_runs_and_is_deleted() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let gpus = tenant.get("/catalog/gpus?include=AVAILABILITY&product=POD&count=3").await.is(200);
    let row = &gpus["gpus"][0];
    assert_eq!(
        (&row["id"], &row["price"]["community"], &row["availability"]),
        (&json!(GPU), &json!(0.36), &json!("LOW"))
    );
    assert_eq!(row["dataCenters"][0], json!({ "id": "EU-RO-1", "name": "EU-RO-1", "availability": "NONE" }));
    assert_eq!(tenant.get("/catalog/gpus?include=AVAILABILITY").await.status, 400);

    let made = tenant.post("/pods", body()).await.is(201);
    assert_eq!(
        (&made["status"], &made["startedAt"], &made["cost"]),
        (&json!("PROVISIONING"), &Value::Null, &json!(0.36))
    );
    let id = made["id"].as_str().unwrap();
    let path = format!("/pods/{id}");
    cloud.advance(seconds(5));
    assert_eq!(tenant.get(&path).await.is(200)["status"], "STARTING");
    cloud.advance(seconds(10));
    let pod = tenant.get(&path).await.is(200);
    assert_eq!((&pod["status"], &pod["startedAt"]), (&json!("RUNNING"), &json!("2026-12-01T00:00:05Z")));
    assert_eq!(pod["runtime"]["ports"][0]["private"], 22);
    assert_eq!(tenant.get("/v2/pods").await.is(200)["pods"][0]["name"], "coop-a");

    assert_eq!(tenant.delete(&path).await.status, 204);
    let reply = tenant.get(&path).await;
    assert_eq!((reply.status, reply.header("content-type")), (404, "application/problem+json"));
    assert_eq!(tenant.get("/pods").await.is(200), json!({ "pods": [] }));
    // Ten seconds of 0.36 an hour.
    assert_eq!(cloud.bill(Vendor::RunPod, id).unwrap().unwrap().total().unwrap().to_string(), "0.001");
}

#[tokio::test]
async fn a_bad_rule_and_no_capacity_have_one_status_and_a_body_that_is_none_another() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let with = |name: &str, value: Value| {
        let mut body = body();
        body[name] = value;
        body
    };
    let many: serde_json::Map<_, _> = (0..51).map(|number| (format!("V{number}"), json!("x"))).collect();
    for wrong in [
        with("name", Value::Null),
        with("gpu", Value::Null),
        with("gpu", json!({ "id": "none" })),
        with("gpu", json!({ "id": GPU, "count": 5 })),
        with("env", Value::Object(many)),
        with("mounts", json!({ "persistent": { "size": 9, "path": "/w" } })),
        with("dataCenterIds", json!(["NO-1"])),
    ] {
        let reply = tenant.post("/pods", wrong.clone()).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (400, "application/problem+json"),
            "{wrong}"
        );
    }
    assert_eq!(tenant.post("/pods", with("disk", json!("much"))).await.status, 422);
    create(&tenant, with("gpu", json!({ "id": GPU, "count": 4 }))).await;
    create(&tenant, with("gpu", json!({ "id": GPU, "count": 2 }))).await;
    assert_eq!(tenant.post("/pods", body()).await.status, 400);
    assert_eq!(cloud.machines().unwrap().len(), 2);
}

#[tokio::test]
async fn a_stopped_pod_shows_no_cost_and_its_volume_costs_twice_as_much() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let mut wanted = body();
    wanted["mounts"] = json!({ "persistent": { "size": 100, "path": "/w" } });
    let id = create(&tenant, wanted).await;
    cloud.advance(seconds(5 + 3_600));
    let action = format!("/pods/{id}/action");
    let pod = tenant.post(&action, json!({ "action": "stop" })).await.is(200);
    assert_eq!((&pod["status"], &pod["cost"]), (&json!("EXITED"), &json!(0)));
    assert_eq!(tenant.post(&action, json!({ "action": "stop" })).await.status, 409);
    cloud.advance(seconds(3_600));
    let bill = cloud.bill(Vendor::RunPod, &id).unwrap().unwrap();
    assert_eq!((bill.compute.to_string(), bill.disk.to_string()), ("0.36".into(), "0.03".into()));
    let pod = tenant.post(&action, json!({ "action": "start" })).await.is(200);
    assert_eq!(pod["status"], "PROVISIONING");
}

#[tokio::test]
async fn the_records_of_its_billing_sum_up_to_the_truth() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let id = create(&tenant, body()).await;
    create(&tenant, body()).await;
    cloud.advance(seconds(3 * 3_600 + 777));
    assert_eq!(tenant.delete(&format!("/pods/{id}")).await.status, 204);
    let window = "startTime=2026-12-01T00:00:00Z&endTime=2026-12-02T00:00:00Z&bucketSize=hour";
    let answer = tenant.get(&format!("/billing/pods?{window}&podId={id}")).await.is(200);
    let records = answer["records"].as_array().unwrap();
    assert_eq!((records.len(), &records[1]["startTime"]), (4, &json!("2026-12-01T01:00:00Z")));
    assert_eq!(records[1]["gpuAmount"].to_string(), "0.36");
    let sum = Amount::sum(records.iter().map(|row| row["totalAmount"].to_string().parse().unwrap())).unwrap();
    assert_eq!(sum, cloud.bill(Vendor::RunPod, &id).unwrap().unwrap().total().unwrap());
    assert_eq!(answer["metadata"]["totals"]["totalAmount"].to_string(), sum.to_string());
    let all = tenant.get("/billing/pods").await.is(200);
    assert_eq!(all["metadata"]["uniquePodCount"], 2);
    for wrong in ["startTime=2026-12-01T00:00:00Z", "bucketSize=minute", "lastN=0", "startTime=x&endTime=y"] {
        assert_eq!(tenant.get(&format!("/billing/pods?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn who_has_paid_nothing_in_gets_402_and_who_has_no_key_401() {
    let accounts = vec![Account { balance: Some(Amount::ZERO), ..Account::default_of(Vendor::RunPod) }];
    let cloud = Cloud::start(Options { accounts, ..options() }).await.unwrap();
    assert_eq!(Tenant::of(&cloud, Vendor::RunPod).post("/pods", body()).await.status, 402);
    assert_eq!(Tenant::with(&cloud, Vendor::RunPod, "Bearer no").get("/pods").await.status, 401);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let cloud = Cloud::start(Options { limits: Some(true), ..options() }).await.unwrap();
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    tenant.get("/pods").await.is(200);
    let reply = tenant.get("/pods").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "1"));
}

#[tokio::test]
async fn logs_come_as_events() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let id = create(&tenant, body()).await;
    let reply = tenant.get(&format!("/pods/{id}/logs")).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert!(reply.text.starts_with("data: {"), "{}", reply.text);
}

#[tokio::test]
async fn a_pod_is_let_to_the_highest_bid_by_graphql_alone_and_what_is_refused_comes_as_200() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let prices = json!({ "query": "query { gpuTypes { id lowestPrice { minimumBidPrice } } }" });
    let prices = tenant.post("/graphql", prices).await.is(200);
    assert_eq!(prices["data"]["gpuTypes"][0]["lowestPrice"]["minimumBidPrice"], 0.18);
    let rent = async |bid: f64| {
        let input = json!({ "bidPerGpu": bid, "gpuTypeId": GPU, "gpuCount": 2, "name": "coop-a", "imageName": "x",
            "cloudType": "ALL", "env": [{ "key": "A", "value": "b" }], "containerDiskInGb": 20, "volumeInGb": 100 });
        let query = "mutation Rent($input: PodRentInterruptableInput!) { podRentInterruptable(input: $input) { id } }";
        tenant.post("/graphql", json!({ "query": query, "variables": { "input": input } })).await.is(200)
    };
    let refused = rent(0.1).await;
    assert_eq!((&refused["data"], refused["errors"].as_array().unwrap().len()), (&Value::Null, 1));
    let id = rent(0.2).await["data"]["podRentInterruptable"]["id"].as_str().unwrap().to_owned();
    let pod = tenant.get(&format!("/pods/{id}")).await.is(200);
    assert_eq!((&pod["cost"], &pod["env"]["A"]), (&json!(0.4), &json!("b")));
    cloud.advance(seconds(5 + 3_600));
    cloud.preempt(Vendor::RunPod, &id, None);
    cloud.advance(seconds(3_600));
    assert_eq!(tenant.get(&format!("/pods/{id}")).await.is(200)["status"], "EXITED");
    // An hour of two at 0.2; an hour of the volume at 0.01, and one at 0.02.
    let bill = cloud.bill(Vendor::RunPod, &id).unwrap().unwrap();
    assert_eq!((bill.compute.to_string(), bill.disk.to_string()), ("0.4".into(), "0.03".into()));
}
