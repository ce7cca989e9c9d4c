//! Every fault over real HTTP: it does what it says, and the truth stays accountable.

use serde_json::{Value, json};

use super::Phase;
use crate::fault::{Fault, Rule};
use crate::testing::{Tenant, quoted, seconds, start};
use crate::vendor::{Vendor, Verb};
use crate::{Cloud, world};

const ASK: &str = "/api/v0/asks/101/";

fn body() -> Value {
    json!({ "image": "x", "disk": 100, "label": "coop-a" })
}

async fn vast(faults: Vec<Rule>) -> (Cloud, Tenant) {
    let cloud = start(faults).await;
    let tenant = Tenant::of(&cloud, Vendor::Vast);
    (cloud, tenant)
}

async fn create(tenant: &Tenant) -> String {
    tenant.put(ASK, body()).await.is(200)["new_contract"].to_string()
}

async fn status(tenant: &Tenant, id: &str) -> Value {
    tenant.get(&format!("/api/v0/instances/{id}/")).await.is(200)["instances"]["actual_status"].clone()
}

fn machine(cloud: &Cloud, id: &str) -> world::Machine {
    cloud.machine(Vendor::Vast, id).unwrap().unwrap()
}

fn bill(cloud: &Cloud, id: &str) -> String {
    machine(cloud, id).bill.compute.to_string()
}

#[tokio::test]
async fn what_was_created_a_moment_ago_is_in_no_read_and_costs_all_the_same() {
    let (cloud, tenant) = vast(vec![Rule::once(Fault::CreatedThenInvisible)]).await;
    let id = create(&tenant).await;
    cloud.advance(seconds(19));
    let path = format!("/api/v0/instances/{id}/");
    assert_eq!(tenant.get(&path).await.is(200)["instances"], Value::Null);
    let filter = quoted(r#"{"label":{"eq":"coop-a"}}"#);
    for query in [String::new(), format!("?select_filters={filter}")] {
        let list = tenant.get(&format!("/api/v1/instances/{query}")).await.is(200);
        assert_eq!((&list["total_instances"], &list["instances"]), (&json!(0), &json!([])));
    }
    assert!(cloud.alive().unwrap()[0].works && !machine(&cloud, &id).visible);
    cloud.advance(seconds(1));
    assert_eq!(status(&tenant, &id).await, "running");
    assert_eq!(tenant.get("/api/v1/instances/").await.is(200)["total_instances"], 1);
}

#[tokio::test]
async fn what_no_read_shows_yet_can_be_deleted_and_is_then_not_counted() {
    let (cloud, tenant) = vast(vec![Rule::once(Fault::CreatedThenInvisible)]).await;
    let id = create(&tenant).await;
    tenant.delete(&format!("/api/v0/instances/{id}/")).await.is(200);
    create(&tenant).await;
    cloud.advance(seconds(60));
    assert_eq!(tenant.get("/api/v1/instances/").await.is(200)["total_instances"], 1);
}

#[tokio::test]
async fn a_connection_that_is_cut_tells_nothing_of_whether_the_work_was_done() {
    let (cloud, tenant) =
        vast(vec![Rule::once(Fault::TimeoutThenSuccess), Rule::once(Fault::TimeoutBeforeWork)]).await;
    assert!(tenant.send("PUT", ASK, Some(body())).await.is_none());
    assert_eq!(cloud.alive().unwrap().len(), 1);
    assert!(tenant.send("PUT", ASK, Some(body())).await.is_none());
    assert_eq!(cloud.alive().unwrap().len(), 1);
    assert_eq!(cloud.calls(Vendor::Vast, Verb::Create), 2);
    let id = cloud.alive().unwrap()[0].id.clone();
    cloud.set_faults(vec![Rule::once(Fault::TimeoutThenSuccess)]);
    assert!(tenant.send("DELETE", &format!("/api/v0/instances/{id}/"), None).await.is_none());
    assert!(cloud.alive().unwrap().is_empty());
}

#[tokio::test]
async fn two_creates_on_one_offer_are_both_accepted_and_one_dies_later() {
    let (cloud, tenant) = vast(Vec::new()).await;
    tenant.put("/api/v0/asks/102/", body()).await.is(200);
    assert_eq!(tenant.put("/api/v0/asks/102/", body()).await.status, 410);
    cloud.add_fault(Rule::once(Fault::DoubleAccept));
    let second = tenant.put("/api/v0/asks/102/", body()).await.is(200)["new_contract"].to_string();
    cloud.advance(seconds(59));
    assert_eq!(cloud.alive().unwrap().iter().filter(|one| one.works).count(), 2);
    cloud.advance(seconds(1));
    assert_eq!(status(&tenant, &second).await, "exited");
    assert_eq!(machine(&cloud, &second).phase, Phase::Failed);
    // It is there still, and its disk costs until somebody deletes it.
    cloud.advance(seconds(3_540));
    assert_eq!(machine(&cloud, &second).bill.disk.to_string(), "0.01");
    assert_eq!(bill(&cloud, &second), "0.009"); // 45 s of 0.72
}

#[tokio::test]
async fn answers_without_work_leave_the_world_as_it_was() {
    let (cloud, tenant) = vast(Vec::new()).await;
    for (fault, wanted, media) in [
        (Fault::Gone, 410, "text/html"),
        (Fault::PlainTextThrottle, 429, "text/plain"),
        (Fault::ServerError, 500, "text/html"),
        (Fault::OfferVanished, 410, "application/json"),
    ] {
        cloud.set_faults(vec![Rule::once(fault)]);
        let reply = tenant.put(ASK, body()).await;
        assert_eq!((reply.status, reply.header("content-type")), (wanted, media), "{fault:?}");
        assert!(cloud.machines().unwrap().is_empty(), "{fault:?}");
        assert_eq!(cloud.hits(fault), 1);
    }
    create(&tenant).await;
}

#[tokio::test]
async fn one_that_loads_for_ever_never_runs_and_its_disk_costs() {
    let (cloud, tenant) = vast(vec![Rule::once(Fault::LoadingForEver)]).await;
    let id = create(&tenant).await;
    cloud.advance(seconds(36_000));
    assert_eq!(status(&tenant, &id).await, "loading");
    assert_eq!((bill(&cloud, &id), machine(&cloud, &id).bill.disk.to_string()), ("0".into(), "0.1".into()));
}

#[tokio::test]
async fn a_delete_can_fail_though_it_is_gone_or_fail_for_a_while_while_it_stays() {
    let (cloud, tenant) = vast(vec![Rule::once(Fault::DeleteFailsButGone)]).await;
    let (gone, stays) = (create(&tenant).await, create(&tenant).await);
    let path = |id: &str| format!("/api/v0/instances/{id}/");
    assert_eq!(tenant.delete(&path(&gone)).await.status, 500);
    assert!(!machine(&cloud, &gone).alive);
    assert_eq!(tenant.delete(&path(&gone)).await.status, 404);
    cloud.advance(seconds(15));
    cloud.add_fault(Rule::once(Fault::DeleteFails).lasting(600));
    for _ in 0..3 {
        assert_eq!(tenant.delete(&path(&stays)).await.status, 500);
        assert!(machine(&cloud, &stays).works);
        cloud.advance(seconds(200));
    }
    tenant.delete(&path(&stays)).await.is(200);
    assert_eq!(bill(&cloud, &stays), "0.06"); // 600 s: nobody gives back what it cost meanwhile
}

#[tokio::test]
async fn one_that_is_said_to_have_exited_at_no_cost_is_paid_for_in_full() {
    let cloud = start(vec![Rule::once(Fault::ExitedButBilling).lasting(100)]).await;
    let tenant = Tenant::of(&cloud, Vendor::RunPod);
    let gpu = json!({ "id": "NVIDIA GeForce RTX 4090" });
    let made = tenant.post("/pods", json!({ "name": "a", "image": "x", "gpu": gpu })).await.is(201);
    let id = made["id"].as_str().unwrap();
    cloud.advance(seconds(5 + 3_600));
    let pod = tenant.get(&format!("/pods/{id}")).await.is(200);
    assert_eq!((&pod["status"], &pod["cost"]), (&json!("EXITED"), &json!(0)));
    assert_eq!(cloud.bill(Vendor::RunPod, id).unwrap().unwrap().compute.to_string(), "0.72");
    assert_eq!(tenant.delete(&format!("/pods/{id}")).await.status, 204);
    cloud.advance(seconds(3_600));
    assert_eq!(cloud.bill(Vendor::RunPod, id).unwrap().unwrap().compute.to_string(), "0.72");
}

#[tokio::test]
async fn one_is_taken_away_with_notice_or_without() {
    let (cloud, tenant) =
        vast(vec![Rule::once(Fault::PreemptedWithNotice), Rule::once(Fault::Preempted)]).await;
    let (told, untold) = (create(&tenant).await, create(&tenant).await);
    cloud.advance(seconds(15 + 600));
    let until = machine(&cloud, &told).notice.unwrap();
    assert_eq!(until, cloud.now() + seconds(120));
    assert_eq!(
        (machine(&cloud, &told).phase, machine(&cloud, &untold).phase),
        (Phase::Running, Phase::Preempted)
    );
    cloud.advance(seconds(3_600));
    assert_eq!(machine(&cloud, &told).phase, Phase::Preempted);
    // Each is paid for to the second at which it was taken away, though nobody looked for an hour.
    assert_eq!((bill(&cloud, &told), bill(&cloud, &untold)), ("0.072".into(), "0.06".into()));
}

#[tokio::test]
async fn one_that_lost_its_network_is_said_to_run_and_costs() {
    let (cloud, tenant) = vast(vec![Rule::once(Fault::SilentDisconnect).lasting(60)]).await;
    let id = create(&tenant).await;
    cloud.advance(seconds(15 + 600));
    assert_eq!(status(&tenant, &id).await, "running");
    assert!(!machine(&cloud, &id).works && machine(&cloud, &id).alive);
    assert_eq!(bill(&cloud, &id), "0.06");
}

#[tokio::test]
async fn a_host_that_lies_says_that_it_has_what_it_has_not() {
    let (cloud, tenant) = vast(vec![Rule::once(Fault::LyingHost)]).await;
    let id = create(&tenant).await;
    cloud.advance(seconds(15));
    let row = tenant.get(&format!("/api/v0/instances/{id}/")).await.is(200)["instances"].clone();
    assert_eq!((&row["gpu_name"], &row["num_gpus"]), (&json!("RTX 4090"), &json!(1)));
    assert!(!machine(&cloud, &id).works);
}

#[tokio::test]
async fn an_empty_page_a_broken_one_and_garbage_are_not_what_is_there() {
    let (cloud, tenant) = vast(Vec::new()).await;
    create(&tenant).await;
    cloud.set_faults(vec![
        Rule::once(Fault::EmptyPage),
        Rule::once(Fault::TruncatedJson).on(Verb::List),
        Rule::once(Fault::Garbage),
    ]);
    let page = tenant.get("/api/v1/instances/").await.is(200);
    assert_eq!((&page["instances"], &page["total_instances"]), (&json!([]), &json!(1)));
    let reply = tenant.get("/api/v1/instances/").await;
    assert!(reply.status == 200 && serde_json::from_str::<Value>(&reply.text).is_err());
    let reply = tenant.get("/api/v1/instances/").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/html"));
    assert_eq!(tenant.get("/api/v1/instances/").await.is(200)["instances"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn ten_thousand_machines_are_listed_page_by_page_and_their_bill_is_exact() {
    let cloud = start(Vec::new()).await;
    let each = 2_500_usize;
    cloud.with(|world| {
        for vendor in Vendor::ALL {
            for number in 0..each {
                world.create(crate::testing::order(vendor, &format!("coop-{number}")), None);
            }
        }
    });
    cloud.advance(seconds(3_600 + 15));
    let tenant = Tenant::of(&cloud, Vendor::Vast);
    let (mut token, mut seen) = (String::new(), 0);
    loop {
        let page = tenant.get(&format!("/api/v1/instances/?after_token={}", quoted(&token))).await.is(200);
        seen += page["instances"].as_array().unwrap().len();
        assert_eq!(page["total_instances"], each);
        let Some(next) = page["next_token"].as_str() else { break };
        token = next.to_owned();
    }
    assert_eq!(seen, each);
    let tenant = Tenant::of(&cloud, Vendor::Hetzner);
    let mut seen = 0;
    for number in 1..=each.div_ceil(50) {
        let page = tenant.get(&format!("/servers?per_page=50&page={number}")).await.is(200);
        seen += page["servers"].as_array().unwrap().len();
    }
    assert_eq!(seen, each);
    let pods = Tenant::of(&cloud, Vendor::RunPod).get("/pods").await.is(200);
    let boxes = Tenant::of(&cloud, Vendor::Lambda).get("/instances").await.is(200);
    assert_eq!(
        (pods["pods"].as_array().unwrap().len(), boxes["data"].as_array().unwrap().len()),
        (each, each)
    );
    assert_eq!(cloud.alive().unwrap().len(), 4 * each);
    // 0.36 an hour: an hour; an hour and 10 s; 61 minutes begun; two hours begun.
    let spent = |vendor| cloud.spent(vendor).unwrap().to_string();
    assert_eq!(Vendor::ALL.map(spent), ["900", "902.5", "915", "1800"]);
}
