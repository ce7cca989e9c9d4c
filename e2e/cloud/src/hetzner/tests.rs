use serde_json::{Value, json};

use crate::testing::{Tenant, options, order, seconds, start};
use crate::world::Account;
use crate::{Cloud, Options, Vendor};

fn body(name: &str) -> Value {
    json!({ "name": name, "server_type": "cx23", "image": "debian-13", "location": "fsn1",
            "user_data": "#cloud-config", "labels": { "tenant": "abc", "claim": name }, "ssh_keys": [] })
}

async fn create(tenant: &Tenant, name: &str) -> String {
    tenant.post("/servers", body(name)).await.is(201)["server"]["id"].to_string()
}

#[tokio::test]
async fn a_server_is_created_starts_runs_and_is_deleted() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    let types = tenant.get("/server_types").await.is(200);
    let price = &types["server_types"][0]["prices"][0];
    assert_eq!((&price["location"], &price["price_hourly"]["net"]), (&json!("fsn1"), &json!("0.0056000000")));

    let made = tenant.post("/servers", body("coop-a")).await.is(201);
    assert_eq!(
        (&made["server"]["status"], &made["action"]["status"]),
        (&json!("initializing"), &json!("running"))
    );
    assert!(made["root_password"].is_string() && made["next_actions"].is_array());
    let id = made["server"]["id"].to_string();
    let (path, action) = (format!("/servers/{id}"), format!("/actions/{}", made["action"]["id"]));
    cloud.advance(seconds(5));
    assert_eq!(tenant.get(&path).await.is(200)["server"]["status"], "starting");
    assert_eq!(tenant.get(&action).await.is(200)["action"]["status"], "success");
    cloud.advance(seconds(10));
    assert_eq!(tenant.get("/v1/servers").await.is(200)["servers"][0]["status"], "running");

    let gone = tenant.delete(&path).await.is(200);
    assert_eq!(
        (&gone["action"]["command"], &gone["action"]["status"]),
        (&json!("delete_server"), &json!("running"))
    );
    assert_eq!(tenant.get(&path).await.is(200)["server"]["status"], "deleting");
    cloud.advance(seconds(10));
    assert_eq!(tenant.get(&path).await.is(404)["error"]["code"], "not_found");
    // The only vendor that bills by the hour begun.
    assert_eq!(cloud.bill(Vendor::Hetzner, &id).unwrap().unwrap().total().unwrap().to_string(), "0.0056");
}

#[tokio::test]
async fn an_hour_begun_is_paid_for_also_when_it_is_off() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    let id = create(&tenant, "coop-a").await;
    cloud.advance(seconds(600));
    tenant.post(&format!("/servers/{id}/actions/poweroff"), json!({})).await.is(201);
    assert_eq!(tenant.get(&format!("/servers/{id}")).await.is(200)["server"]["status"], "off");
    cloud.advance(seconds(3_001));
    tenant.delete(&format!("/servers/{id}")).await.is(200);
    cloud.advance(seconds(99_999));
    assert_eq!(cloud.bill(Vendor::Hetzner, &id).unwrap().unwrap().total().unwrap().to_string(), "0.0112");
}

#[tokio::test]
async fn a_name_is_let_once_until_its_server_is_gone() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    let id = create(&tenant, "coop-a").await;
    let reply = tenant.post("/servers", body("coop-a")).await.is(409);
    assert_eq!(reply["error"]["code"], "uniqueness_error");
    tenant.delete(&format!("/servers/{id}")).await.is(200);
    assert_eq!(tenant.post("/servers", body("coop-a")).await.status, 409);
    cloud.advance(seconds(10));
    create(&tenant, "coop-a").await;
}

#[tokio::test]
async fn servers_are_found_by_label_and_by_name() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    let id = create(&tenant, "coop-a").await;
    create(&tenant, "coop-b").await;
    for query in ["label_selector=claim%3Dcoop-a%2Ctenant", "name=coop-a", "label_selector=claim+in+(coop-a)"]
    {
        let found = tenant.get(&format!("/servers?{query}")).await.is(200);
        assert_eq!(found["meta"]["pagination"]["total_entries"], 1, "{query}");
        assert_eq!(found["servers"][0]["id"].to_string(), id);
    }
    assert_eq!(tenant.get("/servers?label_selector=%3D").await.status, 422);
    tenant.send("PUT", &format!("/servers/{id}"), Some(json!({ "labels": {} }))).await.unwrap().is(200);
    let left = tenant.get("/servers?label_selector=tenant%3Dabc").await.is(200);
    assert_eq!(left["servers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lists_come_in_pages_of_25_and_at_most_50() {
    let cloud = start(Vec::new()).await;
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    cloud.with(|world| {
        for number in 0..60 {
            world.create(order(Vendor::Hetzner, &format!("m{number}")), None);
        }
    });
    let page = tenant.get("/servers").await.is(200);
    assert_eq!(page["servers"].as_array().unwrap().len(), 25);
    let page = tenant.get("/servers?per_page=99&page=2").await.is(200);
    assert_eq!(page["servers"].as_array().unwrap().len(), 10);
    let wanted = json!({ "page": 2, "per_page": 50, "previous_page": 1, "next_page": null, "last_page": 2,
        "total_entries": 60 });
    assert_eq!(page["meta"]["pagination"], wanted);
    assert_eq!(tenant.get("/servers?page=0").await.status, 422);
}

#[tokio::test]
async fn what_cannot_be_had_has_a_code_of_its_own() {
    let accounts = vec![
        Account::default_of(Vendor::Hetzner),
        Account {
            key: "poor".to_owned(),
            balance: Some(Default::default()),
            ..Account::default_of(Vendor::Hetzner)
        },
    ];
    let cloud = Cloud::start(Options { accounts, ..options() }).await.unwrap();
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    let poor = Tenant::with(&cloud, Vendor::Hetzner, "Bearer poor").post("/servers", body("x")).await.is(403);
    assert_eq!(poor["error"]["code"], "resource_limit_exceeded");
    create(&tenant, "coop-a").await;
    create(&tenant, "coop-b").await;
    let full = tenant.post("/servers", body("coop-c")).await.is(412);
    assert_eq!(full["error"]["code"], "resource_unavailable");
    let reply = Tenant::with(&cloud, Vendor::Hetzner, "Bearer no").get("/servers").await.is(401);
    assert_eq!(reply["error"]["code"], "unauthorized");
    for (name, value) in
        [("name", json!("under_score")), ("location", json!("mars")), ("server_type", json!("cx1"))]
    {
        let mut wrong = body("coop-d");
        wrong[name] = value;
        assert_eq!(tenant.post("/servers", wrong).await.is(422)["error"]["code"], "invalid_input", "{name}");
    }
    assert_eq!(cloud.machines().unwrap().len(), 2);
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_in_headers() {
    let cloud = Cloud::start(Options { limits: Some(true), ..options() }).await.unwrap();
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    for _ in 0..3600 {
        tenant.get("/servers").await.is(200);
    }
    let reply = tenant.get("/servers").await;
    assert_eq!((reply.status, reply.header("ratelimit-limit")), (429, "3600"));
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
}
