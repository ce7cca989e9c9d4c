//! NodeClaims that are none.

use serde_json::{Value, json};

use super::collective::{BUDGET, OBJECT, PRICE};
use super::contribution::DIGEST;
use super::fine_tune::{BYTES, CPU, DEVICES, RESOURCE};
use super::node_pool::{COMPARED, KEY, VALUES, one};
use super::{Case, GONE, each, number};

const NAME: &str = "metadata.name must be at most 63 lowercase letters, digits or `-`";

pub fn cases() -> Vec<Case> {
    [references(), requirements(), resources(), money(), work(), rest()].concat()
}

fn references() -> Vec<Case> {
    vec![
        ("/metadata/name", json!("c".repeat(64)), NAME),
        ("/metadata/name", json!("with.dot"), NAME),
        ("/spec/nodePoolRef", GONE, "spec.nodePoolRef: Required value"),
        ("/spec/nodePoolRef/name", json!("elsewhere/gpus"), OBJECT),
        ("/spec/nodePoolRef/name", json!("g".repeat(41)), "name must be at most 40 characters"),
        ("/spec/nodePoolRef/namespace", json!("elsewhere"), "unknown field \"spec.nodePoolRef.namespace\""),
        ("/spec/fineTuneRef/name", json!("../up"), OBJECT),
        ("/spec/fineTuneRef/name", json!("f".repeat(41)), "name must be at most 40 characters"),
        (
            "/spec",
            json!({"nodePoolRef": {"name": "gpus"}, "diskGi": 40, "attempt": 1}),
            "attempt must be given with fineTuneRef alone",
        ),
        ("/spec/attempt", json!(0), "greater than or equal to 1"),
        ("/spec/attempt", json!("1"), "must be of type integer"),
        ("/spec/providerID", json!("vast://1"), "unknown field \"spec.providerID\""),
        ("/spec/userData", json!("#!/bin/sh"), "unknown field \"spec.userData\""),
    ]
}

fn requirements() -> Vec<Case> {
    let at = "/spec/requirements";
    let many = vec![json!({"key": "cooperator.dev/host", "operator": "Exists"}); 65];
    vec![
        (at, json!(many), "must have at most 64 items"),
        (at, one("node.kubernetes.io/instance-type", "In", json!(["a"])), KEY),
        (at, one("cooperator.dev/host", "In", json!([])), VALUES),
        (at, one("cooperator.dev/host", "Gt", json!(["1"])), COMPARED),
    ]
}

fn resources() -> Vec<Case> {
    let at = "/spec/resources";
    let requests = |name: &str, amount: Value| json!({"requests": {name: amount}});
    vec![
        (at, json!({"limits": {"cpu": 1}}), "unknown field \"spec.resources.limits\""),
        (at, requests("cpu", json!("0")), CPU),
        (at, requests("cpu", json!(0.5)), "spec.resources.requests.cpu"),
        (at, requests("memory", json!("8GB")), BYTES),
        (at, requests("nvidia.com/gpu", json!("0.5")), DEVICES),
        (at, requests("nvidia.com/gpu", json!(1000)), DEVICES),
        (at, requests("gpu", json!(1)), RESOURCE),
        (at, requests("memory", number("null")), "should have at least 1 properties"),
    ]
}

fn money() -> Vec<Case> {
    [
        each("/spec/maxPricePerHour", PRICE, [json!("-0.5"), json!("4.1234567"), json!("free")]),
        each("/spec/budget", BUDGET, [json!("-5"), json!("1e3"), json!("9999999999999999")]),
    ]
    .concat()
}

fn work() -> Vec<Case> {
    vec![
        ("/spec/work/tokens", json!(-1), "greater than or equal to 0"),
        ("/spec/work/flopsPerToken", json!(0), "greater than or equal to 1"),
        ("/spec/work/tokensPerSecond", json!(0), "greater than or equal to 1"),
        ("/spec/work/tokensPerSecond", json!(1.5), "must be of type integer"),
        ("/spec/work/baseModel", json!("smollm2"), DIGEST),
        ("/spec/work/command", json!("sh"), "unknown field \"spec.work.command\""),
    ]
}

fn rest() -> Vec<Case> {
    let expire = "must be hours, minutes and seconds from 10m to 720h, such as `1h30m`";
    let twice = json!({"key": "a", "effect": "NoSchedule"});
    vec![
        ("/spec/diskGi", GONE, "spec.diskGi: Required value"),
        ("/spec/diskGi", json!(7), "greater than or equal to 8"),
        ("/spec/spot", json!("Always"), "Unsupported value: \"Always\""),
        ("/spec/spot", json!(true), "must be of type string"),
        ("/spec/expireAfter", json!("5m"), expire),
        ("/spec/expireAfter", json!("Never"), expire),
        ("/spec/taints", json!([twice, twice]), "Duplicate value"),
        ("/spec/startupTaints", json!([{"key": "a", "effect": "Never"}]), "Unsupported value: \"Never\""),
    ]
}
