//! FineTunes that are none.

use serde_json::{Value, json};

use super::collective::{BUDGET, OBJECT, PRICE};
use super::contribution::DIGEST;
use super::dataset::LABEL_KEY;
use super::node_pool::{KEY, VALUES, one};
use super::{Case, GONE, each, number};

const RATE: &str = "must be a decimal string from 1e-10 to 1, such as `1e-3` or `0.0002`";
const DECAY: &str = "must be a decimal string from 0 to 10, such as `0.01`";
const CLIP: &str = "must be a decimal string from 0 (no clipping) to 1000000, such as `1.0`";
const DROPOUT: &str = "must be a decimal string from 0.0 to 0.9, such as `0.05`";
const DECIMAL: &str = "must be a decimal string such as `0.10`";
const RESOURCES: &str = "/spec/compute/resources";
pub const CPU: &str = "cpu must be a quantity from 1m to 1024, such as `500m` or `2`";
pub const BYTES: &str =
    "memory and ephemeral-storage must be quantities from 1Mi to 64Ti, such as `512Mi` or `8Gi`";
pub const DEVICES: &str = "devices must be whole numbers from 1 to 999";
pub const RESOURCE: &str =
    "must name nothing but cpu, memory, ephemeral-storage and devices such as nvidia.com/gpu";
pub const WITHIN: &str = "requests must not exceed limits";

pub fn cases() -> Vec<Case> {
    [
        references(),
        lora(),
        training(),
        evaluation(),
        resources(),
        cpu(),
        bytes(),
        devices(),
        placement(),
        rented(),
        rest(),
    ]
    .concat()
}

fn references() -> Vec<Case> {
    vec![
        ("/metadata/name", json!("f".repeat(41)), "metadata.name must be at most 40 characters"),
        ("/spec/baseModelRef", GONE, "spec.baseModelRef: Required value"),
        ("/spec/baseModelRef/name", json!("elsewhere/model"), OBJECT),
        ("/spec/baseModelRef/name", json!("m".repeat(41)), "name must be at most 40 characters"),
        ("/spec/datasetRef/name", json!("elsewhere/songs"), OBJECT),
        ("/spec/datasetRef/name", json!("../songs"), OBJECT),
        ("/spec/datasetRef/name", json!("s\u{43e}ngs"), OBJECT),
        ("/spec/datasetRef/name", json!("s".repeat(41)), "may not be more than 40"),
        ("/spec/datasetRef/name", json!(""), "at least 1 chars long"),
        ("/spec/datasetRef/namespace", json!("elsewhere"), "unknown field \"spec.datasetRef.namespace\""),
        ("/spec/datasetRef/digest", json!("latest"), DIGEST),
        ("/spec/datasetRef/digest", json!("sha256:../../etc"), DIGEST),
        ("/spec/runtimeRef", json!({"name": "axolotl"}), "runtimeRef.name must be candle"),
        (
            "/spec/runtimeRef",
            json!({"name": "candle", "image": "evil"}),
            "unknown field \"spec.runtimeRef.image\"",
        ),
    ]
}

fn lora() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/lora/rank", json!(0), "greater than or equal to 1"),
        ("/spec/lora/rank", json!(-8), "greater than or equal to 1"),
        ("/spec/lora/rank", json!(257), "less than or equal to 256"),
        ("/spec/lora/rank", json!(4_294_967_304_i64), "less than or equal to 256"),
        ("/spec/lora/rank", number("9223372036854775808"), "less than or equal to 256"),
        ("/spec/lora/rank", number("18446744073709551624"), "less than or equal to 256"),
        ("/spec/lora/rank", json!(8.5), "must be of type integer"),
        ("/spec/lora/rank", json!("8"), "must be of type integer"),
        ("/spec/lora/alpha", json!(0), "greater than or equal to 1"),
        ("/spec/lora/alpha", json!(1025), "less than or equal to 1024"),
        ("/spec/lora/dropout", json!(0.05), "must be of type string"),
        ("/spec/lora/targetModules", json!(["lm_head"]), "Unsupported value: \"lm_head\""),
        ("/spec/lora/targetModules", json!(["q_proj", "q_proj"]), "Duplicate value"),
        ("/spec/lora/targetModules", json!([]), "at least 1 items"),
        ("/spec/lora/targetModules", json!("q_proj"), "must be of type array"),
    ];
    cases.extend(each(
        "/spec/lora/dropout",
        DROPOUT,
        [
            json!("1.0"),
            json!("0.91"),
            json!("-0.1"),
            json!(".1"),
            json!("0."),
            json!("1e-1"),
            json!("5 %"),
            json!("NaN"),
            json!(""),
        ],
    ));
    cases
}

fn training() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/training/maxSteps", json!(0), "greater than or equal to 1"),
        ("/spec/training/maxSteps", json!(10_000_001), "less than or equal to 10000000"),
        ("/spec/training/maxSteps", number("9223372036854775808"), "must be of type integer"),
        ("/spec/training/maxSteps", json!(60.5), "must be of type integer"),
        ("/spec/training/warmupSteps", json!(61), "warmupSteps must not exceed maxSteps"),
        ("/spec/training/warmupSteps", json!(-1), "greater than or equal to 0"),
        ("/spec/training/batchSize", json!(0), "greater than or equal to 1"),
        ("/spec/training/batchSize", json!(1025), "less than or equal to 1024"),
        ("/spec/training/sequenceLength", json!(7), "greater than or equal to 8"),
        ("/spec/training/sequenceLength", json!(131_073), "less than or equal to 131072"),
        ("/spec/training/gradientAccumulation", json!(0), "greater than or equal to 1"),
        ("/spec/training/gradientAccumulation", json!(-1), "greater than or equal to 1"),
        ("/spec/training/learningRate", json!(0.001), "must be of type string"),
        ("/spec/training/learningRate", json!("0.00000000000000001"), "may not be more than 16"),
        ("/spec/training/seed", json!(-1), "greater than or equal to 0"),
        ("/spec/training/seed", json!(9_007_199_254_740_992_i64), "less than or equal to"),
        ("/spec/training/schedule", json!("Zigzag"), "Unsupported value: \"Zigzag\""),
        ("/spec/training/optimizer", json!("sgd"), "unknown field \"spec.training.optimizer\""),
        ("/spec/checkpoint/keep", json!(0), "greater than or equal to 1"),
        ("/spec/checkpoint/keep", json!(101), "less than or equal to 100"),
        ("/spec/checkpoint/everySteps", json!(-1), "greater than or equal to 0"),
    ];
    cases.extend(each(
        "/spec/training/learningRate",
        RATE,
        [
            json!("fast"),
            json!("0"),
            json!("0.0"),
            json!("0e5"),
            json!("-1e-3"),
            json!("1e-99"),
            json!("1.1"),
            json!("1e9"),
            json!("inf"),
            json!("NaN"),
            json!("1E-3"),
            json!("1e-3 "),
            json!(""),
        ],
    ));
    cases.extend(each(
        "/spec/training/weightDecay",
        DECAY,
        [json!("10.1"), json!("-0.01"), json!("1e-2"), json!("none")],
    ));
    cases.extend(each(
        "/spec/training/clipNorm",
        CLIP,
        [json!("1000001"), json!("-1"), json!("inf"), json!("1,0")],
    ));
    cases
}

fn evaluation() -> Vec<Case> {
    let gate = "/spec/evaluation/gates/0";
    let control = "must hold no control characters besides line breaks and tabs";
    let below = json!({"metric": "HeldOutPerplexity", "operator": "LessThanOrEqual", "value": "-1"});
    let mut cases = vec![
        ("/spec/evaluation/gates/0/metric", json!("Beauty"), "Unsupported value: \"Beauty\""),
        ("/spec/evaluation/gates/0/operator", json!(">="), "Unsupported value: \">=\""),
        ("/spec/evaluation/gates/0/value", json!(0.1), "must be of type string"),
        ("/spec/evaluation/gates/0/value", GONE, "value: Required value"),
        (gate, below, "value must be 0 or more: only HeldOutLossDrop can be below"),
        ("/spec/evaluation/prompts", json!([""]), "at least 1 chars long"),
        ("/spec/evaluation/prompts", json!(["x".repeat(2049)]), "may not be more than 2048"),
        ("/spec/evaluation/prompts", json!(vec!["x"; 17]), "must have at most 16 items"),
        ("/spec/evaluation/prompts", json!(["a\u{0}b"]), control),
        ("/spec/evaluation/prompts", json!(["\u{1b}[2J"]), control),
        ("/spec/evaluation/maxTokens", json!(-1), "greater than or equal to 0"),
        ("/spec/evaluation/maxTokens", json!(1_000_000_001), "less than or equal to 1000000000"),
        ("/spec/attribution/method", json!("Shapley"), "Unsupported value: \"Shapley\""),
    ];
    cases.extend(each(
        "/spec/evaluation/gates/0/value",
        DECIMAL,
        [json!("a lot"), json!("1e3"), json!("--1"), json!("NaN"), json!(""), json!("\u{2212}1")],
    ));
    cases
}

fn resources() -> Vec<Case> {
    let at = RESOURCES;
    vec![
        (at, json!({"claims": [{"name": "gpu"}]}), "unknown field \"spec.compute.resources.claims\""),
        (at, json!({"limits": ["cpu"]}), "must be of type object"),
        (at, limits("memory", number("null")), "should have at least 1 properties"),
        (at, limits("cpu", json!(0.5)), "spec.compute.resources.limits.cpu"),
        (at, limits("cpu", json!(true)), "spec.compute.resources.limits.cpu"),
        (at, limits("memory", json!("9".repeat(21))), "may not be more than 20"),
        (at, json!({"requests": {"memory": "9Gi"}, "limits": {"memory": "8Gi"}}), WITHIN),
        (at, json!({"requests": {"cpu": 3}, "limits": {"cpu": 2}}), WITHIN),
        (at, json!({"requests": {"nvidia.com/gpu": 1}}), "requests of a device must equal its limits"),
        (
            at,
            json!({"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}),
            "requests of a device must equal its limits",
        ),
    ]
}

fn limits(name: &str, amount: Value) -> Value {
    json!({"limits": {name: amount}})
}

fn cpu() -> Vec<Case> {
    each(
        RESOURCES,
        CPU,
        [
            limits("cpu", json!("-1")),
            limits("cpu", json!(-1)),
            limits("cpu", json!("0")),
            limits("cpu", json!(0)),
            limits("cpu", json!("1025")),
            limits("cpu", json!(9_223_372_036_854_775_807_i64)),
            limits("cpu", json!("1e9")),
            limits("cpu", json!("two")),
            limits("cpu", json!("")),
            limits("cpu", json!("1 ")),
            limits("cpu", json!("0.1m")),
        ],
    )
}

fn bytes() -> Vec<Case> {
    each(
        RESOURCES,
        BYTES,
        [
            limits("memory", json!("-8Gi")),
            limits("memory", json!("8GB")),
            limits("memory", json!("8 Gi")),
            limits("memory", json!("8gi")),
            limits("memory", json!("1.5.5Gi")),
            limits("memory", json!("100m")),
            limits("memory", json!(8)),
            limits("memory", json!(-1)),
            limits("memory", json!("9Ei")),
            limits("memory", json!("1e300")),
            limits("memory", json!("Infinity")),
            limits("ephemeral-storage", json!("0")),
            limits("ephemeral-storage", json!("65Ti")),
        ],
    )
}

fn devices() -> Vec<Case> {
    [
        each(
            RESOURCES,
            DEVICES,
            [
                limits("nvidia.com/gpu", json!("-1")),
                limits("nvidia.com/gpu", json!("0.5")),
                limits("nvidia.com/gpu", json!(0)),
                limits("nvidia.com/gpu", json!(1000)),
                limits("nvidia.com/gpu", json!("1k")),
            ],
        ),
        each(
            RESOURCES,
            RESOURCE,
            [
                limits("gpu", json!(1)),
                limits("Memory", json!("8Gi")),
                limits("pods", json!(1)),
                limits("nvidia.com/", json!(1)),
                limits("../cpu", json!(1)),
            ],
        ),
    ]
    .concat()
}

fn placement() -> Vec<Case> {
    let toleration = |fields: Value| json!([fields]);
    let at = "/spec/compute/tolerations";
    let mut cases = vec![
        (at, toleration(json!({"operator": "Near", "key": "a"})), "Unsupported value: \"Near\""),
        (at, toleration(json!({"key": "a", "effect": "Never"})), "Unsupported value: \"Never\""),
        (at, toleration(json!({"value": "a"})), "key may be left out with operator: Exists alone"),
        (
            at,
            toleration(json!({"key": "a", "operator": "Exists", "value": "b"})),
            "value must be left out with operator: Exists",
        ),
        (
            at,
            toleration(json!({"key": "a", "tolerationSeconds": 5})),
            "tolerationSeconds must be left out unless effect is NoExecute",
        ),
        (
            at,
            toleration(json!({"key": "a", "effect": "NoExecute", "tolerationSeconds": -1})),
            "greater than or equal to 0",
        ),
        (
            at,
            toleration(
                json!({"key": "a", "effect": "NoExecute", "tolerationSeconds": number("9223372036854775808")}),
            ),
            "must be of type integer",
        ),
        (at, toleration(json!({"key": "a b"})), LABEL_KEY),
        (at, toleration(json!({"key": "a", "value": "b c"})), "must be the value of a label"),
        (at, json!(vec![json!({"operator": "Exists"}); 17]), "must have at most 16 items"),
        ("/spec/compute/nodeSelector", json!({"pool": "gpu\n"}), "must be the value of a label"),
        ("/spec/compute/nodeSelector", json!({"pool": 1}), "must be of type string"),
        ("/spec/compute/nodeSelector", json!({"pool": number("null")}), "should have at least 1 properties"),
        ("/spec/compute/hostPath", json!("/"), "unknown field \"spec.compute.hostPath\""),
        ("/spec/compute/serviceAccountName", json!("cooperator-operator"), "unknown field"),
        ("/spec/compute/securityContext", json!({"privileged": true}), "unknown field"),
        ("/spec/compute/image", json!("evil"), "unknown field \"spec.compute.image\""),
    ];
    cases.extend(each(
        "/spec/compute/nodeSelector",
        LABEL_KEY,
        [
            json!({"": "a"}),
            json!({"../a": "b"}),
            json!({"a b": "c"}),
            json!({"kubernetes.io/host/name": "a"}),
        ],
    ));
    cases
}

fn rented() -> Vec<Case> {
    let at = "/spec/compute";
    let without = "requirements, diskGi and spot must be left out without nodePoolRef";
    let both = "nodeSelector must be left out with nodePoolRef";
    let pool = |fields: Value| {
        let mut compute = json!({"nodePoolRef": {"name": "gpus"}});
        compute.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        compute
    };
    vec![
        (at, json!({"spot": "Prefer"}), without),
        (at, json!({"diskGi": 40}), without),
        (at, json!({"requirements": one("cooperator.dev/cpu", "Gte", json!(["8"]))}), without),
        (at, pool(json!({"nodeSelector": {"pool": "gpu"}})), both),
        (at, pool(json!({"nodePoolRef": {"name": "elsewhere/gpus"}})), OBJECT),
        (at, pool(json!({"nodePoolRef": {"name": "g".repeat(41)}})), "name must be at most 40 characters"),
        (at, pool(json!({"spot": "Always"})), "Unsupported value: \"Always\""),
        (at, pool(json!({"diskGi": 7})), "greater than or equal to 8"),
        (at, pool(json!({"requirements": one("cpu", "Gte", json!(["8"]))})), KEY),
        (at, pool(json!({"requirements": one("cooperator.dev/cpu", "Gte", json!([]))})), VALUES),
    ]
}

fn rest() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/backoffLimit", json!(21), "less than or equal to 20"),
        ("/spec/backoffLimit", json!(-1), "greater than or equal to 0"),
        ("/spec/activeDeadlineSeconds", json!(59), "greater than or equal to 60"),
        ("/spec/activeDeadlineSeconds", json!(2_592_001), "less than or equal to 2592000"),
        ("/spec/activeDeadlineSeconds", json!("1h"), "must be of type integer"),
        ("/spec/progressDeadlineSeconds", json!(59), "greater than or equal to 60"),
        ("/spec/progressDeadlineSeconds", json!(86_401), "less than or equal to 86400"),
        ("/spec/ttlSecondsAfterFinished", json!(-1), "greater than or equal to 0"),
        ("/spec/ttlSecondsAfterFinished", number("1e10"), "less than or equal to 2.592e+06"),
        ("/spec/deletionPolicy", json!("Maybe"), "Unsupported value: \"Maybe\""),
        ("/spec/suspend", json!("true"), "must be of type boolean"),
        ("/spec/suspend", json!(0), "must be of type boolean"),
    ];
    cases.extend(each(
        "/spec/compute/budget",
        BUDGET,
        [json!("-5"), json!("5 EUR"), json!("1e3"), json!("0.0000001"), json!("9999999999999999")],
    ));
    cases.extend(each(
        "/spec/compute/maxPricePerHour",
        PRICE,
        [json!("-0.5"), json!("1000000000.000001"), json!("4.1234567"), json!("free"), json!("0x1")],
    ));
    cases
}
