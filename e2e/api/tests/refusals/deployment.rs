//! Deployments that are none.

use serde_json::json;

use super::collective::{NAME, OBJECT, PRICE};
use super::fine_tune::{BYTES, CPU, RESOURCE, WITHIN};
use super::{Case, GONE, each, number};

const MODEL: &str =
    "must be letters, digits, `.`, `_` or `-`, in parts between `/` that begin with a letter or digit";

pub fn cases() -> Vec<Case> {
    [whole(), models(), prices()].concat()
}

fn whole() -> Vec<Case> {
    let mut cases = vec![
        ("/metadata/name", json!("9lives"), NAME),
        ("/metadata/name", json!("with.dot"), NAME),
        ("/metadata/name", json!("d".repeat(41)), NAME),
        ("/spec/fineTuneRef", GONE, "spec.fineTuneRef: Required value"),
        ("/spec/fineTuneRef/name", json!("elsewhere/v1"), OBJECT),
        ("/spec/fineTuneRef/name", json!("v1..v2"), OBJECT),
        ("/spec/fineTuneRef/name", json!("v".repeat(41)), "name must be at most 40 characters"),
        ("/spec/fineTuneRef/namespace", json!("elsewhere"), "unknown field \"spec.fineTuneRef.namespace\""),
        ("/spec/runtimeRef/name", json!("vllm"), "runtimeRef.name must be candle"),
        ("/spec/modelName", json!(""), "at least 1 chars long"),
        ("/spec/modelName", json!("m".repeat(129)), "may not be more than 128"),
        ("/spec/replicas", json!(101), "less than or equal to 100"),
        ("/spec/replicas", json!(-1), "greater than or equal to 0"),
        ("/spec/replicas", json!(1.5), "must be of type integer"),
        ("/spec/replicas", number("4294967297"), "less than or equal to 100"),
        ("/spec/replicas", number("18446744073709551617"), "less than or equal to 100"),
        ("/spec/access/mode", json!("Secret"), "Unsupported value: \"Secret\""),
        ("/spec/access/mode", json!("public"), "Unsupported value: \"public\""),
        ("/spec/image", json!("evil"), "unknown field \"spec.image\""),
        ("/spec/resources", json!({"limits": {"cpu": "-1"}}), CPU),
        ("/spec/resources", json!({"limits": {"cpu": "100000"}}), CPU),
        ("/spec/resources", json!({"requests": {"memory": "much"}}), BYTES),
        ("/spec/resources", json!({"requests": {"memory": "4G i"}}), BYTES),
        ("/spec/resources", json!({"limits": {"memory": "1Ei"}}), BYTES),
        ("/spec/resources", json!({"limits": {"host/cpu ": 1}}), RESOURCE),
        ("/spec/resources", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}), WITHIN),
        ("/spec/price", json!("0.2"), "must be of type object"),
        ("/spec/price/inputTokensPerMillion", json!(0.2), "must be of type string"),
        ("/spec/price/inputTokensPerMillion", json!("0".repeat(18)), "may not be more than 17"),
    ];
    for (field, least, most) in [
        ("/spec/limits/maxInputTokens", json!(0), json!(1_000_001)),
        ("/spec/limits/maxOutputTokens", json!(0), json!(1_000_001)),
        ("/spec/limits/requestsPerMinute", json!(-600), json!(1_000_001)),
        ("/spec/limits/tokensPerMinute", json!(0), json!(2_147_483_648_i64)),
    ] {
        cases.push((field, least, "greater than or equal to 1"));
        cases.push((field, most, "less than or equal to 1000000"));
        cases.push((field, number("9223372036854775808"), "must be of type integer"));
        cases.push((field, json!(0.5), "must be of type integer"));
        cases.push((field, json!("unlimited"), "must be of type integer"));
    }
    cases
}

fn models() -> Vec<Case> {
    each(
        "/spec/modelName",
        MODEL,
        [
            json!("bad name"),
            json!("../v1/models"),
            json!("a/../b"),
            json!("a//b"),
            json!("/a"),
            json!("a/"),
            json!("a?b"),
            json!("a#b"),
            json!("a%2fb"),
            json!("a\r\nx-injected: 1"),
            json!("gpt\u{2010}4"),
            json!("\u{430}dapter"),
            json!("model\u{200b}"),
        ],
    )
}

fn prices() -> Vec<Case> {
    [
        each(
            "/spec/price/inputTokensPerMillion",
            PRICE,
            [
                json!("-0.2"),
                json!("-0"),
                json!("1000000000.000001"),
                json!("1000000001"),
                json!("9999999999"),
                json!("1e2"),
                json!("20,00"),
                json!("20 USD"),
                json!("$20"),
                json!(""),
            ],
        ),
        each(
            "/spec/price/outputTokensPerMillion",
            PRICE,
            [
                json!("0.1234567"),
                json!("NaN"),
                json!("Infinity"),
                json!("0x10"),
                json!("1_000"),
                json!("\u{ff11}"),
                json!("80."),
            ],
        ),
    ]
    .concat()
}
