use cooperator_core::market::{CapacityType, Granularity, Shape};

use super::*;
use crate::driver::State;
use crate::http::stub::{NAME, Reply, Stub, json, order, tenant, text};

/// A row as the API gives it, with nulls where it has them and fields that nobody reads.
const ROW: &str = r#"{"id":12345678,"ask_contract_id":12345678,"machine_id":178,"host_id":9,"gpu_name":"RTX 4090","num_gpus":2,
    "gpu_ram":24564,"cpu_cores":null,"cpu_cores_effective":15.999,"cpu_ram":64425,"disk_space":812.51,"dph_base":0.34222222222222226,
    "dph_total":0.35,"min_bid":0.2,"storage_cost":0.15,"inet_up_cost":0.01,"inet_down_cost":0.0050000000000000001,
    "reliability":0.9987654,"reliability2":0.9987654,"verification":"verified","geolocation":"Sweden, SE","duration":86400.75,
    "total_flops":164.52,"dlperf":77.1,"vms_enabled":false,"rentable":true,"rented":false}"#;

async fn vast(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Vast, Stub) {
    let stub = Stub::start(answer).await;
    (Vast { client: stub.client(VENDOR) }, stub)
}

async fn answering(status: u16, body: &'static str) -> Vast {
    vast(move |_| json(status, body)).await.0
}

fn machine(id: u64, label: &str, rest: &str) -> String {
    format!(r#"{{"id":{id},"label":"{label}","num_gpus":1{rest}}}"#)
}

fn id(text: &str) -> InstanceId {
    InstanceId(text.to_owned())
}

#[tokio::test]
async fn a_row_is_an_offer_on_demand_and_one_for_a_bid_with_exact_prices() {
    let (vast, stub) = vast(|_| json(200, format!(r#"{{"offers":[{ROW}]}}"#))).await;
    let query = Query { gpus: 2, gpu_memory_mib: 20_000, disk_gib: 40, ..Query::default() };
    let offers = vast.offers(&query).await.unwrap();
    let [on_demand, spot] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!((on_demand.id.0.as_str(), spot.id.0.as_str()), ("12345678", "12345678/spot"));
    assert_eq!((on_demand.capacity_type, spot.capacity_type), (CapacityType::OnDemand, CapacityType::Spot));
    assert_eq!(on_demand.terms.hourly.to_string(), "0.342223");
    assert_eq!(spot.terms.hourly.to_string(), "0.2");
    assert_eq!((spot.terms.disk_month_micros, spot.terms.granularity), (150_000, Granularity::Second));
    assert_eq!((spot.terms.traffic.up_micros, spot.terms.traffic.down_micros), (10_000, 5_001));
    assert_eq!((on_demand.cpu_millis, on_demand.memory_mib, on_demand.disk_gib), (15_999, 64_425, 812));
    let gpus = on_demand.gpus.as_ref().unwrap();
    assert_eq!((gpus.model.as_str(), gpus.count, gpus.memory_mib), ("rtx-4090", 2, 24_564));
    assert_eq!((on_demand.gigaflops, on_demand.reliability.unwrap().get()), (Some(164_520), 9987));
    assert_eq!((on_demand.region.as_str(), on_demand.shape), ("Sweden, SE", Shape::Container));
    assert_eq!(on_demand.host.as_ref().unwrap().0, "178");
    assert_eq!(on_demand.until.unwrap().to_string(), "2026-11-30T12:00:00Z");
    let asked = stub.seen().remove(0);
    assert_eq!(asked.line, "POST /api/v0/bundles/");
    assert_eq!(asked.body["num_gpus"]["gte"], 2);
    assert_eq!(asked.body["gpu_ram"]["gte"], 20_000);
    assert_eq!(asked.body["allocated_storage"], 40);
    assert_eq!(asked.body["rentable"]["eq"], true);
    assert!(asked.body.get("vms_enabled").is_none());
}

#[tokio::test]
async fn a_host_with_virtual_machines_offers_a_machine() {
    let row = ROW
        .replace(r#""vms_enabled":false"#, r#""vms_enabled":true"#)
        .replace(r#""min_bid":0.2"#, r#""min_bid":null"#);
    let (vast, stub) = vast(move |_| json(200, format!(r#"{{"offers":[{row}]}}"#))).await;
    let query = Query { shape: Some(Shape::Machine), ..Query::default() };
    let offers = vast.offers(&query).await.unwrap();
    assert_eq!(offers.iter().map(|offer| offer.shape).collect::<Vec<_>>(), [Shape::Machine]);
    assert_eq!(stub.seen()[0].body["vms_enabled"]["eq"], true);
}

#[tokio::test]
async fn what_is_taken_unvetted_or_unreadable_is_no_offer_and_hides_no_other() {
    let taken = ROW.replace(r#""rented":false"#, r#""rented":true"#);
    let unvetted = ROW.replace("\"verified\"", "\"unverified\"");
    let odd = r#"{"id":7,"dph_base":"soon"}"#;
    let (vast, _) =
        vast(move |_| json(200, format!(r#"{{"offers":[{taken},{unvetted},{odd},{ROW}]}}"#))).await;
    assert_eq!(vast.offers(&Query::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_market_without_its_field_or_with_odd_rows_alone_is_no_market() {
    for body in ["{}", r#"{"offers":null}"#, r#"{"offers":[{"id":7}]}"#, "[]", "<html>"] {
        let error = answering(200, body).await.offers(&Query::default()).await.unwrap_err();
        assert_eq!(error.kind(), "Malformed", "{body}");
    }
    assert!(answering(200, r#"{"offers":[]}"#).await.offers(&Query::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_container_is_ordered_by_its_name_with_its_own_entrypoint() {
    let (vast, stub) = vast(|_| json(200, r#"{"success":true,"new_contract":881}"#)).await;
    let mut wanted = order("12345678/spot", Shape::Container);
    wanted.offer.capacity_type = CapacityType::Spot;
    wanted.bid = Some("0.250001".parse().unwrap());
    let made = vast.create(&wanted).await.unwrap();
    assert_eq!((made.id, made.name.to_string(), made.state), (id("881"), NAME.to_owned(), State::Pending));
    let asked = stub.seen().remove(0);
    assert_eq!(asked.line, "PUT /api/v0/asks/12345678/");
    assert_eq!(asked.body["label"], NAME);
    assert_eq!(asked.body["runtype"], "args");
    assert_eq!(asked.body["price"].to_string(), "0.250001");
    assert_eq!(asked.body["env"]["RUN_TOKEN"], "very-secret-token");
    assert_eq!(asked.body["args"][1], "it's one");
    assert_eq!((&asked.body["disk"], &asked.body["vm"]), (&40.into(), &false.into()));
}

#[tokio::test]
async fn a_virtual_machine_is_ordered_with_its_script() {
    let (vast, stub) = vast(|_| json(200, r#"{"success":true,"new_contract":882}"#)).await;
    vast.create(&order("5", Shape::Machine)).await.unwrap();
    let body = stub.seen().remove(0).body;
    assert_eq!(
        (&body["vm"], body["image"].as_str()),
        (&true.into(), Some("docker.io/vastai/kvm:ubuntu_terminal"))
    );
    assert!(body["onstart"].as_str().unwrap().starts_with("#!/bin/sh"));
    assert!(body.get("price").is_none());
}

#[tokio::test]
async fn an_order_that_it_cannot_take_is_refused_before_it_is_sent() {
    let (vast, stub) = vast(|_| json(200, "{}")).await;
    let mut long = order("5", Shape::Machine);
    long.payload = crate::driver::Payload::UserData("x".repeat(4097));
    let mut no_bid = order("5/spot", Shape::Container);
    no_bid.offer.capacity_type = CapacityType::Spot;
    for wanted in [long, no_bid, order("cx22@fsn1", Shape::Container)] {
        assert_eq!(vast.create(&wanted).await.unwrap_err().kind(), "Refused");
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_bid_that_is_too_low_has_made_something_stopped_that_costs() {
    for (status, body) in [
        (400, r#"{"success":false,"error":"bid_too_low","msg":"your bid is too low","new_contract":883}"#),
        (200, r#"{"success":false,"error":"bid_too_low","new_contract":883}"#),
    ] {
        let made = answering(status, body).await.create(&order("5", Shape::Container)).await.unwrap();
        assert_eq!((made.id, made.state), (id("883"), State::Stopped), "{status}");
    }
}

#[tokio::test]
async fn each_refusal_of_an_order_has_its_meaning() {
    for (status, body, kind) in [
        (
            404,
            r#"{"success":false,"error":"invalid_args","msg":"error 404/3603: no_such_ask Instance type by id 5 is not available."}"#,
            "NoCapacity",
        ),
        (410, r#"{"success":false,"error":"no_such_ask","msg":"gone"}"#, "NoCapacity"),
        (400, r#"{"success":false,"error":"invalid_price","msg":"x"}"#, "NoCapacity"),
        (400, r#"{"success":false,"error":"invalid_args","msg":"x"}"#, "Refused"),
        (
            400,
            r#"{"success":false,"error":"insufficient_credit","msg":"Your account lacks credit"}"#,
            "AccountLimit",
        ),
        (403, r#"{"success":false,"error":"invalid_args","msg":"Offer 5 is not your own"}"#, "Refused"),
        (404, r#"{"success":false,"error":"auth_error","msg":"Invalid user key"}"#, "Unauthorized"),
        (401, r#"{"success":false,"error":"auth_error","msg":"Invalid user key"}"#, "Unauthorized"),
        (429, r#"{"detail":"API requests too frequent endpoint threshold=4.5"}"#, "Throttled"),
        (500, "oops", "Ambiguous"),
        (200, "{}", "Ambiguous"),
        (200, "<html>", "Ambiguous"),
    ] {
        let error = answering(status, body).await.create(&order("5", Shape::Container)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn a_throttle_in_plain_text_tells_the_least_interval_of_its_endpoint() {
    let (vast, _) = vast(|_| text(429, "API requests too frequent")).await;
    let error = vast.create(&order("5", Shape::Container)).await.unwrap_err();
    assert_eq!(error, Error::Throttled { vendor: VENDOR, after: Duration::from_millis(4500) });
}

#[tokio::test]
async fn states_are_read_from_all_four_fields() {
    let all =
        |state: &str| format!(r#","cur_state":"{state}","intended_status":"{state}","next_state":"{state}""#);
    for (fields, state) in [
        (format!(r#","actual_status":null{}"#, all("running")), State::Pending),
        (format!(r#","actual_status":"loading"{}"#, all("running")), State::Pending),
        (format!(r#","actual_status":"running"{}"#, all("running")), State::Running),
        (format!(r#","actual_status":"exited"{}"#, all("running")), State::Stopped),
        (format!(r#","actual_status":"offline"{}"#, all("running")), State::Failed),
        (format!(r#","actual_status":"running"{}"#, all("stopped")), State::Stopped),
        (format!(r#","actual_status":null{}"#, all("stopped")), State::Stopped),
        (
            r#","actual_status":"running","cur_state":"stopped","intended_status":"running""#.to_owned(),
            State::Running,
        ),
        (r#","actual_status":"teleporting""#.to_owned(), State::Pending),
    ] {
        let row = machine(4, NAME, &fields);
        let (vast, _) = vast(move |_| json(200, format!(r#"{{"instances":{row}}}"#))).await;
        assert_eq!(vast.get(&id("4")).await.unwrap().unwrap().state, state, "{fields}");
    }
}

#[tokio::test]
async fn a_machine_tells_where_it_is_since_when_and_for_how_much() {
    let rest = r#","actual_status":"running","public_ipaddr":"203.0.113.7\n","start_date":1764417600.75,"dph_total":0.3555555"#;
    let row = machine(4, NAME, rest);
    let (vast, _) = vast(move |_| json(200, format!(r#"{{"instances":{row}}}"#))).await;
    let machine = vast.get(&id("4")).await.unwrap().unwrap();
    assert_eq!(machine.address, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(machine.since.unwrap().as_second(), 1_764_417_600);
    assert_eq!(machine.hourly.unwrap().to_string(), "0.355556");
}

#[tokio::test]
async fn none_is_said_only_where_vast_says_it() {
    for (status, body) in [
        (200, r#"{"instances":null}"#),
        (404, r#"{"success":false,"error":"not_found","msg":"Instance not found"}"#),
    ] {
        assert_eq!(answering(status, body).await.get(&id("4")).await.unwrap(), None);
    }
    for (status, body, kind) in [
        (200, "{}", "Malformed"),
        (200, r#"{"instances":{"id":4}}"#, "Malformed"),
        (200, r#"{"instances":{"id":4,"label":"somebody's"}}"#, "Malformed"),
        (404, "<html>", "Refused"),
        (404, r#"{"success":false,"error":"auth_error","msg":"x"}"#, "Unauthorized"),
        (502, "", "Unavailable"),
    ] {
        assert_eq!(
            answering(status, body).await.get(&id("4")).await.unwrap_err().kind(),
            kind,
            "{status} {body}"
        );
    }
}

/// 27 machines on two pages; the second of them has `last` rows of the tenant, and the API says there are `total`.
async fn pages(last: u64, total: u64) -> (Result<Vec<Instance>, Error>, Stub) {
    let (vast, stub) = vast(move |line| {
        let stranger = "coop-ffffffffffff-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        let rows = |range: std::ops::Range<u64>, label: &str| -> String {
            range.map(|id| machine(id, label, "")).collect::<Vec<_>>().join(",")
        };
        if line.contains("after_token=two") {
            let (rows, null) = (rows(25..25 + last, NAME), "null");
            json(200, format!(r#"{{"instances":[{rows}],"total_instances":{total},"next_token":{null}}}"#))
        } else {
            let rows = rows(0..25, stranger);
            json(200, format!(r#"{{"instances":[{rows}],"total_instances":{total},"next_token":"two"}}"#))
        }
    })
    .await;
    (vast.list(&tenant()).await, stub)
}

#[tokio::test]
async fn a_list_has_all_pages_and_only_the_tenants_machines() {
    let (listed, stub) = pages(2, 27).await;
    let ids: Vec<String> = listed.unwrap().into_iter().map(|machine| machine.id.0).collect();
    assert_eq!(ids, ["25", "26"]);
    assert_eq!(stub.seen().len(), 2);
    assert!(stub.lines()[0].starts_with("GET /api/v1/instances/?limit=25&order_by="));
}

#[tokio::test]
async fn a_list_that_lacks_rows_fields_or_a_page_is_an_error() {
    assert_eq!(pages(1, 27).await.0.unwrap_err().kind(), "Malformed");
    for body in [
        "{}",
        r#"{"instances":[]}"#,
        r#"{"total_instances":0}"#,
        r#"{"instances":null,"total_instances":0}"#,
        r#"{"instances":[],"total_instances":3,"next_token":null}"#,
        r#"{"instances":[{"id":4}],"total_instances":1,"next_token":null}"#,
    ] {
        assert_eq!(
            answering(200, body).await.list(&tenant()).await.unwrap_err().kind(),
            "Malformed",
            "{body}"
        );
    }
    let gone = answering(410, r#"{"success":false,"error":"gone","msg":"use v1"}"#).await;
    assert_eq!(gone.list(&tenant()).await.unwrap_err().kind(), "Refused");
    let none = answering(200, r#"{"instances":[],"total_instances":0,"next_token":null}"#).await;
    assert!(none.list(&tenant()).await.unwrap().is_empty());
}

async fn deleting(delete: (u16, &'static str), get: (u16, &'static str)) -> Result<Deleted, Error> {
    let (vast, _) = vast(move |line| {
        let (status, body) = if line.starts_with("DELETE") { delete } else { get };
        json(status, body)
    })
    .await;
    vast.delete(&id("4")).await
}

#[tokio::test]
async fn gone_is_what_is_not_there_any_more() {
    let done = (200, r#"{"success":true,"msg":"destroyed"}"#);
    let null = (200, r#"{"instances":null}"#);
    assert_eq!(deleting(done, null).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(done, (200, r#"{"instances":{"id":4,"label":null}}"#)).await, Ok(Deleted::Ending));
    assert_eq!(deleting(done, (500, "")).await, Ok(Deleted::Ending));
    let absent = (404, r#"{"success":false,"error":"not_found","msg":"Instance not found"}"#);
    assert_eq!(deleting(absent, null).await, Ok(Deleted::Gone { at: None }));
    for (status, body, kind) in [
        (404, r#"{"success":false,"error":"auth_error","msg":"Invalid user key"}"#, "Unauthorized"),
        (404, "not found", "Refused"),
        (500, "", "Ambiguous"),
        (200, r#"{"success":false}"#, "Ambiguous"),
        (200, "", "Ambiguous"),
    ] {
        assert_eq!(deleting((status, body), null).await.unwrap_err().kind(), kind, "{status} {body}");
    }
}

#[tokio::test]
async fn what_was_charged_is_found_by_the_machine() {
    let body = r#"{"success":true,"count":2,"total":2,"next_token":null,"results":[
        {"source":"instance-44","amount":9.5,"items":[]},{"source":"instance-4","amount":38.421,"items":[]}]}"#;
    let (vast, stub) = vast(move |_| json(200, body)).await;
    let charge = vast.charged(&id("4")).await.unwrap().unwrap();
    assert_eq!(
        (charge.id, charge.amount.to_string(), charge.is_final),
        (id("4"), "38.421".to_owned(), false)
    );
    assert_eq!(vast.charged(&id("5")).await.unwrap(), None);
    assert!(stub.lines()[0].contains("GET /api/v0/charges/?select_filters=%7B%22day%22%3A%7B%22gte%22%3A"));
    assert_eq!(answering(200, "{}").await.charged(&id("4")).await.unwrap_err().kind(), "Malformed");
}

#[tokio::test]
async fn a_log_is_read_from_where_it_was_put_without_the_key() {
    let (vast, stub) = vast(|line| match line {
        "PUT /api/v0/instances/request_logs/7/" => json(200, r#"{"success":true,"result_url":"/put/7.log"}"#),
        _ => text(200, "step 1\nstep 2\n"),
    })
    .await;
    assert_eq!(vast.logs(&id("7")).await.unwrap().as_deref(), Some("step 1\nstep 2\n"));
    let seen = stub.seen();
    assert_eq!(seen[1].line, "GET /put/7.log");
    assert_eq!(seen[1].authorization, "");
}

#[tokio::test]
async fn a_log_is_not_fetched_from_a_place_without_tls() {
    let answer = r#"{"success":true,"result_url":"http://169.254.169.254/latest"}"#;
    let error = answering(200, answer).await.logs(&id("7")).await.unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}
