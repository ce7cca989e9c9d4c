use cooperator_core::market::{Granularity, Shape};

use super::*;
use crate::http::stub::{NAME, Reply, Stub, json, order, tenant};

const TYPES: &str = r#"{"data":{
    "gpu_8x_h100_sxm5":{"instance_type":{"name":"gpu_8x_h100_sxm5","description":"8x H100","gpu_description":"H100 (80 GB SXM5)",
        "price_cents_per_hour":3592,"specs":{"vcpus":208,"memory_gib":1800,"storage_gib":24780,"gpus":8}},
        "regions_with_capacity_available":[{"name":"us-west-1","description":"x"},{"name":"us-east-1","description":"y"}]},
    "gpu_1x_a10":{"instance_type":{"name":"gpu_1x_a10","description":"1x A10","gpu_description":"A10 (24 GB PCIe)",
        "price_cents_per_hour":75,"specs":{"vcpus":30,"memory_gib":200,"storage_gib":1400,"gpus":1}},
        "regions_with_capacity_available":[]},
    "cpu_4x":{"instance_type":{"name":"cpu_4x","description":"CPU","gpu_description":"N/A",
        "price_cents_per_hour":16,"specs":{"vcpus":4,"memory_gib":16,"storage_gib":512,"gpus":0}},
        "regions_with_capacity_available":[{"name":"us-west-1","description":"x"}]}}}"#;
const KEYS_BODY: &str = r#"{"data":[{"id":"2","name":"zeta"},{"id":"1","name":"alpha"}]}"#;

async fn lambda(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Lambda, Stub) {
    let stub = Stub::start(answer).await;
    (Lambda { client: stub.client(VENDOR), ssh_key: Mutex::default() }, stub)
}

/// Answers SSH keys well, and all else so.
async fn answering(status: u16, body: impl Into<String>) -> Lambda {
    let body = body.into();
    let answer = move |line: &str| {
        if line == "GET /ssh-keys" { json(200, KEYS_BODY) } else { json(status, body.clone()) }
    };
    lambda(answer).await.0
}

fn id(text: &str) -> InstanceId {
    InstanceId(text.to_owned())
}

fn failure(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"It is so.","suggestion":"None."}}}}"#)
}

fn machine(name: &str, status: &str) -> String {
    format!(
        r#"{{"id":"0920","name":"{name}","ip":"198.51.100.2","status":"{status}","ssh_key_names":["a"],"file_system_names":[],
        "region":{{"name":"us-west-1","description":"x"}},"instance_type":{{"name":"gpu_1x_a10","description":"d",
        "gpu_description":"A10 (24 GB PCIe)","price_cents_per_hour":75,
        "specs":{{"vcpus":30,"memory_gib":200,"storage_gib":1400,"gpus":1}}}},"actions":{{}}}}"#
    )
}

#[tokio::test]
async fn each_region_that_has_a_type_is_an_offer_by_the_minute() {
    let offers = answering(200, TYPES).await.offers(&Query::default()).await.unwrap();
    let ids: Vec<&str> = offers.iter().map(|offer| offer.id.0.as_str()).collect();
    assert_eq!(ids, ["cpu_4x@us-west-1", "gpu_8x_h100_sxm5@us-west-1", "gpu_8x_h100_sxm5@us-east-1"]);
    let big = &offers[1];
    assert_eq!(
        (big.terms.hourly.to_string().as_str(), big.terms.granularity),
        ("35.92", Granularity::Minute)
    );
    assert_eq!((big.cpu_millis, big.memory_mib, big.disk_gib), (208_000, 1800 * 1024, 24_780));
    let gpus = big.gpus.as_ref().unwrap();
    assert_eq!((gpus.model.as_str(), gpus.count, gpus.memory_mib), ("h100-sxm", 8, 80 * 1024));
    assert_eq!((big.region.as_str(), big.shape, &offers[0].gpus), ("us-west-1", Shape::Machine, &None));
    let query = Query { gpus: 1, ..Query::default() };
    assert_eq!(answering(200, TYPES).await.offers(&query).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_market_without_its_field_is_no_market() {
    for body in ["{}", r#"{"data":[]}"#, r#"{"data":{"x":{}}}"#, ""] {
        let error = answering(200, body).await.offers(&Query::default()).await.unwrap_err();
        assert_eq!(error.kind(), "Malformed", "{body}");
    }
    assert!(answering(200, r#"{"data":{}}"#).await.offers(&Query::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_is_launched_with_name_tags_and_the_first_ssh_key() {
    let (lambda, stub) = lambda(|line| {
        if line == "GET /ssh-keys" {
            json(200, KEYS_BODY)
        } else {
            json(200, r#"{"data":{"instance_ids":["0920"]}}"#)
        }
    })
    .await;
    let wanted = order("gpu_1x_a10@us-west-1", Shape::Machine);
    let made = lambda.create(&wanted).await.unwrap();
    assert_eq!((made.id, made.state, made.name.to_string()), (id("0920"), State::Pending, NAME.to_owned()));
    lambda.create(&wanted).await.unwrap();
    let launch = "POST /instance-operations/launch";
    assert_eq!(stub.lines(), ["GET /ssh-keys", launch, launch]);
    let Payload::UserData(script) = wanted.payload else { panic!() };
    assert_eq!(
        stub.seen()[1].body,
        serde_json::json!({
            "region_name": "us-west-1",
            "instance_type_name": "gpu_1x_a10",
            "ssh_key_names": ["alpha"],
            "name": NAME,
            "hostname": NAME,
            "user_data": script,
            "tags": [
                { "key": "cooperator-tenant", "value": "6f1c2a700b1d" },
                { "key": "cooperator-name", "value": NAME },
            ],
        })
    );
}

use crate::driver::Payload;

#[tokio::test]
async fn an_order_that_it_cannot_take_is_refused_before_it_is_sent() {
    let (lambda, stub) = lambda(|_| json(200, KEYS_BODY)).await;
    let mut long = order("a@b", Shape::Machine);
    long.payload = Payload::UserData("x".repeat((1 << 20) + 1));
    for wanted in [long, order("a@b", Shape::Container), order("12345", Shape::Machine)] {
        assert_eq!(lambda.create(&wanted).await.unwrap_err().kind(), "Refused");
    }
    assert_eq!(stub.lines(), ["GET /ssh-keys"]);
    let (keyless, _) = lambda_without_keys().await;
    let error = keyless.create(&order("a@b", Shape::Machine)).await.unwrap_err();
    assert!(error.to_string().contains("no SSH key"), "{error}");
}

async fn lambda_without_keys() -> (Lambda, Stub) {
    lambda(|_| json(200, r#"{"data":[]}"#)).await
}

#[tokio::test]
async fn each_refusal_of_an_order_has_its_meaning() {
    for (status, code, kind) in [
        (400, "instance-operations/launch/insufficient-capacity", "NoCapacity"),
        (400, "global/quota-exceeded", "AccountLimit"),
        (403, "global/account-inactive", "AccountLimit"),
        (401, "global/invalid-api-key", "Unauthorized"),
        (403, "global/forbidden", "Unauthorized"),
        (400, "global/invalid-parameters", "Refused"),
        (404, "global/object-does-not-exist", "Refused"),
        (429, "global/too-many-requests", "Throttled"),
        (500, "global/internal-error", "Ambiguous"),
    ] {
        let error =
            answering(status, failure(code)).await.create(&order("a@b", Shape::Machine)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        assert!(kind == "Throttled" || error.to_string().contains(code), "{error}");
    }
    for body in ["", "{}", r#"{"data":{"instance_ids":[]}}"#] {
        let error = answering(200, body).await.create(&order("a@b", Shape::Machine)).await.unwrap_err();
        assert_eq!(error.kind(), "Ambiguous", "{body}");
    }
}

#[tokio::test]
async fn a_machine_tells_its_state_address_and_price() {
    for (status, state) in [
        ("booting", State::Pending),
        ("active", State::Running),
        ("unhealthy", State::Failed),
        ("terminating", State::Ending),
        ("terminated", State::Over),
        ("preempted", State::Preempted),
        ("dreaming", State::Pending),
    ] {
        let body = format!(r#"{{"data":{}}}"#, machine(NAME, status));
        let found = answering(200, body).await.get(&id("0920")).await.unwrap().unwrap();
        assert_eq!((found.state, found.said.as_str()), (state, status));
        assert_eq!(found.hourly.unwrap().to_string(), "0.75");
        assert_eq!(found.address, Some("198.51.100.2".parse().unwrap()));
    }
}

#[tokio::test]
async fn none_is_said_only_where_lambda_says_it() {
    let absent = answering(404, failure("global/object-does-not-exist")).await;
    assert_eq!(absent.get(&id("0920")).await.unwrap(), None);
    for (status, body, kind) in [
        (404, "<html>".to_owned(), "Refused"),
        (404, failure("global/not-found"), "Refused"),
        (200, "{}".to_owned(), "Malformed"),
        (200, format!(r#"{{"data":{}}}"#, machine("somebody's", "active")), "Malformed"),
        (500, String::new(), "Unavailable"),
    ] {
        assert_eq!(
            answering(status, body.clone()).await.get(&id("0920")).await.unwrap_err().kind(),
            kind,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_list_knows_its_machines_by_name_or_tag_and_is_never_taken_from_a_missing_field() {
    let stranger = "coop-ffffffffffff-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let tags = format!(r#""actions":{{}},"tags":[{{"key":"cooperator-name","value":"{NAME}"}}]"#);
    let renamed = machine("renamed", "terminated").replace(r#""actions":{}"#, &tags);
    let all =
        [machine(NAME, "active"), machine(stranger, "active"), machine("mine", "active"), renamed].join(",");
    let listed = answering(200, format!(r#"{{"data":[{all}]}}"#)).await.list(&tenant()).await.unwrap();
    let states: Vec<(String, State)> =
        listed.into_iter().map(|one| (one.name.to_string(), one.state)).collect();
    assert_eq!(states, [(NAME.to_owned(), State::Running), (NAME.to_owned(), State::Over)]);
    for body in ["{}", r#"{"data":null}"#, "[]", r#"{"data":[{"id":"x"}]}"#, ""] {
        assert_eq!(
            answering(200, body).await.list(&tenant()).await.unwrap_err().kind(),
            "Malformed",
            "{body}"
        );
    }
}

async fn deleting(delete: (u16, String), get: (u16, String)) -> Result<Deleted, Error> {
    let (lambda, stub) = lambda(move |line| {
        let (status, body) = if line.starts_with("POST") { &delete } else { &get };
        json(*status, body.clone())
    })
    .await;
    let deleted = lambda.delete(&id("0920")).await;
    assert_eq!(stub.seen()[0].body, serde_json::json!({ "instance_ids": ["0920"] }));
    deleted
}

#[tokio::test]
async fn gone_is_what_has_ended_or_is_not_there_any_more() {
    let ended =
        |status: &str| (200, format!(r#"{{"data":{{"terminated_instances":[{}]}}}}"#, machine(NAME, status)));
    let found = |status: &str| (200, format!(r#"{{"data":{}}}"#, machine(NAME, status)));
    let absent = || (404, failure("global/object-does-not-exist"));
    let refused = || (400, failure("global/invalid-parameters"));
    assert_eq!(deleting(ended("terminating"), absent()).await, Ok(Deleted::Ending));
    assert_eq!(deleting(ended("terminated"), absent()).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(absent(), absent()).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(refused(), found("terminated")).await, Ok(Deleted::Gone { at: None }));
    assert_eq!(deleting(refused(), found("terminating")).await, Ok(Deleted::Ending));
    assert_eq!(deleting(refused(), found("active")).await.unwrap_err().kind(), "Refused");
    assert_eq!(deleting((500, String::new()), absent()).await.unwrap_err().kind(), "Ambiguous");
    assert_eq!(deleting((200, "{}".to_owned()), absent()).await.unwrap_err().kind(), "Ambiguous");
    let nothing = (200, r#"{"data":{"terminated_instances":[]}}"#.to_owned());
    assert_eq!(deleting(nothing, absent()).await, Ok(Deleted::Ending));
}

#[tokio::test]
async fn it_keeps_no_account_by_machine() {
    assert_eq!(answering(500, "").await.charged(&id("0920")).await.unwrap(), None);
}
