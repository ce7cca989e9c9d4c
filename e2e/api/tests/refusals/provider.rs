//! Providers that are none.

use serde_json::{Value, json};

use super::collective::{CURRENCY, LABEL, OBJECT, PRICE};
use super::contribution::COLLECTIVE;
use super::{Case, GONE, each, number};

pub const DURATION: &str = "must be hours, minutes and seconds from 30s to 24h, such as `1h30m`";
const URL: &str = "must be http:// or https://, a host, and at most a port and a path";
const RATE: &str = "must be a decimal string above 0, below 10^9, with at most 6 decimals, such as `1.08`";
const SECRET: &str = "secretRef must be given, but not with type: Static";
const MACHINES: &str = "machines must be given with type: SSH or Static, and only with those";
const SSH: &str = "machines of type: SSH must have address, user and hostKey, and no node";
const STATIC: &str = "machines of type: Static must have node, the name of a Node of the cluster";
const HOST: &str = "must be a host name or an IP address, without a port";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFxbKcT7pJzvO4wBhS+2s0P0kYQmVdEJrW1aK0b8u9Zq";

pub fn cases() -> Vec<Case> {
    [whole(), addresses(), money(), bounds(), kinds(), machines(), sizes()].concat()
}

fn whole() -> Vec<Case> {
    vec![
        ("/metadata/name", json!("p".repeat(41)), "metadata.name must be at most 40 characters"),
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef/name", json!("presidents.elsewhere"), COLLECTIVE),
        ("/spec/type", GONE, "spec.type: Required value"),
        ("/spec/type", json!("AWS"), "Unsupported value: \"AWS\""),
        ("/spec/type", json!("Ssh"), "Unsupported value: \"Ssh\""),
        ("/spec/secretRef", GONE, SECRET),
        ("/spec/secretRef/name", json!("kube-system/token"), OBJECT),
        ("/spec/secretRef/key", json!("token"), "unknown field \"spec.secretRef.key\""),
        ("/spec/apiKey", json!("sk-0123"), "unknown field \"spec.apiKey\""),
        ("/spec/machines", json!([{"name": "one", "node": "one", "cpu": 1, "memory": "1Gi"}]), MACHINES),
    ]
}

fn addresses() -> Vec<Case> {
    each(
        "/spec/endpoint",
        URL,
        [
            json!("ftp://api.example"),
            json!("file:///etc/passwd"),
            json!("https://key@api.example"),
            json!("https://user:key@api.example/v1"),
            json!("https://api.example/v1?key=abc"),
            json!("https://api.example/v1#top"),
            json!("https://api.example/../v1"),
            json!("https://api.example//v1"),
            json!("https://api.example:0/"),
            json!("https://api.example:99999"),
            json!("https://api.exa mple"),
            json!("https://api.example\r\nX-Key: a"),
            json!("https://api.ex\u{430}mple"),
            json!("HTTPS://api.example"),
            json!("api.example.org"),
        ],
    )
}

fn money() -> Vec<Case> {
    [
        each(
            "/spec/exchangeRate",
            RATE,
            [
                json!("0"),
                json!("0.000000"),
                json!("-1.08"),
                json!("1e2"),
                json!("1.0800001"),
                json!("1,08"),
                json!("1000000000"),
                json!("NaN"),
                json!(""),
            ],
        ),
        each("/spec/currency", CURRENCY, [json!("eur"), json!("EUR "), json!("1ST"), json!("\u{20ac}UR")]),
        each("/spec/limits/pricePerHour", PRICE, [json!("-1"), json!("1000000001"), json!("1.2345678")]),
        vec![
            ("/spec/exchangeRate", json!(1.08), "must be of type string"),
            ("/spec/currency", json!("EU"), "at least 3 chars long"),
        ],
    ]
    .concat()
}

fn bounds() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/limits/machines", json!(-1), "greater than or equal to 0"),
        ("/spec/limits/machines", json!(1001), "less than or equal to 1000"),
        ("/spec/limits/machines", number("1e4"), "less than or equal to 1000"),
        ("/spec/breaker/failures", json!(0), "greater than or equal to 1"),
        ("/spec/breaker/failures", json!(101), "less than or equal to 100"),
        ("/spec/timeouts/launch", json!(600), "must be of type string"),
        ("/spec/timeouts/boot", json!("5m"), "unknown field \"spec.timeouts.boot\""),
    ];
    cases.extend(each(
        "/spec/timeouts/launch",
        DURATION,
        [
            json!("29s"),
            json!("24h1s"),
            json!("0s"),
            json!("-5m"),
            json!("5 m"),
            json!("1d"),
            json!("1.5h"),
            json!(""),
        ],
    ));
    cases.extend(each("/spec/timeouts/registration", DURATION, [json!("25h"), json!("soon")]));
    cases.extend(each("/spec/timeouts/billing", DURATION, [json!("29s"), json!("later")]));
    cases.extend(each("/spec/timeouts/idle", DURATION, [json!("1s"), json!("never")]));
    cases.extend(each("/spec/breaker/window", DURATION, [json!("1s"), json!("1441m")]));
    cases.extend(each("/spec/breaker/pause", DURATION, [json!("1s"), json!("86401s")]));
    cases
}

/// A Provider of a type, with these fields besides.
fn of(kind: &str, fields: Value) -> Value {
    let mut spec = json!({"collectiveRef": {"name": "presidents"}, "type": kind});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

/// A machine reached by SSH, with one field changed.
fn ssh(field: &str, value: Value) -> Value {
    let mut machine = json!({"name": "one", "address": "192.0.2.7", "user": "root", "hostKey": KEY, "cpu": 1, "memory": "1Gi"});
    match value {
        Value::Null => drop(machine.as_object_mut().unwrap().remove(field)),
        value => machine[field] = value,
    }
    of("SSH", json!({"secretRef": {"name": "key"}, "machines": [machine]}))
}

/// A node of the cluster, with one field changed.
fn fixed(field: &str, value: Value) -> Value {
    let mut machine = json!({"name": "one", "node": "worker-1", "cpu": 1, "memory": "1Gi"});
    match value {
        Value::Null => drop(machine.as_object_mut().unwrap().remove(field)),
        value => machine[field] = value,
    }
    of("Static", json!({"machines": [machine]}))
}

fn kinds() -> Vec<Case> {
    let endpoint = "endpoint must be left out with type: SSH or Static";
    let with_endpoint = |mut spec: Value| {
        spec["endpoint"] = json!("https://api.example.org");
        spec
    };
    let mut with_secret = fixed("name", json!("one"));
    with_secret["secretRef"] = json!({"name": "key"});
    let twice = json!({"name": "one", "node": "worker-1", "cpu": 1, "memory": "1Gi"});
    vec![
        ("/spec", of("Vast", json!({})), SECRET),
        ("/spec", with_secret, SECRET),
        ("/spec", with_endpoint(ssh("name", json!("one"))), endpoint),
        ("/spec", with_endpoint(fixed("name", json!("one"))), endpoint),
        ("/spec", of("SSH", json!({"secretRef": {"name": "key"}})), MACHINES),
        ("/spec", of("Static", json!({})), MACHINES),
        ("/spec", of("Static", json!({"machines": []})), MACHINES),
        ("/spec", of("Static", json!({"machines": [twice, twice]})), "Duplicate value"),
        ("/spec", of("Static", json!({"machines": vec![twice; 65]})), "must have at most 64 items"),
    ]
}

fn machines() -> Vec<Case> {
    let mut cases = vec![
        ("/spec", ssh("address", GONE), SSH),
        ("/spec", ssh("user", GONE), SSH),
        ("/spec", ssh("hostKey", GONE), SSH),
        ("/spec", ssh("node", json!("worker-1")), SSH),
        ("/spec", fixed("node", GONE), STATIC),
        ("/spec", fixed("address", json!("192.0.2.7")), STATIC),
        ("/spec", fixed("port", json!(22)), STATIC),
        ("/spec", fixed("user", json!("root")), STATIC),
        ("/spec", fixed("hostKey", json!(KEY)), STATIC),
        ("/spec", fixed("node", json!("worker_1")), "must be the name of a Node"),
        ("/spec", fixed("node", json!("a/b")), "must be the name of a Node"),
        ("/spec", fixed("name", json!("One")), LABEL),
        ("/spec", fixed("name", GONE), "spec.machines[0].name: Required value"),
        ("/spec", ssh("port", json!(0)), "greater than or equal to 1"),
        ("/spec", ssh("port", json!(65_536)), "less than or equal to 65535"),
        ("/spec", ssh("user", json!("root;reboot")), "must be the name of a user"),
        ("/spec", ssh("user", json!("-oProxyCommand")), "must be the name of a user"),
        ("/spec", ssh("password", json!("secret")), "unknown field \"spec.machines[0].password\""),
    ];
    let hosts =
        ["192.0.2.7:22", "-oProxyCommand=reboot", "root@a", "a b", "ex\u{430}mple", "a..b", "http://a"];
    cases.extend(hosts.map(|host| ("/spec", ssh("address", json!(host)), HOST)));
    let keys = [
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7",
        "ssh-ed25519 AAAA",
        "SHA256:abc",
        "192.0.2.7 ssh-ed25519",
    ];
    cases.extend(keys.map(|key| ("/spec", ssh("hostKey", json!(key)), "must be the first two words of")));
    cases
}

fn sizes() -> Vec<Case> {
    let cpu = "must be a quantity from 1m to 1024, such as `500m` or `2`";
    let bytes = "must be a quantity from 1Mi to 64Ti, such as `512Mi` or `8Gi`";
    let gpus = |model: Value, count: Value, memory: Value| {
        fixed("gpus", json!({"model": model, "count": count, "memory": memory}))
    };
    let mut cases = vec![
        ("/spec", fixed("cpu", GONE), "spec.machines[0].cpu: Required value"),
        ("/spec", fixed("memory", GONE), "spec.machines[0].memory: Required value"),
        ("/spec", fixed("cpu", json!(0.5)), "spec.machines[0].cpu"),
        ("/spec", fixed("pricePerHour", json!("-1")), PRICE),
        ("/spec", gpus(json!("RTX 3090"), json!(1), json!("24Gi")), LABEL),
        ("/spec", gpus(json!("rtx-3090"), json!(0), json!("24Gi")), "greater than or equal to 1"),
        ("/spec", gpus(json!("rtx-3090"), json!(65), json!("24Gi")), "less than or equal to 64"),
        ("/spec", gpus(json!("rtx-3090"), json!(1), json!("24GB")), bytes),
        ("/spec", gpus(json!("rtx-3090"), json!(1), json!(24)), bytes),
    ];
    cases.extend(
        [json!("0"), json!(1025), json!("-1"), json!("two")].map(|n| ("/spec", fixed("cpu", n), cpu)),
    );
    cases.extend(
        [json!("8GB"), json!(8), json!("65Ti"), json!("")].map(|n| ("/spec", fixed("memory", n), bytes)),
    );
    cases
}
