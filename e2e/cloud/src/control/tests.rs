use serde_json::{Value, json};

use crate::testing::{Tenant, options, seconds, start};
use crate::{Cloud, Options, Time, Vendor};

async fn control(cloud: &Cloud, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let reply = Tenant::at(&format!("{}/control", cloud.url())).send(method, path, body).await.unwrap();
    (reply.status, serde_json::from_str(&reply.text).unwrap_or(Value::Null))
}

async fn create(cloud: &Cloud) -> String {
    let tenant = Tenant::of(cloud, Vendor::Vast);
    tenant.put("/api/v0/asks/101/", json!({ "image": "x" })).await.is(200)["new_contract"].to_string()
}

#[tokio::test]
async fn another_process_sees_the_truth_and_the_bill_and_moves_the_clock() {
    let cloud = start(Vec::new()).await;
    let id = create(&cloud).await;
    let (_, shown) = control(&cloud, "POST", "/clock", Some(json!({ "advanceSeconds": 615 }))).await;
    assert_eq!(shown, json!({ "now": "2026-12-01T00:10:15Z", "isVirtual": true }));
    let (_, machines) = control(&cloud, "GET", "/machines?alive=true&vendor=vast", None).await;
    assert_eq!((&machines[0]["id"], &machines[0]["works"]), (&json!(id), &json!(true)));
    assert_eq!(machines[0]["bill"]["compute"], "0.06");
    let (_, bill) = control(&cloud, "GET", "/bill", None).await;
    assert_eq!(bill["vast"], json!(cloud.spent(Vendor::Vast).unwrap()));
    let (_, calls) = control(&cloud, "GET", "/calls", None).await;
    assert_eq!(calls, json!({ "vast": { "create": 1 } }));
    assert_eq!(control(&cloud, "GET", "/machines/vast/none", None).await.0, 404);
}

#[tokio::test]
async fn another_process_lets_things_befall_a_machine() {
    let cloud = start(Vec::new()).await;
    let id = create(&cloud).await;
    cloud.advance(seconds(15));
    let path = |what: &str| format!("/machines/vast/{id}/{what}");
    assert_eq!(control(&cloud, "POST", &path("preempt"), Some(json!({ "noticeSeconds": 30 }))).await.0, 204);
    let (_, one) = control(&cloud, "GET", &format!("/machines/vast/{id}"), None).await;
    assert_eq!(one["notice"], "2026-12-01T00:00:45Z");
    cloud.advance(seconds(30));
    let (_, one) = control(&cloud, "GET", &format!("/machines/vast/{id}"), None).await;
    assert_eq!((&one["phase"], &one["works"]), (&json!("Preempted"), &json!(false)));
    assert_eq!(control(&cloud, "POST", &path("explode"), None).await.0, 404);
    assert_eq!(control(&cloud, "POST", "/machines/vast/none/preempt", None).await.0, 404);
}

#[tokio::test]
async fn another_process_switches_faults() {
    let cloud = start(Vec::new()).await;
    let rules = json!([{ "fault": "server-error", "vendor": "vast", "verb": "create", "when": { "next": 1 } },
        { "fault": "empty-page", "when": { "chance": 0 } }]);
    assert_eq!(control(&cloud, "PUT", "/faults", Some(rules)).await.0, 204);
    let reply = Tenant::of(&cloud, Vendor::Vast).put("/api/v0/asks/101/", json!({ "image": "x" })).await;
    assert_eq!(reply.status, 500);
    let (_, faults) = control(&cloud, "GET", "/faults", None).await;
    assert_eq!(faults["rules"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&faults["counts"]["server-error"], &faults["hits"][0]["verb"]),
        (&json!(1), &json!("create"))
    );
    let one = json!({ "fault": "gone", "when": { "next": 1 }, "seconds": 5 });
    assert_eq!(control(&cloud, "POST", "/faults", Some(one)).await.0, 204);
    assert_eq!(control(&cloud, "POST", "/faults", Some(json!({ "fault": "none" }))).await.0, 422);
}

#[tokio::test]
async fn another_process_sets_the_market_as_long_as_nothing_is_let() {
    let cloud = start(Vec::new()).await;
    let (_, mut market) = control(&cloud, "GET", "/market", None).await;
    market["asks"]["101"]["dphBase"] = json!("0.5");
    assert_eq!(control(&cloud, "PUT", "/market", Some(market.clone())).await.0, 204);
    let tenant = Tenant::of(&cloud, Vendor::Vast);
    let offers = tenant.post("/api/v0/bundles/", json!({ "num_gpus": { "eq": 1 } })).await.is(200);
    assert_eq!(offers["offers"][0]["dph_base"], 0.5);
    create(&cloud).await;
    assert_eq!(control(&cloud, "PUT", "/market", Some(market)).await.0, 409);
}

#[tokio::test]
async fn a_real_clock_is_not_moved() {
    let cloud = Cloud::start(Options { time: Time::Real, ..options() }).await.unwrap();
    assert_eq!(control(&cloud, "POST", "/clock", Some(json!({ "advanceSeconds": 1 }))).await.0, 409);
}
