//! NodePools that are none; and requirements, which NodeClaims and FineTunes have too.

use serde_json::{Value, json};

use super::collective::{BUDGET, OBJECT, PRICE};
use super::contribution::COLLECTIVE;
use super::dataset::LABEL_KEY;
use super::{Case, GONE, each};

const REQUIREMENTS: &str = "/spec/template/spec/requirements";
pub const KEY: &str = "must be one of cooperator.dev/provider, cooperator.dev/provider-type";
pub const VALUES: &str = "values must be at least one with operator In or NotIn, one with Gt, Lt, Gte or Lte, and none with Exists";
pub const COMPARED: &str =
    "operator must be In, NotIn, Exists or DoesNotExist but for cooperator.dev/gpu-count";
const NUMBERS: &str = "values of this key must be whole numbers from 0 to 9999999999, such as `24576`";
const WORDS: &str = "values must be spot or on-demand of a capacity-type, machine or container of a shape";
const LABEL_VALUES: &str = "must be values of labels: letters, digits, `-`, `_` or `.`";
const FOREIGN: &str = "keys must not be of kubernetes.io, k8s.io or cooperator.dev, except node-restriction";

pub fn cases() -> Vec<Case> {
    [references(), labels(), taints(), requirements(), values(), money(), rest()].concat()
}

fn references() -> Vec<Case> {
    let many: Vec<_> = (0..17).map(|n| json!({"name": format!("p{n}")})).collect();
    vec![
        ("/metadata/name", json!("p".repeat(41)), "metadata.name must be at most 40 characters"),
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef/name", json!("a.b"), COLLECTIVE),
        ("/spec/providerRefs", GONE, "spec.providerRefs: Required value"),
        ("/spec/providerRefs", json!([]), "spec.providerRefs in body should have at least 1 items"),
        ("/spec/providerRefs", json!(many), "must have at most 16 items"),
        ("/spec/providerRefs", json!([{"name": "vast"}, {"name": "vast", "weight": 2}]), "Duplicate value"),
        ("/spec/providerRefs/0/name", json!("elsewhere/vast"), OBJECT),
        ("/spec/providerRefs/0/name", json!("v".repeat(41)), "may not be more than 40"),
        ("/spec/providerRefs/0/weight", json!(0), "greater than or equal to 1"),
        ("/spec/providerRefs/0/weight", json!(101), "less than or equal to 100"),
        ("/spec/providerRefs/0/namespace", json!("elsewhere"), "unknown field"),
    ]
}

fn labels() -> Vec<Case> {
    let at = "/spec/template/metadata/labels";
    let mut cases = vec![
        (at, json!({"pool": "gpu\n"}), "must be the value of a label"),
        (at, json!({"pool": 1}), "must be of type string"),
        (at, json!({"../a": "b"}), LABEL_KEY),
        ("/spec/template/metadata/annotations", json!({"a b": "c"}), LABEL_KEY),
        ("/spec/template/metadata/annotations", json!({"a": "\u{1b}[2J"}), "must hold no control characters"),
        ("/spec/template/metadata/annotations", json!({"a": "x".repeat(1025)}), "may not be more than 1024"),
        ("/spec/template/metadata/name", json!("node"), "unknown field \"spec.template.metadata.name\""),
        ("/spec/template/spec/kubelet", json!({}), "unknown field \"spec.template.spec.kubelet\""),
    ];
    cases.extend(each(
        at,
        FOREIGN,
        [
            json!({"kubernetes.io/hostname": "a"}),
            json!({"node-role.kubernetes.io/control-plane": ""}),
            json!({"cooperator.dev/node-claim": "another"}),
            json!({"topology.k8s.io/zone": "a"}),
            json!({"x.cooperator.dev/a": "b"}),
        ],
    ));
    cases
}

fn taints() -> Vec<Case> {
    let at = "/spec/template/spec/taints";
    let one = |taint: Value| json!([taint]);
    let twice = json!({"key": "a", "effect": "NoSchedule"});
    vec![
        (at, one(json!({"key": "a"})), "effect: Required value"),
        (at, one(json!({"effect": "NoSchedule"})), "key: Required value"),
        (at, one(json!({"key": "a", "effect": "Never"})), "Unsupported value: \"Never\""),
        (at, one(json!({"key": "a b", "effect": "NoSchedule"})), LABEL_KEY),
        (
            at,
            one(json!({"key": "a", "value": "b c", "effect": "NoSchedule"})),
            "must be the value of a label",
        ),
        (at, one(json!({"key": "a", "effect": "NoSchedule", "timeAdded": "now"})), "unknown field"),
        (at, json!([twice, twice]), "Duplicate value"),
        (
            "/spec/template/spec/startupTaints",
            one(json!({"key": "", "effect": "NoSchedule"})),
            "at least 1 chars long",
        ),
        ("/spec/template/spec/startupTaints", json!([twice, twice]), "Duplicate value"),
    ]
}

/// One requirement.
pub fn one(key: &str, operator: &str, values: Value) -> Value {
    json!([{"key": key, "operator": operator, "values": values}])
}

fn requirements() -> Vec<Case> {
    let at = REQUIREMENTS;
    let many = vec![json!({"key": "cooperator.dev/host", "operator": "Exists"}); 33];
    let mut cases = vec![
        (at, json!(many), "must have at most 32 items"),
        (at, json!([{"operator": "Exists"}]), "key: Required value"),
        (at, json!([{"key": "cooperator.dev/cpu"}]), "operator: Required value"),
        (at, one("cooperator.dev/cpu", "Near", json!(["8"])), "Unsupported value: \"Near\""),
        (at, one("cooperator.dev/cpu", "Gte", json!([8])), "must be of type string"),
        (at, one("cooperator.dev/host", "In", json!(vec!["a"; 65])), "must have at most 64 items"),
        (at, one("cooperator.dev/host", "In", json!(["a", "a"])), "Duplicate value"),
        (at, one("cooperator.dev/host", "In", json!(["a".repeat(64)])), "may not be more than 63"),
        (at, one("cooperator.dev/host", "In", json!([""])), "at least 1 chars long"),
        (at, json!({"cooperator.dev/cpu": "8"}), "unknown field"),
    ];
    cases.extend(
        ["cpu", "kubernetes.io/arch", "cooperator.dev/", "cooperator.dev/CPU", "karpenter.sh/capacity-type"]
            .map(|key| (at, one(key, "In", json!(["8"])), KEY)),
    );
    cases.extend(each(
        at,
        VALUES,
        [
            one("cooperator.dev/host", "In", json!([])),
            json!([{"key": "cooperator.dev/host", "operator": "NotIn"}]),
            one("cooperator.dev/host", "Exists", json!(["a"])),
            one("cooperator.dev/host", "DoesNotExist", json!(["a"])),
            one("cooperator.dev/cpu", "Gt", json!([])),
            one("cooperator.dev/cpu", "Lt", json!(["8", "9"])),
            json!([{"key": "cooperator.dev/cpu", "operator": "Gte"}]),
        ],
    ));
    cases
}

fn values() -> Vec<Case> {
    let at = REQUIREMENTS;
    [
        each(
            at,
            COMPARED,
            [
                one("cooperator.dev/gpu-model", "Gt", json!(["3"])),
                one("topology.kubernetes.io/region", "Lte", json!(["1"])),
            ],
        ),
        each(
            at,
            NUMBERS,
            [
                one("cooperator.dev/gpu-memory", "Gte", json!(["24Gi"])),
                one("cooperator.dev/gpu-count", "In", json!(["1", "two"])),
                one("cooperator.dev/cpu", "Lt", json!(["08"])),
                one("cooperator.dev/memory", "Gt", json!(["1.5"])),
                one("cooperator.dev/disk", "Gt", json!(["10000000000"])),
            ],
        ),
        each(
            at,
            WORDS,
            [
                one("cooperator.dev/capacity-type", "In", json!(["Spot"])),
                one("cooperator.dev/shape", "In", json!(["machine", "vm"])),
                one("cooperator.dev/provider-type", "NotIn", json!(["vast"])),
            ],
        ),
        each(
            at,
            LABEL_VALUES,
            [
                one("cooperator.dev/host", "In", json!(["a b"])),
                one("topology.kubernetes.io/region", "In", json!(["fsn1", "nbg1\n"])),
                one("cooperator.dev/gpu-model", "In", json!(["rtx/4090"])),
                one("cooperator.dev/cpu", "Gt", json!(["-1"])),
            ],
        ),
    ]
    .concat()
}

fn money() -> Vec<Case> {
    [
        each("/spec/maxPricePerHour", PRICE, [json!("-0.5"), json!("4.1234567"), json!("cheap"), json!("")]),
        each("/spec/limits/pricePerHour", PRICE, [json!("1e3"), json!("1000000000.1")]),
        each("/spec/limits/budget/amount", BUDGET, [json!("-5"), json!("5 EUR"), json!("0.0000001")]),
        vec![
            ("/spec/limits/budget/period", json!("Never"), "Unsupported value: \"Never\""),
            ("/spec/limits/budget/amount", GONE, "spec.limits.budget.amount: Required value"),
            ("/spec/maxPricePerHour", json!(2.5), "must be of type string"),
        ],
    ]
    .concat()
}

fn rest() -> Vec<Case> {
    let expire = "must be hours, minutes and seconds from 10m to 720h, such as `1h30m`";
    let after = "must be hours, minutes and seconds from 0s to 24h, such as `1h30m`";
    let download = "must be hours, minutes and seconds from 1m to 24h, such as `1h30m`";
    let mut cases = vec![
        ("/spec/limits/machines", json!(0), "greater than or equal to 1"),
        ("/spec/limits/machines", json!(1001), "less than or equal to 1000"),
        ("/spec/limits/cpu", json!("8"), "unknown field \"spec.limits.cpu\""),
        ("/spec/diskGi", json!(7), "greater than or equal to 8"),
        ("/spec/diskGi", json!(4097), "less than or equal to 4096"),
        ("/spec/diskGi", json!("40"), "must be of type integer"),
        ("/spec/priceHeadroom", json!(-1), "greater than or equal to 0"),
        ("/spec/priceHeadroom", json!(10_001), "less than or equal to 10000"),
        ("/spec/preflight/minGflops", json!(-1), "greater than or equal to 0"),
        ("/spec/preflight/minUploadMbitPerSecond", json!("20"), "must be of type integer"),
        ("/spec/preflight/minFlops", json!(1), "unknown field \"spec.preflight.minFlops\""),
        ("/spec/disruption/consolidationPolicy", json!("WhenUnderutilized"), "Unsupported value"),
    ];
    cases.extend(each(
        "/spec/template/spec/expireAfter",
        expire,
        [json!("9m59s"), json!("721h"), json!("Never")],
    ));
    cases.extend(each(
        "/spec/disruption/consolidateAfter",
        after,
        [json!("25h"), json!("-1s"), json!("Never")],
    ));
    cases.extend(each("/spec/preflight/maxModelDownload", download, [json!("59s"), json!("25h"), json!("")]));
    cases
}
