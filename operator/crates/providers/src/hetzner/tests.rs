use cooperator_core::market::{Granularity, Shape};

use super::*;
use crate::http::stub::{NAME, Reply, Stub, json, order, tenant};

/// A type as the API gives it, with fields that nobody reads.
const CX22: &str = r#"{"id":104,"name":"cx22","description":"CX22","category":"cost_optimized","cores":2,"memory":4.5,"disk":40,
    "deprecated":false,"deprecation":null,"storage_type":"local","cpu_type":"shared","architecture":"x86","prices":[
    {"location":"fsn1","price_hourly":{"net":"0.0060000000000000","gross":"0.00714"},"included_traffic":21990232555520},
    {"location":"hel1","price_hourly":{"net":"0.0064000001","gross":"0.0077"}}]}"#;
const PRICES: &str = r#"{"pricing":{"currency":"EUR","vat_rate":"19.00","primary_ips":[
    {"type":"ipv4","prices":[{"location":"fsn1","price_hourly":{"net":"0.0008","gross":"0.001"}}]},
    {"type":"ipv6","prices":[{"location":"fsn1","price_hourly":{"net":"0.5","gross":"0.6"}}]}]}}"#;

async fn hetzner(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Hetzner, Stub) {
    let stub = Stub::start(answer).await;
    (Hetzner { client: stub.client(VENDOR) }, stub)
}

async fn answering(status: u16, body: impl Into<String>) -> Hetzner {
    let body = body.into();
    hetzner(move |_| json(status, body.clone())).await.0
}

async fn market(types: &str, pricing: (u16, &'static str)) -> Result<Vec<Offer>, Error> {
    let types = page("server_types", types, None, 1);
    let answer = move |line: &str| match line.starts_with("GET /pricing") {
        true => json(pricing.0, pricing.1),
        false => json(200, types.clone()),
    };
    hetzner(answer).await.0.offers(&Query::default()).await
}

fn id(text: &str) -> InstanceId {
    InstanceId(text.to_owned())
}

fn failure(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"it is so","details":{{}}}}}}"#)
}

fn page(field: &str, rows: &str, next: Option<u32>, total: u32) -> String {
    let next = next.map_or("null".to_owned(), |next| next.to_string());
    format!(
        r#"{{"{field}":[{rows}],"meta":{{"pagination":{{"page":1,"per_page":50,"previous_page":null,"next_page":{next},
        "last_page":1,"total_entries":{total}}}}}}}"#
    )
}

fn server(id: u32, name: &str, status: &str) -> String {
    format!(
        r#"{{"id":{id},"name":"{name}","status":"{status}","created":"2026-11-29T11:00:00+00:00","labels":{{}},
        "public_net":{{"ipv4":{{"ip":"203.0.113.9","blocked":false}},"ipv6":{{"ip":"2001:db8::/64"}}}},
        "server_type":{CX22},"datacenter":{{"id":4,"name":"fsn1-dc14","location":{{"id":1,"name":"fsn1"}}}}}}"#
    )
}

#[tokio::test]
async fn each_location_is_an_offer_by_the_hour_with_its_address_paid() {
    let offers = market(CX22, (200, PRICES)).await.unwrap();
    let [fsn1, hel1] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!((fsn1.id.0.as_str(), fsn1.region.as_str(), fsn1.shape), ("cx22@fsn1", "fsn1", Shape::Machine));
    assert_eq!(
        (fsn1.terms.hourly.to_string().as_str(), fsn1.terms.granularity),
        ("0.0068", Granularity::Hour)
    );
    assert_eq!(hel1.terms.hourly.to_string(), "0.006401");
    assert_eq!((fsn1.cpu_millis, fsn1.memory_mib, fsn1.disk_gib, &fsn1.gpus), (2000, 4608, 40, &None));
}

#[tokio::test]
async fn an_api_without_prices_of_addresses_charges_nothing_for_them() {
    let offers = market(CX22, (404, "not found")).await.unwrap();
    assert_eq!(offers[0].terms.hourly.to_string(), "0.006");
    assert_eq!(market(CX22, (500, "")).await.unwrap_err().kind(), "Unavailable");
    assert_eq!(market(CX22, (200, "{}")).await.unwrap_err().kind(), "Malformed");
}

#[tokio::test]
async fn what_is_no_longer_sold_or_not_there_now_is_no_offer() {
    let locations = |fsn1: &str| {
        let location = format!(r#""architecture":"x86","locations":[{{"id":1,"name":"fsn1",{fsn1}}}]"#);
        CX22.replace(r#""architecture":"x86""#, &location)
    };
    for (kind, left) in [
        (
            CX22.replace(
                r#""deprecation":null"#,
                r#""deprecation":{"unavailable_after":"2026-01-01T00:00:00Z"}"#,
            ),
            0,
        ),
        (CX22.replace(r#""architecture":"x86""#, r#""architecture":"arm""#), 0),
        (locations(r#""deprecation":null,"available":true"#), 1),
        (locations(r#""deprecation":null"#), 1),
        (locations(r#""deprecation":null,"available":false"#), 0),
        (locations(r#""deprecation":{"announced":"2026-01-01T00:00:00Z"}"#), 0),
    ] {
        assert_eq!(market(&kind, (200, PRICES)).await.unwrap().len(), left, "{kind}");
    }
}

#[tokio::test]
async fn a_server_is_ordered_with_name_labels_and_user_data() {
    let answer = format!(
        r#"{{"server":{},"action":{{"id":1}},"root_password":"hunter2"}}"#,
        server(42, NAME, "initializing")
    );
    let (hetzner, stub) = hetzner(move |_| json(201, answer.clone())).await;
    let wanted = order("cx22@fsn1", Shape::Machine);
    let made = hetzner.create(&wanted).await.unwrap();
    assert_eq!((made.id.clone(), made.state), (id("42"), State::Pending));
    assert_eq!(made.since.unwrap().to_string(), "2026-11-29T11:00:00Z");
    assert_eq!(made.hourly.unwrap().to_string(), "0.006");
    assert!(!format!("{made:?}").contains("hunter2"));
    let seen = stub.seen().remove(0);
    assert_eq!(seen.line, "POST /servers");
    let crate::driver::Payload::UserData(script) = wanted.payload else { panic!() };
    assert_eq!(
        seen.body,
        serde_json::json!({
            "name": NAME,
            "server_type": "cx22",
            "location": "fsn1",
            "image": "ubuntu-24.04",
            "user_data": script,
            "labels": { "cooperator-tenant": "6f1c2a700b1d", "cooperator-name": NAME },
            "start_after_create": true,
            "public_net": { "enable_ipv4": true, "enable_ipv6": true },
        })
    );
}

#[tokio::test]
async fn a_name_that_is_taken_is_the_server_that_an_earlier_order_made() {
    let (hetzner, stub) = hetzner(|line| match line.starts_with("POST") {
        true => json(409, failure("uniqueness_error")),
        false => json(200, page("servers", &server(42, NAME, "running"), None, 1)),
    })
    .await;
    let made = hetzner.create(&order("cx22@fsn1", Shape::Machine)).await.unwrap();
    assert_eq!((made.id, made.state), (id("42"), State::Running));
    assert_eq!(stub.lines()[1], format!("GET /servers?per_page=50&page=1&name={NAME}"));
}

#[tokio::test]
async fn a_name_that_is_taken_by_nobody_is_a_doubt() {
    let (hetzner, _) = hetzner(|line| match line.starts_with("POST") {
        true => json(409, failure("uniqueness_error")),
        false => json(200, page("servers", "", None, 0)),
    })
    .await;
    let error = hetzner.create(&order("cx22@fsn1", Shape::Machine)).await.unwrap_err();
    assert_eq!(error.kind(), "Ambiguous");
}

#[tokio::test]
async fn each_refusal_of_an_order_has_its_meaning() {
    for (status, code, kind) in [
        (412, "resource_unavailable", "NoCapacity"),
        (412, "placement_error", "NoCapacity"),
        (403, "resource_limit_exceeded", "AccountLimit"),
        (401, "unauthorized", "Unauthorized"),
        (403, "forbidden", "Unauthorized"),
        (422, "invalid_input", "Refused"),
        (429, "rate_limit_exceeded", "Throttled"),
        (423, "locked", "Unavailable"),
        (500, "service_error", "Ambiguous"),
        (504, "timeout", "Ambiguous"),
    ] {
        let error = answering(status, failure(code))
            .await
            .create(&order("cx22@fsn1", Shape::Machine))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
    }
    for body in ["", "{}", "<html>"] {
        let error = answering(201, body).await.create(&order("cx22@fsn1", Shape::Machine)).await.unwrap_err();
        assert_eq!(error.kind(), "Ambiguous");
    }
    let mut long = order("cx22@fsn1", Shape::Machine);
    long.payload = crate::driver::Payload::UserData("x".repeat((32 << 10) + 1));
    for wanted in [long, order("cx22@fsn1", Shape::Container), order("cx22", Shape::Machine)] {
        assert_eq!(answering(201, "").await.create(&wanted).await.unwrap_err().kind(), "Refused");
    }
}

#[tokio::test]
async fn a_server_tells_its_state_and_none_is_said_only_where_hetzner_says_it() {
    for (status, state) in [
        ("initializing", State::Pending),
        ("starting", State::Pending),
        ("running", State::Running),
        ("stopping", State::Stopped),
        ("off", State::Stopped),
        ("deleting", State::Ending),
        ("migrating", State::Pending),
        ("rebuilding", State::Pending),
        ("unknown", State::Pending),
    ] {
        let body = format!(r#"{{"server":{}}}"#, server(42, NAME, status));
        let found = answering(200, body).await.get(&id("42")).await.unwrap().unwrap();
        assert_eq!((found.state, found.address), (state, Some("203.0.113.9".parse().unwrap())), "{status}");
    }
    assert_eq!(answering(404, failure("not_found")).await.get(&id("42")).await.unwrap(), None);
    for (status, body, kind) in [
        (404, "<html>".to_owned(), "Refused"),
        (200, "{}".to_owned(), "Malformed"),
        (200, format!(r#"{{"server":{}}}"#, server(42, "somebodys", "running")), "Malformed"),
    ] {
        assert_eq!(answering(status, body).await.get(&id("42")).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_list_has_all_pages_and_is_known_by_name_or_label() {
    let renamed = server(2, "renamed", "off")
        .replace(r#""labels":{}"#, &format!(r#""labels":{{"cooperator-name":"{NAME}"}}"#));
    let (hetzner, stub) = hetzner(move |line| match line.contains("&page=2") {
        true => json(200, page("servers", &renamed, None, 2)),
        false => json(200, page("servers", &server(1, NAME, "running"), Some(2), 2)),
    })
    .await;
    let listed = hetzner.list(&tenant()).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id.0.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    let first = "GET /servers?per_page=50&page=1&label_selector=cooperator-tenant%3D%3D6f1c2a700b1d";
    assert_eq!(stub.lines()[0], first);
}

#[tokio::test]
async fn a_list_that_lacks_rows_fields_or_pages_is_an_error() {
    let one = server(1, NAME, "running");
    for body in [
        "{}".to_owned(),
        r#"{"servers":[]}"#.to_owned(),
        r#"{"servers":[],"meta":{"pagination":{"next_page":null}}}"#.to_owned(),
        page("server", &one, None, 1),
        page("servers", &one, None, 2),
        page("servers", &one, None, 0),
        page("servers", &one, Some(1), 2),
        page("servers", &server(1, "renamed", "running"), None, 1),
    ] {
        assert_eq!(
            answering(200, &*body).await.list(&tenant()).await.unwrap_err().kind(),
            "Malformed",
            "{body}"
        );
    }
    assert!(answering(200, page("servers", "", None, 0)).await.list(&tenant()).await.unwrap().is_empty());
}

async fn deleting(delete: (u16, String), get: (u16, String)) -> Result<Deleted, Error> {
    let (hetzner, _) = hetzner(move |line| {
        let (status, body) = if line == "DELETE /servers/42" { &delete } else { &get };
        json(*status, body.clone())
    })
    .await;
    hetzner.delete(&id("42")).await
}

#[tokio::test]
async fn gone_is_what_is_not_there_any_more() {
    let begun = || (200, r#"{"action":{"id":1,"status":"running"}}"#.to_owned());
    let absent = || (404, failure("not_found"));
    assert_eq!(deleting(begun(), absent()).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(absent(), absent()).await, Ok(Deleted::Gone { at: None }));
    let still = (200, format!(r#"{{"server":{}}}"#, server(42, NAME, "deleting")));
    assert_eq!(deleting(begun(), still).await, Ok(Deleted::Ending));
    assert_eq!(deleting(begun(), (500, String::new())).await, Ok(Deleted::Ending));
    assert_eq!(deleting((423, failure("locked")), absent()).await.unwrap_err().kind(), "Unavailable");
    assert_eq!(deleting((500, String::new()), absent()).await.unwrap_err().kind(), "Ambiguous");
    assert_eq!(deleting((404, "<html>".to_owned()), absent()).await.unwrap_err().kind(), "Refused");
}

#[tokio::test]
async fn it_keeps_no_account_by_server() {
    assert_eq!(answering(500, "").await.charged(&id("42")).await.unwrap(), None);
}
