use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::backend::Payload;
use crate::testing::{Tenant, options, seconds, start};
use crate::{Cloud, Options, Vendor};

const LAUNCH: &str = "/instance-operations/launch";
const TERMINATE: &str = "/instance-operations/terminate";

fn body() -> Value {
    json!({ "region_name": "us-east-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["cooperator"],
            "name": "coop-a", "user_data": "#cloud-config", "tags": [{ "key": "claim", "value": "a" }] })
}

async fn launch(tenant: &Tenant) -> String {
    tenant.post(LAUNCH, body()).await.is(200)["data"]["instance_ids"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_instance_is_launched_boots_is_active_and_is_terminated() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Lambda);
    let types = tenant.get("/instance-types").await.is(200);
    let kind = &types["data"]["gpu_1x_a10"];
    assert_eq!(kind["instance_type"]["price_cents_per_hour"], 75);
    assert_eq!(
        kind["regions_with_capacity_available"],
        json!([{ "name": "us-east-1", "description": "us-east-1" }])
    );

    let id = launch(&tenant).await;
    let path = format!("/instances/{id}");
    let row = tenant.get(&path).await.is(200)["data"].clone();
    assert_eq!((&row["status"], &row["ip"]), (&json!("booting"), &Value::Null));
    assert_eq!(row["tags"], json!([{ "key": "claim", "value": "a" }]));
    cloud.advance(seconds(15));
    assert_eq!(tenant.get("/api/v1/instances").await.is(200)["data"][0]["status"], "active");
    cloud.with(|world| {
        assert_eq!(world.instances()[0].order.payload, Payload::UserData("#cloud-config".to_owned()));
    });

    let gone = tenant.post(TERMINATE, json!({ "instance_ids": [id] })).await.is(200);
    assert_eq!(gone["data"]["terminated_instances"][0]["status"], "terminating");
    assert_eq!(tenant.get("/instances").await.is(200)["data"][0]["status"], "terminating");
    cloud.advance(seconds(60));
    assert_eq!(tenant.get("/instances").await.is(200)["data"], json!([]));
    assert_eq!(tenant.get(&path).await.is(200)["data"]["status"], "terminated");
    cloud.advance(seconds(3_600));
    assert_eq!(tenant.get(&path).await.is(404)["error"]["code"], "global/object-does-not-exist");
}

#[tokio::test]
async fn a_minute_begun_is_paid_for_from_the_launch_to_the_call_that_ends_it() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Lambda);
    let id = launch(&tenant).await;
    cloud.advance(seconds(61));
    tenant.post(TERMINATE, json!({ "instance_ids": [id] })).await.is(200);
    cloud.advance(seconds(9_999));
    // Two minutes of 0.75 an hour.
    let bill = cloud.bill(Vendor::Lambda, &id).unwrap().unwrap();
    assert_eq!((bill.total().unwrap().to_string(), bill.is_final), ("0.025".into(), true));
}

#[tokio::test]
async fn capacity_that_is_gone_is_named_and_leaves_nothing() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Lambda);
    launch(&tenant).await;
    let reply = tenant.post(LAUNCH, body()).await.is(400);
    assert_eq!(reply["error"]["code"], "instance-operations/launch/insufficient-capacity");
    assert_eq!(cloud.machines().unwrap().len(), 1);
    let types = tenant.get("/instance-types").await.is(200);
    assert_eq!(types["data"]["gpu_1x_a10"]["regions_with_capacity_available"], json!([]));
}

#[tokio::test]
async fn what_the_documentation_forbids_is_refused() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Lambda);
    for (name, value) in [
        ("ssh_key_names", json!([])),
        ("ssh_key_names", json!(["cooperator", "cooperator"])),
        ("ssh_key_names", json!(["unknown"])),
        ("name", json!("n".repeat(65))),
        ("user_data", json!("u".repeat((1 << 20) + 1))),
        ("region_name", json!("nowhere")),
        ("instance_type_name", json!("none")),
    ] {
        let mut wrong = body();
        wrong[name] = value;
        let reply = tenant.post(LAUNCH, wrong).await.is(400);
        assert_eq!(reply["error"]["code"], "global/invalid-parameters", "{name}");
    }
    tenant.post("/ssh-keys", json!({ "name": "unknown", "public_key": "ssh-ed25519 A" })).await.is(200);
    let mut right = body();
    right["ssh_key_names"] = json!(["unknown"]);
    tenant.post(LAUNCH, right).await.is(200);
}

#[tokio::test]
async fn a_key_comes_as_bearer_or_as_basic_and_a_wrong_one_is_refused() {
    let cloud = start(Vec::new()).await;
    let basic = format!("Basic {}", STANDARD.encode("lambda-key:"));
    Tenant::with(&cloud, Vendor::Lambda, &basic).get("/instances").await.is(200);
    let reply = Tenant::with(&cloud, Vendor::Lambda, "Bearer no").get("/instances").await.is(401);
    assert_eq!(reply["error"]["code"], "global/invalid-api-key");
}

#[tokio::test]
async fn what_the_vendor_takes_away_is_preempted_and_costs_nothing_more() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Lambda);
    let id = launch(&tenant).await;
    cloud.advance(seconds(120));
    assert!(cloud.preempt(Vendor::Lambda, &id, None));
    cloud.advance(seconds(300));
    assert_eq!(tenant.get("/instances").await.is(200)["data"][0]["status"], "preempted");
    assert_eq!(cloud.bill(Vendor::Lambda, &id).unwrap().unwrap().total().unwrap().to_string(), "0.025");
    tenant.post(TERMINATE, json!({ "instance_ids": [id] })).await.is(200);
    assert!(!cloud.preempt(Vendor::Lambda, "none", None));
}

#[tokio::test]
async fn one_launch_in_twelve_seconds_and_one_call_a_second() {
    let cloud = Cloud::start(Options { limits: Some(true), ..options() }).await.unwrap();
    let tenant = Tenant::of(&cloud, Vendor::Lambda);
    launch(&tenant).await;
    assert_eq!(tenant.get("/instances").await.status, 429);
    cloud.advance(seconds(1));
    tenant.get("/instances").await.is(200);
    cloud.advance(seconds(2));
    assert_eq!(tenant.post(LAUNCH, body()).await.status, 429);
}
