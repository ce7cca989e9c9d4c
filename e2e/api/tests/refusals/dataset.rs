//! Datasets that are none.

use serde_json::{Value, json};

use super::collective::{OBJECT, TEXT};
use super::contribution::COLLECTIVE;
use super::{Case, GONE, each, number};

pub const LABEL_KEY: &str = "keys must be label keys: a name of at most 63 letters, digits";
const LABEL_VALUE: &str = "must be the value of a label: at most 63 letters, digits";
const VALUES: &str = "values must be given with operator In or NotIn, and only with those";

pub fn cases() -> Vec<Case> {
    [references(), selector(), labels(), text()].concat()
}

fn references() -> Vec<Case> {
    vec![
        ("/metadata/name", json!("d".repeat(41)), "metadata.name must be at most 40 characters"),
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef/name", json!("elsewhere/presidents"), OBJECT),
        ("/spec/collectiveRef/name", json!("presidents.elsewhere.svc"), COLLECTIVE),
        ("/spec/modality", json!("Audio"), "modality must be Text"),
        ("/spec/baseModelRef", GONE, "spec.baseModelRef: Required value"),
        ("/spec/baseModelRef/name", json!("../up"), OBJECT),
        ("/spec/baseModelRef/name", json!("elsewhere/model"), OBJECT),
        ("/spec/baseModelRef/name", json!("m".repeat(41)), "name must be at most 40 characters"),
        ("/spec/baseModelRef/name", json!("m".repeat(254)), "may not be more than 253"),
        ("/spec/baseModelRef/namespace", json!("elsewhere"), "unknown field"),
        ("/spec/deduplicate", json!("Fuzzy"), "Unsupported value: \"Fuzzy\""),
        ("/spec/deduplicate", json!(true), "must be of type string"),
        ("/spec/refresh", json!("Hourly"), "Unsupported value: \"Hourly\""),
        ("/spec/holdout/basisPoints", json!(5001), "less than or equal to 5000"),
        ("/spec/holdout/basisPoints", json!(-1), "greater than or equal to 0"),
        ("/spec/holdout/basisPoints", json!(0.05), "must be of type integer"),
        ("/spec/holdout/basisPoints", number("1e30"), "less than or equal to 5000"),
    ]
}

fn selector() -> Vec<Case> {
    let expressions = "/spec/selector/matchExpressions";
    let one = |key: &str, operator: &str, values: Value| json!([{"key": key, "operator": operator, "values": values}]);
    let many =
        |most: usize| (0..most).map(|n| (format!("l{n}"), json!("a"))).collect::<serde_json::Map<_, _>>();
    let mut cases = vec![
        ("/spec/selector", GONE, "spec.selector: Required value"),
        ("/spec/selector", json!("corpus=sotu"), "must be of type object"),
        ("/spec/selector/namespaces", json!(["elsewhere"]), "unknown field \"spec.selector.namespaces\""),
        ("/spec/selector/matchLabels", json!(many(17)), "must have at most 16 items"),
        ("/spec/selector/matchLabels", json!({"corpus": 1}), "must be of type string"),
        (
            "/spec/selector/matchLabels",
            json!({"corpus": number("null")}),
            "should have at least 1 properties",
        ),
        ("/spec/selector/matchLabels", json!({"corpus": "a".repeat(64)}), "may not be more than 63"),
        (expressions, one("corpus", "Near", json!(["a"])), "Unsupported value: \"Near\""),
        (expressions, json!([{"operator": "Exists"}]), "key: Required value"),
        (expressions, json!([{"key": "corpus"}]), "operator: Required value"),
        (expressions, one("corpus", "In", json!(vec!["a"; 17])), "must have at most 16 items"),
        (expressions, one("corpus", "In", json!(["a b"])), LABEL_VALUE),
        (expressions, one("a/b/c", "Exists", json!([])), LABEL_KEY),
        (
            expressions,
            json!(vec![json!({"key": "a", "operator": "Exists"}); 17]),
            "must have at most 16 items",
        ),
    ];
    cases.extend(each(
        expressions,
        VALUES,
        [
            one("corpus", "In", json!([])),
            one("corpus", "Exists", json!(["a"])),
            json!([{"key": "corpus", "operator": "NotIn"}]),
        ],
    ));
    cases
}

fn labels() -> Vec<Case> {
    [
        each(
            "/spec/selector/matchLabels",
            LABEL_KEY,
            [
                json!({"": "a"}),
                json!({"a b": "a"}),
                json!({"-a": "a"}),
                json!({"a/b/c": "a"}),
                json!({"Example.org/a": "a"}),
                json!({"corp\u{443}s": "a"}),
                json!({("a".repeat(64)): "a"}),
                json!({(format!("{}/a", "a".repeat(320))): "a"}),
            ],
        ),
        each(
            "/spec/selector/matchLabels",
            LABEL_VALUE,
            [
                json!({"corpus": "a b"}),
                json!({"corpus": "-a"}),
                json!({"corpus": "\u{202e}a"}),
                json!({"corpus": "a/b"}),
            ],
        ),
    ]
    .concat()
}

fn text() -> Vec<Case> {
    vec![
        ("/spec/text/recordTokens", json!(15), "greater than or equal to 16"),
        ("/spec/text/recordTokens", json!(-512), "greater than or equal to 16"),
        ("/spec/text/recordTokens", json!(40000), "less than or equal to 32768"),
        ("/spec/text/recordTokens", number("9223372036854775808"), "less than or equal to 32768"),
        ("/spec/text/recordTokens", number("18446744073709551616"), "less than or equal to 32768"),
        ("/spec/text/recordTokens", json!(512.5), "must be of type integer"),
        ("/spec/text/recordTokens", json!("512"), "must be of type integer"),
        ("/spec/text/format", json!("Zip"), "Unsupported value: \"Zip\""),
        ("/spec/text/format", json!("Parquet"), "Unsupported value: \"Parquet\""),
        ("/spec/text/textField", json!(""), "at least 1 chars long"),
        ("/spec/text/textField", json!("x".repeat(65)), "may not be more than 64"),
        ("/spec/text/textField", json!("te\nxt"), TEXT),
        ("/spec/text/textField", json!("text\u{0}"), TEXT),
        ("/spec/text/script", json!("rm -rf /"), "unknown field \"spec.text.script\""),
    ]
}
