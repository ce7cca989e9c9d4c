//! Settlements that are none: the operator makes them, and nobody else can make one that breaks its sums.

use serde_json::{Value, json};

use super::api_key::INSTANT;
use super::collective::{CURRENCY, LABEL, OBJECT, TEXT};
use super::contribution::{COLLECTIVE, DIGEST};
use super::{Case, GONE, each, number};

const AMOUNT: &str =
    "must be a decimal string of 0 or more with at most 26 digits before and 12 after the point";
const NET: &str = "must be a decimal string with at most 26 digits before and 12 after the point";
const FOLDER: &str = "must be a folder, s3://bucket/key/, without `..`";

pub fn cases() -> Vec<Case> {
    [whole(), money(), counts()].concat()
}

fn whole() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef/name", json!("elsewhere/presidents"), OBJECT),
        ("/spec/collectiveRef/name", json!("c".repeat(41)), COLLECTIVE),
        ("/spec/period", GONE, "spec.period: Required value"),
        ("/spec/period/name", json!("2026/11"), LABEL),
        ("/spec/period/name", json!("../2026-11"), LABEL),
        ("/spec/period/name", json!("2026-W48"), LABEL),
        ("/spec/period/end", json!("2026-11-01T00:00:00Z"), "start must lie before end"),
        ("/spec/period/end", json!("2026-10-01T00:00:00Z"), "start must lie before end"),
        ("/spec/period/start", json!("2026-11-24T12:00:00+01:00"), "start must lie before end"),
        ("/spec/currency", json!("usd"), CURRENCY),
        ("/spec/currency", json!("\u{405}SD"), CURRENCY),
        ("/spec/decimals", json!(13), "less than or equal to 12"),
        ("/spec/decimals", json!(-2), "greater than or equal to 0"),
        ("/spec/decimals", json!(2.5), "must be of type integer"),
        ("/spec/usage/rootDigest", json!("sha256:00"), DIGEST),
        ("/spec/usage/segments", json!(1), "unknown field \"spec.usage.segments\""),
        ("/spec/statement", GONE, "spec.statement: Required value"),
        ("/spec/statement/digest", json!("sha256:"), DIGEST),
        ("/spec/revenue/0/adapterDigest", json!("latest"), DIGEST),
        ("/spec/revenue/0/deployment", json!("elsewhere/presidents"), OBJECT),
        ("/spec/costs/0/fineTune", json!("../v1"), OBJECT),
        ("/spec/payments/0/member", json!("elsewhere/lincoln"), LABEL),
        ("/spec/payments/0/member", json!("<reserve>"), LABEL),
        ("/spec/payments/0/account", json!("a\u{202e}b"), TEXT),
        ("/spec/payments/0/account", json!("a".repeat(257)), "may not be more than 256"),
    ];
    cases.extend(each(
        "/spec/period/start",
        INSTANT,
        [
            json!("2026-11"),
            json!("2026-13-01T00:00:00Z"),
            json!("2026-02-30T00:00:00Z"),
            json!("0000-01-01T00:00:00Z"),
            json!(""),
        ],
    ));
    cases.extend(each(
        "/spec/statement/storageUri",
        FOLDER,
        [
            json!("file:///etc/"),
            json!("https://b.example/settlements/"),
            json!("s3://bucket/settlements"),
            json!("s3://bucket/../other/"),
            json!("s3://a:b@bucket/settlements/"),
            json!("s3://bucket/a b/"),
            json!("s3://bucket/a\n/"),
        ],
    ));
    cases
}

fn money() -> Vec<Case> {
    let twice: Value = json!({"member": "ann", "tokens": 1, "basisPoints": 1, "amount": "1"});
    let mut cases = vec![
        ("/spec/gross", GONE, "spec.gross: Required value"),
        ("/spec/gross", json!(3.4), "must be of type string"),
        ("/spec/payments", json!([twice, twice]), "Duplicate value"),
        ("/spec/payments", json!("1"), "must be of type array"),
        ("/spec/payments/0/amount", GONE, "amount: Required value"),
        ("/spec/payments/0/amount", json!("1".repeat(43)), "may not be more than 42"),
    ];
    cases.extend(each(
        "/spec/payments/0/amount",
        AMOUNT,
        [
            json!("-3.22"),
            json!("3,22"),
            json!("1e3"),
            json!("NaN"),
            json!("3.0000000000001"),
            json!("1".repeat(27)),
            json!("3.22 USD"),
            json!(""),
        ],
    ));
    cases.extend(each("/spec/recovered", AMOUNT, [json!("-1"), json!("1.")]));
    cases.extend(each("/spec/reserve", AMOUNT, [json!("-0.17"), json!("+0.17")]));
    cases.extend(each("/spec/costs/0/amount", AMOUNT, [json!("-1"), json!("free")]));
    cases.extend(each(
        "/spec/gross",
        NET,
        [json!("--1"), json!("1e-3"), json!("0x1"), json!("9".repeat(27))],
    ));
    cases.extend(each("/spec/suspense", NET, [json!(".01"), json!("0.0000000000001")]));
    cases.extend(each("/spec/revenue/0/amount", NET, [json!("3.5.5"), json!("Infinity")]));
    cases
}

fn counts() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/payments/0/basisPoints", json!(10001), "less than or equal to 10000"),
        ("/spec/payments/0/basisPoints", json!(-1), "greater than or equal to 0"),
    ];
    for field in [
        "/spec/revenue/0/inputTokens",
        "/spec/corrections/0/requests",
        "/spec/payments/0/tokens",
        "/spec/usage/rows",
    ] {
        cases.push((field, json!(-1), "greater than or equal to 0"));
        cases.push((field, json!(0.5), "must be of type integer"));
        cases.push((field, number("9223372036854775808"), "less than or equal to"));
        cases.push((field, number("18446744073709551616"), "less than or equal to"));
        cases.push((field, json!("1"), "must be of type integer"));
    }
    cases
}
