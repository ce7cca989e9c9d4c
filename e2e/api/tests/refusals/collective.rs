//! Collectives that are none.

use serde_json::json;

use super::{Case, GONE, each, number};

pub const NAME: &str =
    "metadata.name must be 1 to 40 lowercase letters, digits or `-`, starting with a letter";
pub const LABEL: &str =
    "must be lowercase letters, digits and `-`, beginning and ending with a letter or digit";
pub const TEXT: &str =
    "must hold no line breaks, control characters, characters that turn the direction of writing";
pub const OBJECT: &str = "must be the name of an object of this namespace, without the namespace";
pub const SPDX: &str = "must be an SPDX licence expression, such as `CC-BY-4.0`";
pub const PRICE: &str =
    "must be a decimal string from 0 to 1000000000 with at most 6 decimals, such as `0.20`";
pub const BUDGET: &str = "must be a decimal string of 0 or more, below 10^15, with at most 6 decimals";
pub const CURRENCY: &str =
    "must be 3 to 10 capital letters or digits, beginning with a letter, such as `EUR`";
const CLOSE: &str = "must be hours, minutes and seconds from 0s to 2160h, such as `1h30m`";
const SSH: &str = "must be the second word of a line of `ssh-keygen -t ed25519`";
/// A public key as it should be.
const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIFxbKcT7pJzvO4wBhS+2s0P0kYQmVdEJrW1aK0b8u9Zq";
const ENDPOINT: &str = "must be http:// or https://, a host and at most a port";
const BUCKET: &str = "must be 3 to 63 lowercase letters, digits, `-` and `.`";
const PREFIX: &str = "must be empty or parts that each end in `/`";
const REGION: &str = "must be letters, digits, `-` and `_`, such as `us-east-1`";

pub fn cases() -> Vec<Case> {
    [
        names(),
        members(),
        keys(),
        accounts(),
        policy(),
        treasury(),
        split(),
        storage(),
        endpoints(),
        buckets(),
        rest(),
    ]
    .concat()
}

fn names() -> Vec<Case> {
    vec![
        ("/metadata/name", json!("a".repeat(41)), NAME),
        ("/metadata/name", json!("with.dot"), NAME),
        ("/metadata/name", json!("1st"), NAME),
        ("/spec/displayName", json!("x".repeat(129)), "may not be more than 128"),
        ("/spec/displayName", json!("Ours\nReady: True"), TEXT),
        ("/spec/displayName", json!("\u{1b}[2J\u{1b}[1;1HOurs"), TEXT),
        ("/spec/displayName", json!("Ours\u{0}"), TEXT),
        ("/spec/displayName", json!("\u{202e}sruO"), TEXT),
        ("/spec/displayName", json!("Ou\u{200b}rs"), TEXT),
        ("/spec/displayName", json!("\u{2066}Ours\u{2069}"), TEXT),
        ("/spec/displayName", json!("Ours\u{feff}"), TEXT),
        ("/spec/displayName", json!("Ours\u{e0041}"), TEXT),
        ("/spec/displayName", json!(["Ours"]), "must be of type string"),
    ]
}

fn members() -> Vec<Case> {
    let name = "/spec/members/0/name";
    let twice = json!({"type": "ssh-ed25519", "publicKey": KEY});
    let many: Vec<_> = (0..129).map(|n| json!({"name": format!("m{n}")})).collect();
    let mut cases = vec![
        ("/spec/members", GONE, "spec.members: Required value"),
        ("/spec/members", json!([]), "spec.members in body should have at least 1 items"),
        ("/spec/members", json!(many), "must have at most 128 items"),
        ("/spec/members", json!([{"name": "lincoln"}, {"name": "lincoln"}]), "Duplicate value"),
        ("/spec/members", json!([{"displayName": "Lincoln"}]), "spec.members[0].name: Required value"),
        ("/spec/members", json!("lincoln"), "must be of type array"),
        (name, json!("x".repeat(64)), "may not be more than 63"),
        (name, json!(7), "must be of type string"),
        ("/spec/members/0/roles", json!(["King"]), "Unsupported value: \"King\""),
        ("/spec/members/0/roles", json!(["Treasurer", "Treasurer"]), "Duplicate value"),
        ("/spec/members/0/payout/account", json!("x".repeat(257)), "may not be more than 256"),
        ("/spec/members/0/payout/account", json!("DE02\u{202e}1203"), TEXT),
        ("/spec/members/0/payout/account", json!("=cmd\r\nDE02"), TEXT),
        ("/spec/members/0/payout/method", json!("Hawala"), "Unsupported value: \"Hawala\""),
        ("/spec/members/0/payout/amount", json!("5"), "unknown field \"spec.members[0].payout.amount\""),
        ("/spec/members/0/subject/kind", json!("Robot"), "Unsupported value: \"Robot\""),
        ("/spec/members/0/subject/name", json!(""), "at least 1 chars long"),
        ("/spec/members/0/subject/name", json!("a".repeat(254)), "may not be more than 253"),
        ("/spec/members/0/subject/name", json!("grant@example.org\u{200b}"), TEXT),
        ("/spec/members/0/subject/namespace", json!("elsewhere"), "unknown field"),
        ("/spec/members/0/keys/0/type", json!("rsa"), "must be ssh-ed25519"),
        ("/spec/members/0/keys", json!(vec![&twice; 2]), "Duplicate value"),
        ("/spec/members/0/keys", json!(vec![&twice; 9]), "must have at most 8 items"),
    ];
    let names = [
        "No Spaces",
        "",
        "-a",
        "a-",
        "Ann",
        "ann.b",
        "other/ann",
        "../ann",
        "änn",
        "\u{430}nn",
        "ann\u{200d}",
    ];
    cases.extend(
        names
            .into_iter()
            .map(|bad| (name, json!(bad), if bad.is_empty() { "at least 1 chars" } else { LABEL })),
    );
    cases
}

fn keys() -> Vec<Case> {
    let key = |key: &str| json!([{"type": "ssh-ed25519", "publicKey": key}]);
    each(
        "/spec/members/0/keys",
        SSH,
        [
            key("A"),
            key("AAAAB3NzaC1yc2EAAAADAQABAAABAQC7"),
            key(&format!("{KEY}\n")),
            key(&format!("{KEY} ann@home")),
        ],
    )
}

fn accounts() -> Vec<Case> {
    each(
        "/spec/members/1/subject/name",
        "name must be the name of a ServiceAccount of this namespace, without the namespace",
        [json!("elsewhere:abe"), json!("elsewhere/abe"), json!("system:serviceaccount:elsewhere:abe")],
    )
}

fn policy() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/policy", GONE, "spec.policy: Required value"),
        ("/spec/policy/baseModelLicenses", json!([]), "at least 1 items"),
        ("/spec/policy/baseModelLicenses", json!(["MIT", "MIT"]), "Duplicate value"),
        ("/spec/policy/contributionLicenses", json!([""]), "at least 1 chars long"),
        ("/spec/policy/contributionLicenses", json!(["x".repeat(129)]), "may not be more than 128"),
        ("/spec/policy/requiredGrants", json!(["Everything"]), "Unsupported value: \"Everything\""),
        ("/spec/policy/requiredGrants", json!(["Training", "Training"]), "Duplicate value"),
        ("/spec/policy/requiredGrants", json!("Training"), "must be of type array"),
    ];
    cases.extend(each(
        "/spec/policy/contributionLicenses",
        SPDX,
        [
            json!(["CC0-1.0\n"]),
            json!(["MIT, Zlib"]),
            json!(["M\u{406}T"]),
            json!(["<script>"]),
            json!([" MIT"]),
        ],
    ));
    cases
}

fn treasury() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/treasury", GONE, "spec.treasury: Required value"),
        ("/spec/treasury/currency", GONE, "spec.treasury.currency: Required value"),
        ("/spec/treasury/currency", json!("EU"), "at least 3 chars long"),
        ("/spec/treasury/currency", json!("ABCDEFGHIJK"), "may not be more than 10"),
        ("/spec/treasury/decimals", json!(13), "should be less than or equal to 12"),
        ("/spec/treasury/decimals", json!(-1), "should be greater than or equal to 0"),
        ("/spec/treasury/decimals", json!(2.5), "must be of type integer"),
        ("/spec/treasury/decimals", json!("2"), "must be of type integer"),
        ("/spec/treasury/settlementPeriod", json!("Fortnightly"), "Unsupported value: \"Fortnightly\""),
        ("/spec/treasury/settlementPeriod", json!("monthly"), "Unsupported value: \"monthly\""),
        ("/spec/treasury/costRecovery", json!("Half"), "Unsupported value: \"Half\""),
        ("/spec/treasury/reserve/basisPoints", json!(10001), "less than or equal to 10000"),
        ("/spec/treasury/reserve/basisPoints", json!(-1), "greater than or equal to 0"),
        ("/spec/treasury/reserve/account", json!(""), "at least 1 chars long"),
        ("/spec/treasury/reserve/account", json!("a\u{1b}c"), TEXT),
    ];
    cases.extend(each(
        "/spec/treasury/currency",
        CURRENCY,
        [json!("usd"), json!("\u{20ac}\u{20ac}\u{20ac}"), json!("1US"), json!("US D")],
    ));
    cases.extend(each(
        "/spec/treasury/closeAfter",
        CLOSE,
        [
            json!("a day"),
            json!(""),
            json!("-1h"),
            json!("1d"),
            json!("1.5h"),
            json!("2161h"),
            json!("99999h"),
            json!("24"),
        ],
    ));
    cases.extend(each(
        "/spec/treasury/pricePerNodeHour",
        PRICE,
        [
            json!("-1"),
            json!("0.1234567"),
            json!("1000000001"),
            json!("1000000000.01"),
            json!("1e3"),
            json!("+1"),
            json!(".5"),
            json!("5."),
            json!("1,50"),
            json!("NaN"),
            json!("\u{661}"),
            json!(""),
            json!(" 1"),
        ],
    ));
    cases
}

fn split() -> Vec<Case> {
    let shares = "shares must be given with by: Fixed, and only with it";
    vec![
        ("/spec/treasury/split", json!([]), "at least 1 items"),
        ("/spec/treasury/split/0/basisPoints", json!(8999), "must add up to 10000"),
        ("/spec/treasury/split/0/basisPoints", json!(9001), "must add up to 10000"),
        ("/spec/treasury/split/0/basisPoints", json!(0), "greater than or equal to 1"),
        ("/spec/treasury/split/0/basisPoints", json!(-9000), "greater than or equal to 1"),
        ("/spec/treasury/split/0/basisPoints", json!(4_294_967_296_i64), "less than or equal to 10000"),
        ("/spec/treasury/split/0/basisPoints", number("18446744073709551616"), "less than or equal to 10000"),
        ("/spec/treasury/split/0/basisPoints", json!(8999.5), "must be of type integer"),
        ("/spec/treasury/split/0/by", json!("Luck"), "Unsupported value: \"Luck\""),
        ("/spec/treasury/split/1/name", json!("works"), "Duplicate value"),
        ("/spec/treasury/split/1/name", json!("Dues!"), LABEL),
        ("/spec/treasury/split/2/shares", json!([]), shares),
        ("/spec/treasury/split/0/shares", json!([{"member": "grant", "parts": 1}]), shares),
        (
            "/spec/treasury/split/2/shares/0/member",
            json!("nobody"),
            "spec.treasury.split: Invalid value: \"object\": shares[].member must be one of spec.members[].name",
        ),
        (
            "/spec/treasury/split/2/shares/0/member",
            json!("lincol\u{43f}"),
            "spec.treasury.split: Invalid value: \"object\": shares[].member must be one of spec.members[].name",
        ),
        ("/spec/treasury/split/2/shares/0/parts", json!(0), "greater than or equal to 1"),
        ("/spec/treasury/split/2/shares/0/parts", json!(-1), "greater than or equal to 1"),
        ("/spec/treasury/split/2/shares/0/parts", json!(1_000_001), "less than or equal to 1000000"),
        (
            "/spec/treasury/split/2/shares",
            json!([{"member": "lincoln", "parts": 1}, {"member": "lincoln", "parts": 1}]),
            "Duplicate value",
        ),
    ]
}

fn storage() -> Vec<Case> {
    vec![
        ("/spec/storage/bucket", json!("b"), "at least 3 chars"),
        ("/spec/storage/bucket", json!("b".repeat(64)), "may not be more than 63"),
        ("/spec/storage/endpoint", GONE, "spec.storage.endpoint: Required value"),
        ("/spec/storage/prefix", json!("a".repeat(257)), "may not be more than 256"),
        ("/spec/storage/secretRef", GONE, "spec.storage.secretRef: Required value"),
        ("/spec/storage/secretRef", json!("key"), "must be of type object"),
        ("/spec/storage/secretRef/name", json!("elsewhere/key"), OBJECT),
        ("/spec/storage/secretRef/name", json!("a..b"), OBJECT),
        (
            "/spec/storage/secretRef/namespace",
            json!("kube-system"),
            "unknown field \"spec.storage.secretRef.namespace\"",
        ),
    ]
}

fn endpoints() -> Vec<Case> {
    each(
        "/spec/storage/endpoint",
        ENDPOINT,
        [
            json!("ftp://s3.example"),
            json!("file:///var/lib"),
            json!("https://a:b@s3.example"),
            json!("https://s3.example@127.0.0.1"),
            json!("https://s3.example/path"),
            json!("https://s3.example?x=y"),
            json!("https://s3.example#x"),
            json!("https://s3.example:99999"),
            json!("https://s3.example:0"),
            json!("https://s3.exa mple"),
            json!("https://s3.example\nHost: a"),
            json!("https://s3.ex\u{430}mple"),
            json!("https://-s3.example"),
            json!("https://"),
            json!("s3.example.org"),
            json!("HTTPS://s3.example"),
        ],
    )
}

fn buckets() -> Vec<Case> {
    [
        each(
            "/spec/storage/bucket",
            BUCKET,
            [
                json!("Bucket"),
                json!("a..b"),
                json!("../b"),
                json!("b/c"),
                json!("-bucket"),
                json!("b\u{fc}cher"),
                json!("a.-b"),
            ],
        ),
        each(
            "/spec/storage/prefix",
            PREFIX,
            [
                json!("no-slash"),
                json!("/a/"),
                json!("../other/"),
                json!("a/../b/"),
                json!("./a/"),
                json!("a//b/"),
                json!("a b/"),
                json!("a\n/"),
                json!("%2e%2e/"),
                json!("a\\b/"),
            ],
        ),
        each(
            "/spec/storage/region",
            REGION,
            [json!("us east"), json!("us-east-1\r\nX: y"), json!("us/east"), json!("-us")],
        ),
    ]
    .concat()
}

fn rest() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/gateway/replicas", json!(17), "less than or equal to 16"),
        ("/spec/gateway/replicas", json!(-1), "greater than or equal to 0"),
        ("/spec/gateway/replicas", number("9223372036854775808"), "less than or equal to 16"),
        ("/spec/gateway/image", json!("evil"), "unknown field \"spec.gateway.image\""),
        ("/spec/budget/period", json!("Never"), "Unsupported value: \"Never\""),
        ("/spec/budget/amount", GONE, "spec.budget.amount: Required value"),
        ("/spec/budget/amount", json!(250), "must be of type string"),
    ];
    cases.extend(each(
        "/spec/budget/amount",
        BUDGET,
        [
            json!("1e3"),
            json!("-5"),
            json!("0.0000001"),
            json!("1000000000000000"),
            json!("Infinity"),
            json!("0x10"),
        ],
    ));
    cases
}
