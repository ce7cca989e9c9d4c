//! ApiKeys that are none.

use serde_json::json;

use super::collective::{BUDGET, OBJECT};
use super::contribution::COLLECTIVE;
use super::{Case, GONE, each, number};

const CONSUMER: &str = "must be letters, digits, `.`, `_`, `@`, `/` or `-`, beginning with a letter or digit";
const DEPLOYMENTS: &str = "must be names of Deployments of this namespace: lowercase letters, digits or `-`";
pub const INSTANT: &str =
    "must be an RFC 3339 instant from 2020 to 2199 that the calendar has, such as `2027-01-31T00:00:00Z`";

pub fn cases() -> Vec<Case> {
    [whole(), names(), budgets(), instants()].concat()
}

fn whole() -> Vec<Case> {
    let names: Vec<String> = (0..65).map(|n| format!("d{n}")).collect();
    let mut cases = vec![
        ("/metadata/name", json!("k".repeat(64)), "metadata.name must be at most 63 characters"),
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef/name", json!("elsewhere/presidents"), OBJECT),
        ("/spec/collectiveRef/name", json!("c".repeat(64)), COLLECTIVE),
        ("/spec/consumer", GONE, "spec.consumer: Required value"),
        ("/spec/consumer", json!(""), "at least 1 chars long"),
        ("/spec/consumer", json!("c".repeat(129)), "may not be more than 128"),
        ("/spec/deployments", json!(["a", "a"]), "Duplicate value"),
        ("/spec/deployments", json!(names), "must have at most 64 items"),
        ("/spec/deployments", json!(["d".repeat(41)]), "may not be more than 40"),
        ("/spec/deployments", json!([""]), "at least 1 chars long"),
        ("/spec/deployments", json!("presidents"), "must be of type array"),
        ("/spec/secretRef", GONE, "spec.secretRef: Required value"),
        ("/spec/secretRef/name", json!("elsewhere/reader-key"), OBJECT),
        ("/spec/secretRef/name", json!("../reader-key"), OBJECT),
        ("/spec/secretRef/name", json!("a..b"), OBJECT),
        ("/spec/secretRef/name", json!("r\u{435}ader-key"), OBJECT),
        ("/spec/secretRef/namespace", json!("kube-system"), "unknown field \"spec.secretRef.namespace\""),
        ("/spec/key", json!("sk-mine"), "unknown field \"spec.key\""),
        ("/spec/revoked", json!("false"), "must be of type boolean"),
        ("/spec/budget", json!("10"), "must be of type object"),
        ("/spec/budget/amount", json!(10), "must be of type string"),
        ("/spec/budget/amount", GONE, "spec.budget.amount: Required value"),
        ("/spec/budget/amount", json!("1".repeat(23)), "may not be more than 22"),
        ("/spec/budget/currency", json!("XAU"), "unknown field \"spec.budget.currency\""),
        ("/spec/expiresAt", json!(1_893_456_000), "must be of type string"),
    ];
    for field in ["/spec/limits/requestsPerMinute", "/spec/limits/tokensPerMinute"] {
        cases.push((field, json!(0), "greater than or equal to 1"));
        cases.push((field, json!(-1), "greater than or equal to 1"));
        cases.push((field, json!(1_000_000_001), "less than or equal to 1000000"));
        cases.push((field, number("18446744073709551616"), "must be of type integer"));
        cases.push((field, json!(0.1), "must be of type integer"));
    }
    cases
}

fn names() -> Vec<Case> {
    [
        each(
            "/spec/consumer",
            CONSUMER,
            [
                json!("a\nb"),
                json!("a,b"),
                json!("=1+1"),
                json!("a b"),
                json!("<b>"),
                json!("a\u{0}"),
                json!("\u{430}cme"),
                json!("acme\u{202e}"),
                json!("-a"),
            ],
        ),
        each(
            "/spec/deployments",
            DEPLOYMENTS,
            [
                json!(["*"]),
                json!(["elsewhere/presidents"]),
                json!(["a.b"]),
                json!(["Presidents"]),
                json!(["../a"]),
                json!(["9a"]),
                json!(["pr\u{435}sidents"]),
            ],
        ),
    ]
    .concat()
}

fn budgets() -> Vec<Case> {
    each(
        "/spec/budget/amount",
        BUDGET,
        [
            json!("10,00"),
            json!("-10"),
            json!("-0"),
            json!("+10"),
            json!("1e3"),
            json!("0.0000001"),
            json!("1000000000000000"),
            json!("ten"),
            json!(""),
            json!("1/3"),
        ],
    )
}

fn instants() -> Vec<Case> {
    each(
        "/spec/expiresAt",
        INSTANT,
        [
            json!("tomorrow"),
            json!("2027-01-31"),
            json!("2027-01-31T00:00:00"),
            json!("2027-13-01T00:00:00Z"),
            json!("2027-00-01T00:00:00Z"),
            json!("2027-02-29T00:00:00Z"),
            json!("2027-04-31T00:00:00Z"),
            json!("2027-01-32T00:00:00Z"),
            json!("2027-01-31T24:00:00Z"),
            json!("2027-01-31T00:60:00Z"),
            json!("2027-01-31T00:00:61Z"),
            json!("2027-01-31T00:00:00+99:99"),
            json!("2027-01-31T00:00:00.1234567890Z"),
            json!("0000-01-01T00:00:00Z"),
            json!("0001-01-01T00:00:00Z"),
            json!("1999-12-31T23:59:59Z"),
            json!("2019-12-31T23:59:59Z"),
            json!("2200-01-01T00:00:00Z"),
            json!("9999-12-31T23:59:59Z"),
            json!("-2027-01-31T00:00:00Z"),
            json!("2027-1-31T0:0:0Z"),
            json!("2027-01-31 00:00:00Z"),
            json!("\u{ff12}027-01-31T00:00:00Z"),
            json!(""),
        ],
    )
}
